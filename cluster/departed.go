package cluster

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A departed node was heard when our plan changed to one that doesn't have it. Until it goes
// over to that plan, too, it says what it still holds, and last of all that it gave that up:
// so others take it at once and needn't wait until it has been silent.
//
// What it said before that would be news to us again once a later plan has it back, so its trail
// is kept.
type departed struct {
	name string
	trail
	digest vipgroup.Digest // the plan by which it is believed; zero where it isn't any more
}

// maxDeparted bounds them: those that left first are forgotten.
const maxDeparted = vipgroup.MaxNodes

// trailOf is how far a node was believed that joins the plan.
func (n *Node) trailOf(name string) trail {
	if i := n.departedOf(name); i >= 0 {
		return n.departed[i].trail
	}
	if i := n.strangerOf(name); i >= 0 {
		return n.strangers[i].trail
	}
	return trail{}
}

func (n *Node) departedOf(name string) int {
	return slices.IndexFunc(n.departed, func(d departed) bool { return d.name == name })
}

// follow takes note of what such a node says, and tells whether it is still the process that
// left. An order or a plan, too, is news but once.
func (d *departed) follow(e envelope) bool {
	switch {
	case e.boot == d.boot:
		d.seq = max(d.seq, e.seq)
		return true
	case e.boot > d.top:
		d.trail, d.digest = d.next(e.boot), vipgroup.Digest{}
		d.seq = e.seq
	}
	return false
}

// departedAs is the holder in a sign for a departed node: no member's place, and not nobody.
func departedAs(i int) int { return nobody - 1 - i }

// depart notes who leaves with the old plan, and returns what stands for its members in signs.
func (n *Node) depart(old vipgroup.Plan, peers []*peer) (as func(member int) int) {
	n.departed = slices.DeleteFunc(n.departed, func(d departed) bool { return n.plan.Member(d.name) >= 0 })
	for i := range n.departed {
		n.departed[i].digest = vipgroup.Digest{}
	}
	for _, p := range peers {
		if p == nil || p.boot == 0 || n.plan.Member(p.name) >= 0 {
			continue
		}
		d := departed{name: p.name, trail: p.trail}
		if p.isHeard() && !p.farewell {
			d.digest = p.ann.digest
		}
		n.departed = append(n.departed, d)
	}
	n.departed = n.departed[max(0, len(n.departed)-maxDeparted):]
	return func(member int) int {
		if member < 0 {
			return nobody
		}
		name := old.Members()[member]
		if i := n.departedOf(name); i >= 0 && n.departed[i].digest != (vipgroup.Digest{}) {
			return departedAs(i)
		}
		return n.plan.Member(name)
	}
}

// receiveDeparted takes the incoming announcement of a node that our plan doesn't have, maybe
// any more.
func (n *Node) receiveDeparted(now time.Time, e envelope) Refusal {
	i := n.departedOf(string(e.sender))
	if i < 0 {
		return UnknownNode
	}
	d, a := &n.departed[i], &n.incoming
	if e.boot == d.boot && e.seq <= d.seq {
		return Replayed
	}
	if !d.follow(e) {
		return UnknownNode
	}
	d.farewell = a.farewell
	t := n.plans.tables[a.digest]
	if t == nil || t.same || a.digest != d.digest {
		return UnknownNode
	}
	// Where another one left, too, that one may just take what this one gives up.
	others := slices.ContainsFunc(t.plan.Members(), func(name string) bool { return name != d.name && n.plan.Member(name) < 0 })
	witnessed := !others && now.Sub(n.slept) >= n.bounds.interval
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
			n.signs.freedBy(g, departedAs(i), e.boot, a.farewell, now, witnessed, n.recent())
		}
	}
	return ""
}
