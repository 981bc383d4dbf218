package cluster

import (
	"testing"
	"time"
)

// TestCalmPace: however the nodes' turns fall, in calm each sends one datagram per interval.
func TestCalmPace(t *testing.T) {
	for _, nodes := range []int{2, 3, 5, 10} {
		m := newMesh(t, nodes, nodes)
		started := m.nodes
		m.nodes = make([]*Node, nodes)
		for i, n := range started { // spread over the interval
			m.nodes[i] = New(m.now, Options{Name: n.name, Cluster: "test", Boot: n.boot, Keys: n.keys, Plan: n.plan, Timing: n.timing})
			m.run(100 * time.Millisecond / time.Duration(nodes))
		}
		m.run(5 * time.Second)
		before := m.sends
		m.run(10 * time.Second)
		if got := m.sends - before; got > 100*nodes+nodes {
			t.Errorf("%d nodes send %d datagrams in 100 intervals of calm, want %d", nodes, got, 100*nodes)
		}
	}
}
