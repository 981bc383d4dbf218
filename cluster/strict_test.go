package cluster

import (
	"testing"
	"time"
)

// TestAllFail: a holder that fails where nobody else may have a group goes on, or gives the
// group up if that is what its vote wants; and takes it again once it is well.
func TestAllFail(t *testing.T) {
	for name, strict := range map[string]bool{"keep": false, "drop": true} {
		t.Run(name, func(t *testing.T) {
			r := holderRig(t, 2)
			r.peers[0].ann.eligible = false
			r.pass(200 * time.Millisecond)
			r.n.Vote(r.now, Vote{Source: "a", Bar: true, Strict: strict, Reason: "refused"})
			if !strict {
				r.never("gave up what nobody can take", 2*time.Second, func() bool { return !r.holding(0) })
				return
			}
			r.until("gives it up", 20*time.Millisecond, func() bool { return !r.holding(0) && r.said.held.empty() })
			r.never("took it while it fails", time.Second, func() bool { return r.holding(0) })
			r.n.Vote(r.now, Vote{Source: "a", Strict: strict})
			r.until("takes it again", 2*time.Second, func() bool { return r.holding(0) })
		})
	}
}

// TestStrictHandsOver: with a successor, a strict vote hands over as any other does, and no
// vote is strict that only costs something.
func TestStrictHandsOver(t *testing.T) {
	r := holderRig(t, 2)
	r.peers[0].ann.eligible = false
	r.pass(200 * time.Millisecond)
	key := r.n.plan.Groups[0].Key
	r.n.Vote(r.now, Vote{Source: "a", Group: &key, Penalty: 5, Strict: true, Reason: "slow"})
	r.never("gave up for a penalty", time.Second, func() bool { return !r.holding(0) })
	r.peers[0].ann.eligible = true
	r.pass(200 * time.Millisecond)
	r.n.Vote(r.now, Vote{Source: "b", Group: &key, Bar: true, Strict: true, Reason: "refused"})
	r.never("gave up before its successor claimed", 500*time.Millisecond, func() bool { return !r.holding(0) })
}
