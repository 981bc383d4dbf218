//go:build !race

// The race detector would take minutes for what is a single thread; `make sim` runs it.

package sim

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// crowded is a world with as many nodes and groups as there may be, once all is settled.
func crowded(t testing.TB, nodes, groups int) *World {
	t.Helper()
	sets := make([][]int, groups)
	for i := range sets {
		sets[i] = []int{i/254<<8 | i%254 + 1} // no address of a network or a broadcast
	}
	w := New(Config{Seed: 1, Nodes: nodes, Gateway: true, Busy: 2 * time.Millisecond, Plans: []vipgroup.Plan{MakePlan(1, nodes, sets, nil)},
		Timing: cluster.Timing{Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond, Lifetime: time.Second, Mature: 500 * time.Millisecond}})
	w.Boot(500 * time.Millisecond)
	w.Run(500 * time.Millisecond)
	if w.Settle(w.cfg.Bound()) != nil || w.Run(2*time.Second) != nil {
		t.Fatal(w.violation)
	}
	return w
}

// loseAtOnce takes the power of the first so many nodes, as far as they have it yet, and
// returns how long it takes until every address is served again.
func (w *World) loseAtOnce(t testing.TB, nodes int) time.Duration {
	t.Helper()
	began := w.now
	for i := range nodes {
		if w.hosts[i].down {
			continue
		}
		w.Begin(&Fault{Kind: Lose, A: i})
	}
	for w.check.unsettled() != "" {
		if w.Run(time.Millisecond) != nil {
			t.Fatal(w.violation)
		}
		if time.Duration(w.now-began) > w.cfg.Bound() {
			t.Fatalf("%v after %d nodes were lost: %.200s", w.cfg.Bound(), nodes, w.check.unsettled())
		}
	}
	return time.Duration(w.now - began)
}

// recover brings the lost nodes back.
func (w *World) recover(t testing.TB) {
	t.Helper()
	w.EndAll()
	if w.Settle(w.cfg.Bound()) != nil || w.Run(2*time.Second) != nil {
		t.Fatal(w.violation)
	}
}

// TestScale: as many nodes and groups as there may be share all groups, speak once an
// interval in datagrams that fit, and take over from one lost node and from half of them.
func TestScale(t *testing.T) {
	w := crowded(t, vipgroup.MaxNodes, vipgroup.MaxGroups)
	w.said, w.check.moves = speech{}, 0
	if w.Run(2*time.Second) != nil {
		t.Fatal(w.violation)
	}
	if most := 30 * vipgroup.MaxNodes; w.said.datagrams > most || w.check.moves != 0 {
		t.Errorf("%d datagrams and %d moves in 20 intervals of calm, want at most %d and none", w.said.datagrams, w.check.moves, most)
	}
	for _, lost := range []int{1, vipgroup.MaxNodes / 2} {
		took := w.loseAtOnce(t, lost)
		t.Logf("%d of %d nodes lost: %v until all %d addresses are served", lost, w.cfg.Nodes, took, w.vips)
		// As for one host and one address, with what a thousand claims in turn cost; of hosts
		// lost together each is noticed by itself, so that claims cross each other.
		most := w.cfg.Stale + 2*w.cfg.Interval + 50*time.Millisecond
		if lost > 1 {
			most += 2 * w.cfg.Stale
		}
		if took > most {
			t.Errorf("%d nodes lost: %v, want %v", lost, took, most)
		}
	}
	const most = 1200 // docs/protocol.md "Transport"
	if w.said.largest > most {
		t.Errorf("a datagram of %d bytes, more than %d", w.said.largest, most)
	}
}

// BenchmarkScale is what calm costs each node of a cluster of real cores, the imaginary wire
// included, and how long the loss of nodes lasts for the addresses they had.
func BenchmarkScale(b *testing.B) {
	for _, c := range []struct{ nodes, groups int }{{3, 6}, {8, 200}, {vipgroup.MaxNodes, vipgroup.MaxGroups}} {
		b.Run(fmt.Sprintf("%dx%d", c.nodes, c.groups), func(b *testing.B) {
			w := crowded(b, c.nodes, c.groups)
			w.said = speech{}
			began := processorTime(b)
			b.ResetTimer()
			for range b.N { // a second each
				if w.Run(time.Second) != nil {
					b.Fatal(w.violation)
				}
			}
			b.StopTimer()
			each := float64(b.N * c.nodes)
			b.ReportMetric((processorTime(b)-began).Seconds()*1000/each, "cpu-ms/node/s")
			b.ReportMetric(float64(w.said.bytes)/each, "bytes/node/s")
			b.ReportMetric(float64(w.said.largest), "largest-bytes")
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(w.loseAtOnce(b, 1).Milliseconds()), "ms-without-1")
			w.recover(b)
			b.ReportMetric(float64(w.loseAtOnce(b, c.nodes/2).Milliseconds()), "ms-without-half")
		})
	}
}

// processorTime is what this process has used, whatever else the machine does.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
