package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// singlePlan lets only a majority serve.
func singlePlan(t testing.TB, nodes, groups int, voters ...string) vipgroup.Plan {
	t.Helper()
	p := testPlan(t, nodes, groups)
	p.Partition, p.Voters = vipgroup.Single, voters
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// single is a mesh in which a majority must serve, and every group has a holder.
func single(t *testing.T, nodes, groups int, voters ...string) *mesh {
	t.Helper()
	m := meshFor(t, singlePlan(t, nodes, groups, voters...))
	m.watch(takeOver(m.nodes[0]) + time.Second)
	if got := sum(m.count()); got != groups {
		t.Fatalf("%d of %d groups have a holder: %v", got, groups, m.nodes[0].Status(m.now).Groups)
	}
	return m
}

func sum(of []int) (total int) {
	for _, n := range of {
		total += n
	}
	return total
}

// takeOver is within what time a majority has what nobody released.
func takeOver(n *Node) time.Duration {
	return n.timing.Stale + n.timing.Lifetime + sweep + 2*n.timing.Interval
}

func TestOnlyTheMajorityServes(t *testing.T) {
	for _, c := range []struct {
		name   string
		nodes  int
		voters []string
		side   []int // of each member
		want   []int // groups of each member, of 6
		reason string
	}{
		{"three nodes, one cut off", 3, nil, []int{1, 0, 0}, []int{0, 3, 3}, "no majority: 1 of 3 nodes acknowledge"},
		{"three nodes, all apart", 3, nil, []int{0, 1, 2}, []int{0, 0, 0}, "no majority: 1 of 3 nodes acknowledge"},
		{"two nodes", 2, nil, []int{1, 0}, []int{0, 0}, "no majority: 1 of 2 nodes acknowledge"},
		{"two nodes and a voter", 2, []string{"node1", "node2", "w"}, []int{1, 0, 0}, []int{0, 6, 0}, "no majority: 1 of 3 voters acknowledge"},
		{"four nodes in halves", 4, nil, []int{1, 1, 0, 0}, []int{0, 0, 0, 0}, "no majority: 2 of 4 nodes acknowledge"},
		{"the voter decides", 2, []string{"w"}, []int{1, 0, 0}, []int{0, 6, 0}, "no majority: 0 of 1 voters acknowledge"},
		{"five nodes", 5, nil, []int{1, 1, 0, 0, 0}, []int{0, 0, 2, 2, 2}, "no majority: 2 of 5 nodes acknowledge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := single(t, c.nodes, 6, c.voters...)
			m.side = c.side
			timing := m.nodes[0].timing
			m.watch(timing.Stale)
			if got := m.count()[0]; got != 0 {
				t.Errorf("stale after the cut, node1 still has %d groups", got)
			}
			if s := m.nodes[0].Status(m.now); s.Eligible || !slices.Contains(s.Reasons, c.reason) {
				t.Errorf("node1 is eligible (%v) or has other reasons: %q", s.Eligible, s.Reasons)
			}
			m.watch(takeOver(m.nodes[1]) - timing.Stale)
			if got := m.count(); !slices.Equal(got, c.want) {
				t.Errorf("groups per member after the cut: %v, want %v", got, c.want)
			}
			m.side = make([]int, len(m.side))
			m.watch(takeOver(m.nodes[1]) + time.Second)
			if got := sum(m.count()); got != 6 {
				t.Errorf("after the cut %d of 6 groups have a holder: %v", got, m.count())
			}
		})
	}
}

// The kernel of a holder that was cut off together with its death keeps the address for
// up to a lifetime and its sweep; nobody takes it before.
func TestMajorityWaitsForTheKernel(t *testing.T) {
	m := single(t, 3, 6)
	m.side = []int{1, 0, 0}
	cut := m.now
	m.nodes[0] = nil // its kernel goes on
	kept := m.nodes[1].timing.Stale + m.nodes[1].timing.Lifetime + sweep
	m.run(kept - m.nodes[1].timing.Interval) // the last announcement may be so old
	if got := fmt.Sprint(m.count()); got != "[2 2 2]" {
		t.Errorf("%v after the cut the groups are at %s", m.now.Sub(cut), got)
	}
	clear(m.has[0])
	m.watch(2 * m.nodes[1].timing.Interval)
	if got := fmt.Sprint(m.count()); got != "[0 3 3]" {
		t.Errorf("%v after the cut the groups are at %s", m.now.Sub(cut), got)
	}
}

// A planned move needs no more time than without a majority, and a voter that is lost
// moves nothing.
func TestMajorityHandsOver(t *testing.T) {
	m := single(t, 2, 6, "node1", "node2", "w")
	m.lose(2)
	m.stays("the voter is lost", 3*time.Second)
	m.nodes[0].Drain(m.now, Drain{})
	m.watch(50 * time.Millisecond)
	if got := fmt.Sprint(m.count()); got != "[0 6 0]" {
		t.Errorf("after node1 was drained the groups are at %s", got)
	}
}

func TestVoterOwnsNothing(t *testing.T) {
	m := single(t, 2, 6, "node1", "node2", "w")
	s := m.nodes[2].Status(m.now)
	if s.Eligible || fmt.Sprint(s.Reasons) != "[a voter only]" {
		t.Errorf("the voter is eligible (%v): %q", s.Eligible, s.Reasons)
	}
	for _, p := range s.Peers {
		if p.State != Live {
			t.Errorf("for the voter %s is %s", p.Node, p.State)
		}
	}
	m.nodes[0].Leave(m.now)
	m.nodes[1].Leave(m.now)
	m.watch(5 * time.Second)
	if got := fmt.Sprint(m.count()); got != "[0 0 0]" {
		t.Errorf("without nodes the groups are at %s", got)
	}
}

// A voter that was started anew doesn't know what it acknowledged before: it says no to
// claims until whoever may have been granted one has let go, but for groups whose holder
// it hears.
func TestYoungVoterDoubts(t *testing.T) {
	m := single(t, 3, 6)
	plan := m.nodes[0].plan
	// node2 knows of nothing since long, and node1 is cut off in the moment in which the
	// only one that heard it last is started anew.
	m.side = []int{1, 2, 1}
	m.run(takeOver(m.nodes[0]))
	held := m.count()[0]
	if m.count()[1] != 0 || held == 0 {
		t.Fatalf("the groups are at %v", m.count())
	}
	m.start(2, plan)
	clear(m.has[2])
	m.side = []int{1, 0, 0}
	m.nodes[0] = nil // hung: its kernel goes on
	m.run(m.nodes[1].timing.Stale + m.nodes[1].timing.Lifetime + sweep - m.nodes[1].timing.Interval)
	for i, has := range m.has[1:] {
		for a := range has {
			if m.has[0][a] {
				t.Fatalf("%v is at node1 and at node%d", a, i+2)
			}
		}
	}
	clear(m.has[0])
	m.watch(time.Second)
	if got := sum(m.count()); got != 6 {
		t.Errorf("%d of 6 groups have a holder: %v", got, m.count())
	}
}

// Groups without the policy are served on both sides.
func TestPartitionOfAGroup(t *testing.T) {
	p := testPlan(t, 5, 6)
	p.Groups[1].Partition = vipgroup.Single
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	m := meshFor(t, p)
	m.watch(takeOver(m.nodes[0]) + time.Second)
	m.side = []int{1, 1, 0, 0, 0}
	m.run(takeOver(m.nodes[0]))
	a := p.Groups[1].VIPs[0].Address.Addr()
	if len(m.has[0])+len(m.has[1]) != 5 || m.has[0][a] || m.has[1][a] || len(m.has[2])+len(m.has[3])+len(m.has[4]) != 6 {
		t.Errorf("the minority has %v, the others %v", m.has[:2], m.has[2:])
	}
	s := m.nodes[0].Status(m.now)
	if !s.Eligible || !strings.HasPrefix(s.Groups[1].Waiting, "no majority: 2 of 5") {
		t.Errorf("eligible: %v, the group waits for %q", s.Eligible, s.Groups[1].Waiting)
	}
	if d := m.nodes[0].Pull(m.now, p.Groups[1].Key); d == nil || !strings.HasSuffix(d.Why, ": no majority: 2 of 5 nodes acknowledge") {
		t.Errorf("a move to the minority: %+v", d)
	}
}

// Ready tells when the majority lapses, as long as anything may be in the kernel that
// needs it.
func TestLapse(t *testing.T) {
	m := single(t, 3, 6)
	n := m.nodes[0]
	r := n.Ready(m.now)
	if left := r.Lapse.Sub(m.now); left <= 0 || left > n.trust() {
		t.Errorf("the majority lapses in %v", left)
	}
	m.side = []int{1, 0, 0}
	for end := m.now.Add(n.timing.Stale); m.now.Before(end) && len(m.has[0]) > 0; {
		r = n.Ready(m.now)
		if r.Lapse.IsZero() || len(r.Hold) > 0 && !m.now.Before(r.Lapse) {
			t.Fatalf("holds %d groups, and the majority lapses in %v", len(r.Hold), r.Lapse.Sub(m.now))
		}
		m.run(time.Millisecond)
	}
	if r = n.Ready(m.now); !r.Lapse.IsZero() || len(m.has[0]) > 0 {
		t.Errorf("with %d addresses the lapse is %v", len(m.has[0]), r.Lapse)
	}
}

// A majority that still counts need not have acknowledged this claim: who isn't heard any
// more may have granted it to another meanwhile.
func TestClaimNeedsAMajority(t *testing.T) {
	now := time.Unix(1000, 0)
	n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: singlePlan(t, 3, 1), Timing: testTiming()})
	n.claims.open.add(0)
	n.claims.groups[0].begin = 9
	p := n.peers[1]
	p.acked, p.ackedAt, p.state = 9, now, Absent
	n.judgeMajority(now)
	if got := n.refusedBy(now, 0); !n.majority.has || got != "no majority has acknowledged the claim" {
		t.Errorf("a voter that isn't heard any more: majority %v, %q", n.majority.has, got)
	}
	p.state, p.hearsUs = Live, true
	if got := n.refusedBy(now, 0); got != "" {
		t.Errorf("a voter that acknowledged the claim: %q", got)
	}
	p.acked = 8
	if got := n.refusedBy(now, 0); got != "node2 has not acknowledged the claim" {
		t.Errorf("a voter that acknowledged an earlier announcement: %q", got)
	}
}
