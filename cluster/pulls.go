package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Denial is why a node doesn't do what an operator wants of it, and what he can do about
// it ("" for nothing).
type Denial struct{ Why, Hint string }

func (d *Denial) Error() string { return d.Why }

// maxPulls bounds what one node asks for at once, so that it fits its announcement.
const maxPulls = 16

// pullFor is how long a node asks for a group before it gives up.
func (n *Node) pullFor() time.Duration { return max(5*time.Second, 5*n.bounds.stale) }

// Pull asks for a group that another node has: this one goes before all others until it
// has the group, or for a while. It is denied where the group would not stay here.
func (n *Node) Pull(now time.Time, k vipgroup.Key) *Denial {
	n.arrive(now)
	g := n.plan.Group(k)
	if g < 0 {
		return &Denial{fmt.Sprintf("%s has no such group in plan %d", n.name, n.plan.Version), "vippyctl peers says who has which plan"}
	}
	if d := n.staysAway(now, g); d != nil {
		return d
	}
	if len(n.life.pulls) >= maxPulls {
		return &Denial{n.name + " is being given too many groups at once", "try again in a moment"}
	}
	n.pull(now, g)
	return nil
}

func (n *Node) pull(now time.Time, g int) {
	if n.holds.mine.has(g) {
		return
	}
	n.life.pulls[g] = now.Add(n.pullFor())
	n.stale, n.voice.urgent = true, true
}

// staysAway says why a group would not stay here if it came; nil if it would.
func (n *Node) staysAway(now time.Time, g int) *Denial {
	name := n.plan.Groups[g].Name
	if !n.life.eligible || n.self < 0 {
		hint := "vippyctl status says more"
		if n.life.drain != nil {
			hint = "vippyctl undrain " + n.name
		}
		return &Denial{fmt.Sprintf("%s can't have anything: %s", n.name, strings.Join(n.life.reasons, "; ")), hint}
	}
	if n.going(g) {
		return &Denial{"a new plan is coming into force", "try again in a moment"}
	}
	if n.unsteady(now) && n.servedElsewhere(g) {
		return &Denial{n.name + " did nothing for a while a moment ago", "try again in a moment; if that comes back, see loop-late in its alarms"}
	}
	bars := n.barsBut(now, func(x int) bool { return x == g })
	if bars != nil && bars[g] >= vipgroup.Barred {
		return &Denial{fmt.Sprintf("%s can't have %s: %s", n.name, name, n.whyBarred(g)), "vippyctl explain says more, on that node"}
	}
	v := n.view
	v.Eligible, v.Penalty = slices.Clone(v.Eligible), slices.Clone(v.Penalty)
	v.Eligible[n.self], v.Penalty[n.self] = true, bars
	d := vipgroup.Stays(n.plan, v, g, n.self)
	if d.Owner == n.self {
		return nil
	}
	hint := "vippyctl explain says more"
	if d.Owner < 0 { // the load would decide among others, all of which go before this node
		return &Denial{fmt.Sprintf("others would take %s back at once: %s has a penalty that they don't have", name, n.name),
			"a check gives " + n.name + " a penalty: see to that first"}
	}
	switch d.Reason {
	case vipgroup.Preferred, vipgroup.NextPreferred:
		hint = "drain that node, or change prefer in the plan"
	case vipgroup.LowestPenalty:
		hint = "a check gives " + n.name + " a penalty: see to that first"
	}
	return &Denial{fmt.Sprintf("%s would take %s back at once (%s)", n.plan.Members()[d.Owner], name, d.Reason), hint}
}

// whyBarred collects what bars a group here.
func (n *Node) whyBarred(g int) string {
	var why []string
	for _, v := range n.life.votes {
		if v.Bar && v.Group != nil && *v.Group == n.plan.Groups[g].Key {
			why = append(why, v.Source+": "+v.Reason)
		}
	}
	if n.life.unknown != "" {
		why = append(why, n.life.unknown)
	}
	if s := n.leftTo(g); s != nil {
		why = append(why, fmt.Sprintf("%s may take it by plan %d", s.name, s.ann.version))
	}
	if n.majority.groups.has(g) && !n.majority.has {
		why = append(why, n.noMajority())
	}
	return strings.Join(why, "; ")
}

// onePlan says whether everybody who is heard goes by our plan. Between two plans that put
// addresses together differently the load is never even: one would move for ever.
func (n *Node) onePlan() bool {
	return !slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.isHeard() && (p.table == nil || !p.table.same) })
}

// judgePulls ends those that came true, or can't any more, and begins one where the plan
// wants the load evened.
func (n *Node) judgePulls(now time.Time) {
	l := &n.life
	for g, until := range l.pulls {
		if n.holds.mine.has(g) || !now.Before(until) || !l.eligible || n.going(g) {
			delete(l.pulls, g)
			n.stale, n.voice.urgent = true, true
		}
	}
	pause := n.plan.Rebalance
	if pause <= 0 || len(l.pulls) > 0 || !l.eligible || now.Sub(l.pulledAt) < pause || !n.onePlan() {
		return
	}
	l.pulledAt = now
	if g, to := vipgroup.NextMove(n.plan, n.view); g >= 0 && to == n.self {
		n.pull(now, g)
	}
}
