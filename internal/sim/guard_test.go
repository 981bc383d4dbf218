package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// settled is a cluster of three with guards in which n0 holds two addresses.
func settled(t *testing.T, seed uint64) *World {
	t.Helper()
	c := Config{Seed: seed, Nodes: 3, Gateway: true, Skew: true,
		Timing: cluster.Timing{Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond,
			Mature: 500 * time.Millisecond, Lifetime: time.Second},
		Plans: []vipgroup.Plan{MakePlan(1, 3, [][]int{{1}, {2}, {3}}, []int{0, 0, 1})}}
	w := New(c)
	w.Boot(500 * time.Millisecond)
	// Somewhere within the rhythm of announcements, extensions and wills.
	if v := w.Run(4*time.Second + time.Duration(seed*37%1000)*time.Millisecond); v != nil {
		t.Fatal(v)
	}
	if left := w.check.unsettled(); left != "" {
		t.Fatal(left)
	}
	w.check.gap, w.check.moves = 0, 0
	return w
}

// TestKilledGap: with all others live, the addresses of a killed daemon are without an
// owner for 10 ms typically and 50 ms at most.
func TestKilledGap(t *testing.T) {
	var gaps []int64
	for seed := range uint64(100) {
		w := settled(t, seed)
		w.Begin(&Fault{Kind: Kill, A: 0})
		if v := w.Run(50 * time.Millisecond); v != nil {
			t.Fatal(v)
		}
		if left := w.check.unsettled(); left != "" {
			t.Errorf("seed %d: after 50 ms %s\n%s", seed, left, w.Story(20))
		}
		gaps = append(gaps, w.check.gap)
	}
	slices.Sort(gaps)
	median := time.Duration(gaps[len(gaps)/2])
	t.Logf("gap: median %v, worst %v", median, time.Duration(gaps[len(gaps)-1]))
	if median > 10*time.Millisecond {
		t.Errorf("the median gap is %v, more than 10 ms", median)
	}
}

// TestDeadline lets a hung daemon wake, and a frozen pair wake in both orders, at every
// moment around the guard's deadline. Either nothing moved, or the guard was first and
// the daemon did nothing any more; in between is nothing.
func TestDeadline(t *testing.T) {
	stayed, moved := map[FaultKind]int{}, map[FaultKind]int{}
	try := func(seed uint64, f *Fault, after time.Duration) {
		w := settled(t, seed)
		boot := w.hosts[0].boot
		w.Begin(f)
		w.Run(time.Duration(w.hosts[0].deadline()-w.now) + after)
		w.End(f)
		if w.Settle(60*time.Millisecond) != nil || w.Run(3*time.Second) != nil {
			t.Fatal(w.violation)
		}
		if gap := time.Duration(w.check.gap); gap > 50*time.Millisecond {
			t.Errorf("%s, seed %d: nobody had an address for %v\n%s", w.describe(f), seed, gap, w.Story(20))
		}
		if w.hosts[0].boot == boot {
			stayed[f.Kind]++
			if w.check.moves > 0 || w.check.gap > 0 {
				t.Errorf("%s, seed %d: the boot goes on, and yet something moved\n%s", w.describe(f), seed, w.Story(20))
			}
		} else {
			moved[f.Kind]++
		}
	}
	for i := range 121 {
		try(uint64(i), &Fault{Kind: Doze, Arg: i/3 - 10}, 10*time.Millisecond)
	}
	for i := range 120 {
		// The kernel may drop it 50 ms after the deadline.
		try(uint64(i), &Fault{Kind: FreezeBoth, Arg: i % 2}, time.Duration(i-60)*time.Millisecond/2)
	}
	for _, kind := range []FaultKind{Doze, FreezeBoth} {
		if t.Logf("%s: %d stayed, %d moved", kind, stayed[kind], moved[kind]); stayed[kind] == 0 || moved[kind] == 0 {
			t.Errorf("%s: one side of the deadline was not reached", kind)
		}
	}
}
