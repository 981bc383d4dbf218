package cluster

import (
	"strings"
	"testing"
	"time"
)

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
