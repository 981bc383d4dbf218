package cluster

import (
	"strings"
	"testing"
	"time"
)

// TestPullNotNow: too much at once, and what a plan that comes into force takes away, are denied.
func TestPullNotNow(t *testing.T) {
	r := matureRig(t, 2, maxPulls+1)
	deny := func(g int, why string) {
		t.Helper()
		if d := r.n.Pull(r.now, r.n.plan.Groups[g].Key); d == nil || !strings.Contains(d.Why, why) || d.Hint != "try again in a moment" {
			t.Errorf("%+v, want %q", d, why)
		}
	}
	for g := range maxPulls {
		if d := r.n.Pull(r.now, r.n.plan.Groups[g].Key); d != nil {
			t.Fatal(d)
		}
	}
	deny(maxPulls, "node1 is being given too many groups at once")

	r = newRig(t, planOf(t, 1, 2, "a b"))
	r.peers[0].ann.eligible = false
	r.pass(1500 * time.Millisecond)
	a, b := r.n.plan.Find("a"), r.n.plan.Find("b")
	if !r.holding(a) || !r.holding(b) {
		t.Fatal("node1 should hold both")
	}
	r.n.Adopt(r.now, planOf(t, 2, 2, "a")) // which waits for b to be gone
	r.n.Ready(r.now)
	deny(b, "a new plan is coming into force")
}

// TestPullWithAPenalty: where several others go before this node, none of which would be the
// one, the order is denied as well. (It was a panic.)
func TestPullWithAPenalty(t *testing.T) {
	r := matureRig(t, 4, 6)
	key := r.n.plan.Groups[0].Key
	r.n.Vote(r.now, Vote{Source: "slow", Penalty: 5, Reason: "slow disk"})
	r.pass(100 * time.Millisecond)
	d := r.n.Pull(r.now, key)
	if d == nil || !strings.Contains(d.Why, "penalty") {
		t.Errorf("a node with a penalty is given a group: %+v", d)
	}
}
