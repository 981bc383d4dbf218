package cluster

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A departed node was heard when our plan changed to one that doesn't have it. Until it goes
// over to that plan, too, it says what it still holds, and last of all that it gave that up:
// so others take it at once and needn't wait until it has been silent.
type departed struct {
	name      string
	boot, seq uint64 // as of a peer
	digest    vipgroup.Digest
}

// departedAs is the holder in a sign for a departed node: no member's place, and not nobody.
func departedAs(i int) int { return nobody - 1 - i }

// depart notes who leaves with the old plan, and returns what stands for its members in signs.
func (n *Node) depart(old vipgroup.Plan, peers []*peer) (as func(member int) int) {
	n.departed = nil
	at := map[int]int{}
	for i, p := range peers {
		if p == nil || !p.isHeard() || p.farewell || n.plan.Member(p.name) >= 0 {
			continue
		}
		at[i] = departedAs(len(n.departed))
		n.departed = append(n.departed, departed{p.name, p.boot, p.seq, p.ann.digest})
	}
	return func(member int) int {
		if left, ok := at[member]; ok {
			return left
		}
		if member < 0 {
			return nobody
		}
		return n.plan.Member(old.Members()[member])
	}
}

// receiveDeparted takes the incoming announcement of a node that our plan doesn't have, maybe
// any more.
func (n *Node) receiveDeparted(now time.Time, e envelope) Refusal {
	i := slices.IndexFunc(n.departed, func(d departed) bool { return d.name == string(e.sender) })
	if i < 0 {
		return UnknownNode
	}
	d, a := &n.departed[i], &n.incoming
	if e.boot != d.boot {
		return UnknownNode
	}
	if e.seq <= d.seq {
		return Replayed
	}
	t := n.plans.tables[a.digest]
	if t == nil || t.same || a.digest != d.digest {
		return UnknownNode
	}
	d.seq = e.seq
	// Where another one left, too, that one may just take what this one gives up.
	recent := n.recent()
	others := slices.ContainsFunc(t.plan.Members(), func(name string) bool { return name != d.name && n.plan.Member(name) < 0 })
	if others || now.Sub(n.slept) < n.bounds.interval {
		recent = -1
	}
	part := newSet(len(n.plan.Groups))
	if !a.farewell {
		t.translate(part, a.held, n.all)
	}
	for g := range n.signs {
		switch {
		case t.covers(g, a.held) && !a.farewell:
			n.signs.held(g, departedAs(i), e.boot, now)
		case part.has(g):
			n.signs.heldInPart(g, now)
		default:
			n.signs.freedBy(g, departedAs(i), e.boot, a.farewell, now, recent)
		}
	}
	return ""
}
