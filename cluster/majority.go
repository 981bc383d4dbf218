package cluster

import (
	"fmt"
	"slices"
	"time"
)

// This file is `partition: single` (docs/protocol.md): of nodes that are cut apart, only
// those with a majority of the voters behind them serve. Two rules carry it. A holder goes
// on only while a majority acknowledged something that it sent a moment ago; and whoever
// acknowledged it objects to every other claim for as long as the kernel of a holder that
// was cut off, or stopped, may keep an address. Two majorities share a voter.

// majority is who must acknowledge what only a majority may serve.
type majority struct {
	groups set // that only a majority may serve
	of     int // how many voters there are
	need   int // how many of them make a majority
	self   bool

	acks  int       // how many acknowledge now, this node included
	has   bool      // they are enough
	lapse time.Time // when they are not any more; zero where this node is enough
	// known has the groups that a live peer was heard to hold since this process started.
	known set

	times []time.Time // scratch
}

// sweep bounds how long after its lifetime the kernel drops an address (measured on Linux
// 6.18: 1.02 s).
const sweep = 1050 * time.Millisecond

// newMajority reads the plan, and marks the peers that count.
func (n *Node) newMajority() majority {
	voters, need := n.plan.Majority()
	count := len(n.plan.Groups)
	m := majority{groups: newSet(count), of: len(voters), need: need, self: slices.Contains(voters, n.name),
		has: true, known: newSet(count)}
	for g := range n.plan.Groups {
		if n.plan.Single(g) {
			m.groups.add(g)
		}
	}
	for _, p := range n.peers {
		if p != nil {
			p.votes = slices.Contains(voters, p.name)
		}
	}
	return m
}

// own is this node's part of a majority.
func (m *majority) own() int {
	if m.self {
		return 1
	}
	return 0
}

// serves says whether this node is one of the plan's nodes. A mere voter is not: it takes
// part in the chat, acknowledges and objects.
func (n *Node) serves() bool { return n.self >= 0 && n.self < len(n.plan.Nodes) }

// trust is how long after it was sent an acknowledged announcement counts. It is less than
// stale by what clocks may differ and what a removal may take, and this node's own stale:
// that is what its peers know of.
func (n *Node) trust() time.Duration { return n.timing.Stale*98/100 - n.timing.Interval/2 }

// acknowledges says whether a peer acknowledged something that this process sent lately.
func (n *Node) acknowledges(now time.Time, p *peer) bool {
	return !p.ackedAt.IsZero() && now.Before(p.ackedAt.Add(n.trust()))
}

// judgeMajority counts who acknowledges, and finds when they will be too few.
func (n *Node) judgeMajority(now time.Time) {
	m := &n.majority
	if m.groups.empty() {
		return
	}
	m.times, m.acks = m.times[:0], m.own()
	for _, p := range n.peers {
		if p == nil || !p.votes {
			continue
		}
		m.times = append(m.times, p.ackedAt)
		if n.acknowledges(now, p) {
			m.acks++
		}
	}
	m.lapse = time.Time{}
	if others := m.need - m.own(); others > 0 {
		slices.SortFunc(m.times, func(a, b time.Time) int { return b.Compare(a) })
		m.lapse = m.times[others-1].Add(n.trust())
	}
	if has := m.acks >= m.need; has != m.has {
		m.has = has
		n.stale, n.voice.urgent = true, true
	}
}

// noMajority says what is missing.
func (n *Node) noMajority() string {
	return fmt.Sprintf("no majority: %d of %d %s acknowledge", n.majority.acks, n.majority.of, n.voterKind())
}

// voterKind is what the voters are called.
func (n *Node) voterKind() string {
	if len(n.plan.Voters) > 0 {
		return "voters"
	}
	return "nodes"
}

// silence is how long a group's addresses must have given no sign before it is taken
// unreleased. A process that never heard a peer, for want of the right secret say, leaves the
// others the time to go first: they would take it in the same moment, and neither would know
// whose host the other's is.
func (n *Node) silence(g int) time.Duration {
	silent := n.bounds.silent
	if n.neverMet() {
		silent += 2 * n.bounds.interval * time.Duration(1+n.plan.Rank(n.plan.Groups[g].Key, n.name))
	}
	if n.majority.groups.has(g) {
		return max(silent, n.bounds.stale+n.timing.Lifetime+sweep)
	}
	return silent
}

// neverMet says whether there are other nodes, and nothing that any of them said was ever
// believed by this process.
func (n *Node) neverMet() bool { return !n.life.met && len(n.peers) > 1 }

// lingers says whether a peer that isn't heard may still have what it last spoke of: it
// goes on for a moment after it was heard, and its kernel for a lifetime after that.
func (n *Node) lingers(now time.Time, p *peer) bool {
	return !p.isHeard() && !p.farewell && !p.last.IsZero() && now.Before(n.forgets(p))
}

// forgets is when a peer that isn't heard any more can't have what it last spoke of.
func (n *Node) forgets(p *peer) time.Time {
	return p.last.Add(max(n.bounds.stale, p.ann.stale) + n.timing.Lifetime + sweep)
}

// notForUs names what keeps this node from claiming a group that only a majority may
// serve, "" for nothing: this node is one of those whose word it needs.
func (n *Node) notForUs(now time.Time, g int, wake *time.Time) string {
	if !n.majority.has {
		return n.noMajority()
	}
	if n.ignorant(now, g) {
		return "this process has not listened long enough to know that nobody has it"
	}
	for _, p := range n.peers {
		// What it claimed counts: it may have been granted.
		if p != nil && n.lingers(now, p) && (p.table == nil || p.held.has(g) || p.claimed.has(g)) {
			soonest(wake, n.forgets(p))
			return p.name + " may still have it"
		}
	}
	return ""
}

// ignorant says whether this process can't know yet who has a group: it may have
// acknowledged a claim or hold before it was started anew. To have heard the holder since
// is enough, once no claim that it acknowledged before can be granted any more.
func (n *Node) ignorant(now time.Time, g int) bool {
	age := now.Sub(n.born)
	return age < n.bounds.stale || age < n.silence(g) && !n.majority.known.has(g)
}

// doubts are the objections to a peer's claims on groups that only a majority may serve: of
// who was heard a while ago and may still have them, and of what this node can't know.
func (n *Node) doubts(now time.Time, c *peer) (out []objection) {
	if n.majority.groups.empty() || len(c.ann.claims) == 0 {
		return nil
	}
	doubt := func(named nodeID, may func(place, g int, resource string) bool) {
		o := objection{target: c.id, named: named, groups: newSet(len(c.table.plan.Groups))}
		for i, group := range c.table.plan.Groups {
			if !c.claims(i) {
				continue
			}
			for _, r := range group.Resources() {
				g := n.plan.Owns(r)
				if g >= 0 && n.majority.groups.has(g) && may(i, g, r) {
					o.groups.add(i)
					break
				}
			}
		}
		if !o.groups.empty() {
			out = append(out, o)
		}
	}
	doubt(n.id, func(_, g int, _ string) bool { return n.ignorant(now, g) })
	for _, k := range n.peers {
		if k == nil || k == c || !n.lingers(now, k) {
			continue
		}
		if k.table == nil {
			out = append(out, objection{target: c.id, named: n.id, all: true})
			continue
		}
		doubt(k.id, func(i, _ int, r string) bool {
			j := k.table.plan.Owns(r)
			return j >= 0 && (k.ann.held.has(j) || k.claims(j) && k.stampOf(j) < c.stampOf(i))
		})
	}
	return out
}
