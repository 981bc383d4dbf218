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

// TestChangesArePaced: a change that peers may wait for is said at once, and the next one no
// sooner than a millisecond after it.
func TestChangesArePaced(t *testing.T) {
	r := matureRig(t, 2, 1)
	change := func(reason string) (said bool) {
		before := r.said.seq
		if reason != "" {
			r.n.Vote(r.now, Vote{Source: "test", Bar: true, Reason: reason})
		}
		r.ready()
		return r.said.seq > before
	}
	if !change("the first") {
		t.Error("a change is not said at once")
	}
	r.now = r.now.Add(minGap / 2)
	if change("the second") || r.out.Wake.After(r.now.Add(minGap/2)) {
		t.Errorf("half a millisecond later the next one is said, or not before %v", r.out.Wake.Sub(r.now))
	}
	r.now = r.now.Add(minGap / 2)
	if !change("") {
		t.Error("after a millisecond it is not said")
	}
}

// TestReleasesAreNotPaced: that an address is gone is said at once, whatever was said a moment
// before: until its successor hears of it, it is on no node.
func TestReleasesAreNotPaced(t *testing.T) {
	r := holderRig(t, 3)
	heir, third := r.peers[0], r.peers[1]
	third.ann.eligible = false
	r.n.Drain(r.now, Drain{})
	r.pass(100 * time.Millisecond)
	heir.claims(0)
	r.n.Vote(r.now, Vote{Source: "test", Bar: true, Reason: "what is said just before"})
	r.ready()
	before := r.said.seq
	r.say(heir)
	r.say(third) // which acknowledges the claim
	r.now = r.now.Add(minGap / 4)
	r.ready() // and its kernel lets go
	if r.holding(0) || r.said.seq != before {
		t.Fatalf("the test needs a release soon after an announcement: holds %v, said %d more", r.holding(0), r.said.seq-before)
	}
	r.now = r.now.Add(minGap / 4)
	r.ready()
	if r.said.seq == before || r.said.held.has(0) {
		t.Errorf("gone, and not said so; the next turn is in %v", r.out.Wake.Sub(r.now))
	}
}
