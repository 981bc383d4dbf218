package cluster

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// objected says whether a live peer's announcement holds a valid objection to our claim
// or hold of a group. Objections are in places of our plan, so one that was made before
// the peer heard of this plan says nothing.
func (n *Node) objected(q *peer, g int) bool {
	for i := range q.ann.objections {
		o := &q.ann.objections[i]
		if o.target == n.id && o.groups.has(g) && q.acked >= n.adopted && n.valid(q, o, g) {
			return true
		}
	}
	return false
}

// refuses says whether a live peer says no to every claim of ours.
func (n *Node) refuses(q *peer) bool {
	return slices.ContainsFunc(q.ann.objections, func(o objection) bool { return o.target == n.id && o.all })
}

// valid says whether an objection still binds: it doesn't when this node heard the one
// that it names at least as new as the objector did, as neither holding nor claiming. One that
// the objector doesn't hear any more it may remember from before this process began.
func (n *Node) valid(q *peer, o *objection, g int) bool {
	i := slices.IndexFunc(n.peers, func(p *peer) bool { return p != nil && p.id == o.named })
	if i < 0 || n.peers[i] == q {
		return true
	}
	k := n.peers[i]
	heard := q.hears[i]
	if heard.boot == 0 || heard.boot != k.boot || k.said < heard.seq {
		return true
	}
	return k.held.has(g) || k.claimed.has(g)
}

// objectedTo says whether q objects, for the sake of somebody other than us, to p's
// claim on our group.
func (n *Node) objectedTo(q, p *peer, g int) bool {
	for i := range q.ann.objections {
		o := &q.ann.objections[i]
		if o.target != p.id || o.named == n.id {
			continue
		}
		if o.all || n.meetsGroup(p, o.groups, g) {
			return true
		}
	}
	return false
}

// judgeObjections collects what this node has to say against others: that somebody else
// has what they claim or claimed it first, and of two holders, against the worse-ranked.
// Against a claim in a plan that is not known here, or while any heard peer's is not,
// it can only say no.
func (n *Node) judgeObjections(now time.Time) {
	out := n.voice.objections[:0]
	blind := n.blind()
	if !blind && !n.contended() {
		n.voice.urgent = n.voice.urgent || len(n.voice.said) > 0
		n.voice.objections = out
		return
	}
	for _, c := range n.peers {
		if c == nil || !c.isHeard() {
			continue
		}
		if (blind || c.table == nil) && len(c.ann.claims) > 0 {
			out = append(out, objection{target: c.id, named: n.id, all: true})
			continue
		}
		if c.table == nil {
			continue
		}
		out = append(out, n.doubts(now, c)...)
		for _, k := range n.peers {
			if k == nil || k == c || !k.isHeard() {
				continue
			}
			if !k.held.meets(c.claimed) && !k.claimed.meets(c.claimed) && !k.held.meets(c.held) {
				continue
			}
			if s := n.objectionable(c, k); !s.empty() {
				out = append(out, objection{target: c.id, named: k.id, groups: s})
			}
		}
	}
	if !slices.EqualFunc(out, n.voice.said, func(a, b objection) bool {
		return a.target == b.target && a.named == b.named && a.all == b.all && a.groups.equal(b.groups)
	}) {
		n.voice.urgent = true
	}
	n.voice.objections = out
}

// contended says whether any peer claims anything, or two hold the same: in calm neither.
func (n *Node) contended() bool {
	seen := n.candidates
	seen.clear()
	for _, p := range n.peers {
		if p == nil || !p.isHeard() {
			continue
		}
		if len(p.ann.claims) > 0 || p.held.meets(seen) {
			return true
		}
		seen.or(p.held)
	}
	return false
}

// objectionable returns the groups, in places of c's plan, of which k has an address by a
// better right. Addresses decide: what is one group here may be two there.
func (n *Node) objectionable(c, k *peer) set {
	out := newSet(len(c.table.plan.Groups))
	if k.table == nil {
		return out
	}
	if c.table.same && k.table.same {
		// The usual case: places are groups, and only those that both have to do with matter.
		for g := range n.all.all {
			kHolds, kClaims := k.held.has(g), k.claimed.has(g)
			if !kHolds && !kClaims {
				continue
			}
			if c.held.has(g) && kHolds && n.plan.Better(n.plan.Groups[g].Key, k.name, c.name) ||
				c.claimed.has(g) && (kHolds || k.stampOf(g) < c.stampOf(g)) {
				out.add(g)
			}
		}
		return out
	}
	for i, group := range c.table.plan.Groups {
		cHolds, cClaims := c.ann.held.has(i), c.claims(i)
		if !cHolds && !cClaims {
			continue
		}
		for _, r := range group.Resources() {
			j := k.table.plan.Owns(r)
			if j < 0 {
				continue
			}
			kHolds, key := k.ann.held.has(j), vipgroup.KeyOf([]string{r})
			if g := n.plan.Owns(r); g >= 0 {
				key = n.plan.Groups[g].Key
			}
			if cHolds && kHolds && n.plan.Better(key, k.name, c.name) ||
				cClaims && (kHolds || k.claims(j) && k.stampOf(j) < c.stampOf(i)) {
				out.add(i)
				break
			}
		}
	}
	return out
}

// foldObjections says in few bytes what a crowd of objections says in many: no to every
// claim of whoever claims. Objections to holds come again when there is room.
func (n *Node) foldObjections(all []objection) []objection {
	var out []objection
	for _, p := range n.peers {
		if p == nil || len(p.ann.claims) == 0 {
			continue
		}
		if slices.ContainsFunc(all, func(o objection) bool { return o.target == p.id }) {
			out = append(out, objection{target: p.id, named: n.id, all: true})
		}
	}
	return out
}
