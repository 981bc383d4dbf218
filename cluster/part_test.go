package cluster

import (
	"testing"
	"time"
)

// TestReleaseOfAPart: who held only some of a group's addresses can't release it, for
// another's kernel may still have the rest.
func TestReleaseOfAPart(t *testing.T) {
	for _, tt := range []struct {
		held string // of the groups a and b of the peer's plan
		want bool   // our group a+b counts as released afterwards
	}{
		{"a", false},
		{"b", false},
		{"ab", true},
	} {
		ours, theirs := planOf(t, 2, 2, "a+b"), planOf(t, 1, 2, "a b")
		now := time.Unix(1000, 0)
		n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: ours, Timing: testTiming()})
		p := n.peers[1]
		p.table = n.plans.learn(theirs)
		p.ann.held = newSet(len(theirs.Groups))
		for _, letter := range tt.held {
			p.ann.held.add(theirs.Find(string(letter)))
		}
		p.interpret(len(ours.Groups), n.all)
		n.noteHolding(now, p)
		p.ann.held = newSet(len(theirs.Groups))
		p.interpret(len(ours.Groups), n.all)
		n.noteHolding(now.Add(time.Millisecond), p)
		if got := n.signs[0].released(); got != tt.want {
			t.Errorf("the peer held %s and let go: a+b released %v, want %v", tt.held, got, tt.want)
		}
	}
}

// TestAgedAcknowledgementStillBinds: a third that lists this node but fell silent just
// now is asked for permission until it is absent; what it said last stands so long.
func TestAgedAcknowledgementStillBinds(t *testing.T) {
	now := time.Unix(1000, 0)
	n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: testPlan(t, 3, 1), Timing: testTiming()})
	n.claims.open.add(0)
	n.claims.groups[0].begin = 9
	p := n.peers[1]
	p.state, p.hearsUs, p.acked = OneWay, true, 8
	if got := n.refusedBy(now, 0); got != "node2 has not acknowledged the claim" {
		t.Errorf("a silent third that lists us: %q", got)
	}
	p.hearsUs = false
	if got := n.refusedBy(now, 0); got != "" {
		t.Errorf("a third that does not list us: %q", got)
	}
}

// TestHalfIsNotHandedOver: a successor whose plan joins what this node's plan holds apart
// gets nothing until it can have everything, else it would be handed over for ever.
func TestHalfIsNotHandedOver(t *testing.T) {
	ours, theirs := planOf(t, 1, 3, "a b"), planOf(t, 2, 3, "a+b")
	now := time.Unix(1000, 0)
	n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: ours, Timing: testTiming()})
	p := n.peers[1]
	p.table = n.plans.learn(theirs)
	p.ann.claims = []claimed{{begin: 7, groups: setOf(0)}}
	a, b := ours.Find("a"), ours.Find("b")
	n.holds.want(a)
	n.holds.want(b)
	n.owner[a], n.owner[b] = 1, n.self
	if n.taken(p, 1, a) {
		t.Error("a would go to node2, which can't take it without b")
	}
	n.owner[b] = 1
	if !n.taken(p, 1, a) || !n.taken(p, 1, b) {
		t.Error("a and b would not go to node2, which claims both")
	}
	n.holds.drop(b, false)
	n.holds.mine.del(b)
	third := n.peers[2]
	third.state, third.table = Live, n.plans.learn(ours)
	third.held.add(b)
	if n.taken(p, 1, a) {
		t.Error("a would go to node2, which can't take it without b, which node3 has")
	}
}

// TestPartIsNotHandedOver: a successor that would take but a part of a group, by another plan,
// gets it only where somebody claims the rest, or where this node isn't fit to serve.
func TestPartIsNotHandedOver(t *testing.T) {
	for _, tt := range []struct {
		theirs, second, third string // what node2 and node3 claim by their plan
		fit, want             bool
	}{
		{"a b", "a", "", true, false},
		{"a b", "a", "", false, true},
		{"a b", "a", "b", true, true},
		{"a b", "ab", "", true, true},
		{"a c", "a", "", true, false},
		{"a c", "a", "", false, true},
	} {
		ours, theirs := planOf(t, 1, 3, "a+b"), planOf(t, 1, 3, tt.theirs)
		now := time.Unix(1000, 0)
		n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: ours, Timing: testTiming()})
		n.life.eligible = tt.fit
		n.owner[0] = 1
		n.holds.want(0)
		table := n.plans.learn(theirs)
		for i, claims := range []string{tt.second, tt.third} {
			p := n.peers[i+1]
			p.table, p.state = table, Live
			groups := newSet(len(theirs.Groups))
			for _, letter := range claims {
				groups.add(theirs.Find(string(letter)))
			}
			p.ann.claims = []claimed{{begin: 7, groups: groups}}
		}
		if got := n.taken(n.peers[1], 1, 0); got != tt.want {
			t.Errorf("fit %v: a+b goes to node2 %v, want %v, where of %q it claims %q and node3 %q", tt.fit, got, tt.want, tt.theirs, tt.second, tt.third)
		}
	}
}

// TestHalvesAreNoTwoOwners: of two nodes that each hold a part of what is one group here,
// neither is objected to; of two that hold one address, the worse-ranked is.
func TestHalvesAreNoTwoOwners(t *testing.T) {
	ours, theirs := planOf(t, 2, 3, "a+b"), planOf(t, 1, 3, "a b")
	now := time.Unix(1000, 0)
	n := New(now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: ours, Timing: testTiming()})
	c, k := n.peers[1], n.peers[2]
	for i, p := range []*peer{c, k} {
		p.table = n.plans.learn(theirs)
		p.ann.held = newSet(len(theirs.Groups))
		p.ann.held.add(theirs.Find(string("ab"[i])))
	}
	if !n.objectionable(c, k).empty() || !n.objectionable(k, c).empty() {
		t.Error("a holder of a and a holder of b are taken for two owners")
	}
	k.ann.held.add(theirs.Find("a"))
	if n.objectionable(c, k).empty() == n.objectionable(k, c).empty() {
		t.Error("of two holders of a, not exactly one is objected to")
	}
}
