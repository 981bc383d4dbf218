package cluster

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// claims keeps what this node wants to have and has not yet.
type claims struct {
	open   set
	groups []claim
	// expects: somebody should be heard now, so that silence of everything is our own.
	expects bool
}

type claim struct {
	begin uint64    // the sequence of the first announcement that carried it; 0 before
	since time.Time // since when permission is complete; zero while it is not
	stood time.Time // the since of a claim that got another begin, while nothing but that breaks it
	asked time.Time // when each address had been asked since then; else earlier
	pause time.Time // not before, after a rival went first
	free  time.Time // since when the group is there to be taken by anybody
	until time.Time // when it gives way to another claim that objections name
	wait  string    // what it waits for
}

// maxStarts bounds the claims of different age in one announcement.
const maxStarts = 3

func newClaims(groups int) claims {
	return claims{open: newSet(groups), groups: make([]claim, groups)}
}

func (c *claims) withdraw(g int) {
	c.open.del(g)
	c.groups[g].begin, c.groups[g].since, c.groups[g].stood, c.groups[g].until = 0, time.Time{}, time.Time{}, time.Time{}
}

func (c *claims) withdrawAll() {
	for g := range c.open.all {
		c.withdraw(g)
	}
}

// starts lists the different beginnings of the open claims; 0 is one not yet announced.
func (c *claims) starts(buf []uint64) []uint64 {
	for g := range c.open.all {
		b := c.groups[g].begin
		known := false
		for _, x := range buf {
			known = known || x == b
		}
		if !known {
			buf = append(buf, b)
		}
	}
	return buf
}

// mergeYoungest makes room for claims of now: the youngest ones begin anew with them. They
// have stood for as long as before once that is acknowledged, too: where many addresses fall
// silent one after the other, each would else wait for the last.
func (c *claims) mergeYoungest() {
	youngest := uint64(0)
	for g := range c.open.all {
		youngest = max(youngest, c.groups[g].begin)
	}
	for g := range c.open.all {
		if x := &c.groups[g]; x.begin == youngest {
			if !x.since.IsZero() {
				x.stood = x.since
			}
			x.begin, x.since = 0, time.Time{}
		}
	}
}

// judgeClaims opens, withdraws and grants this node's claims. It returns when the next
// of them may be ripe.
func (n *Node) judgeClaims(now time.Time) (wake time.Time) {
	if !n.serves() {
		return time.Time{}
	}
	var buf [maxStarts + 1]uint64
	full := len(n.claims.starts(buf[:0])) >= maxStarts
	candidates := n.candidates
	candidates.copyFrom(n.all)
	candidates.minus(n.holds.mine)
	blind := n.blind()
	n.claims.expects = n.expectsFrames()
	for g := range candidates.all {
		c := &n.claims.groups[g]
		if n.quiet(g) {
			c.free, c.wait = time.Time{}, ""
			continue
		}
		was := n.claims.open.has(g)
		may := !blind && n.mayClaim(now, g, &wake)
		switch {
		case !may && was:
			n.claims.withdraw(g)
			n.voice.urgent, n.stale = true, true
			continue
		case !may:
			continue
		case !was:
			if full {
				n.claims.mergeYoungest()
				full = false
			}
			n.claims.open.add(g)
			c.begin, c.since, c.stood = 0, time.Time{}, time.Time{}
			n.voice.urgent, n.stale = true, true
			continue
		}
		n.judgePermission(now, g, &wake)
	}
	return wake
}

// quiet says whether a group needs no thought: it isn't ours to take and somebody has it.
func (n *Node) quiet(g int) bool {
	return n.owner[g] != n.self && !n.claims.open.has(g) && n.heardHeld.has(g)
}

// mayClaim says whether a claim on a group may stand.
func (n *Node) mayClaim(now time.Time, g int, wake *time.Time) bool {
	c, s := &n.claims.groups[g], &n.signs[g]
	c.wait = ""
	heldByLive, blocked := n.heardHeld.has(g), false
	if heldByLive {
		blocked = slices.ContainsFunc(n.peers, func(p *peer) bool {
			return p != nil && p.isHeard() && p.state != Live && p.held.has(g)
		})
	}
	free := !heldByLive && (s.released() || n.silentSince(now, g, n.silence(g)-n.bounds.stand, wake))
	if !free {
		c.free = time.Time{}
	} else if c.free.IsZero() {
		c.free = now
	}
	if blocked {
		c.wait = "a node that does not hear this one holds it"
		return false
	}
	if n.majority.groups.has(g) {
		if c.wait = n.notForUs(now, g, wake); c.wait != "" {
			return false
		}
	}
	if n.twinHolds(now, g) {
		c.wait = "another node with this name has it"
		return false
	}
	if n.twinTakes(now) {
		c.wait = "another node with this name has not stood back yet"
		return false
	}
	if !n.life.eligible || n.barredHere(g) || n.going(g) {
		return false
	}
	if now.Before(c.pause) {
		c.wait = "another claim goes first"
		soonest(wake, c.pause)
		return false
	}
	switch {
	case n.owner[g] == n.self:
	case free && n.owner[g] != nobody:
		// An orphan: whoever should take it doesn't, in the time that a claim needs at least.
		place := time.Duration(n.plan.Rank(n.plan.Groups[g].Key, n.name))
		due := c.free.Add(max(n.bounds.stale, 3*n.bounds.stand)/2 + 2*n.bounds.interval*place)
		if p := n.peers[n.owner[g]]; p != nil && p.table != nil && !p.table.same {
			due = due.Add(n.bounds.silent) // what it joins by its plan has to fall silent first
		}
		if now.Before(due) {
			soonest(wake, due)
			return false
		}
	default:
		return false
	}
	if !free && !heldByLive {
		c.wait = "the address may still be in use"
		return false
	}
	rivals := 0
	for _, p := range n.peers {
		if p != nil && p.state == Live && p.claimed.has(g) && n.rivalClaims(p, g) {
			rivals++
		}
	}
	if rivals > 0 {
		if n.claims.open.has(g) {
			n.pause(now, g, rivals)
		}
		c.wait = "another claim goes first"
	}
	return rivals == 0
}

// rivalClaims says whether a peer's claim on our group has the better rank.
func (n *Node) rivalClaims(p *peer, g int) bool {
	for _, x := range p.ann.claims {
		if n.meetsGroup(p, x.groups, g) && n.rivalFirst(p, x.groups, g) {
			return true
		}
	}
	return false
}

// meetsGroup says whether groups of a peer's plan share an address with one of ours.
func (n *Node) meetsGroup(p *peer, theirs set, g int) bool {
	if p.table == nil {
		return false
	}
	for _, i := range p.table.overlap(g) {
		if theirs.has(i) {
			return true
		}
	}
	return false
}

// silentSince says whether a group's addresses have been silent for so long, on a wire
// that is known to work.
func (n *Node) silentSince(now time.Time, g int, long time.Duration, wake *time.Time) bool {
	s := &n.signs[g]
	if n.plan.Groups[g].Election && !n.majority.groups.has(g) {
		// Nobody answers for a name: its holder's grant must have run out.
		long += n.timing.Lifetime
	}
	due := s.newest.Add(long)
	if at := n.remembered(now, g, long); !at.IsZero() && at.Before(due) {
		due = at
	}
	if now.Before(due) {
		soonest(wake, due)
		return false
	}
	return !n.claims.expects || now.Sub(n.life.frame) <= (n.bounds.stale-n.bounds.stand)/2
}

// judgePermission grants an open claim when nobody objects and it has stood for as long
// as what is known of the addresses demands.
func (n *Node) judgePermission(now time.Time, g int, wake *time.Time) {
	c, s := &n.claims.groups[g], &n.signs[g]
	if wait := n.refusedBy(now, g); wait != "" {
		c.since, c.wait = time.Time{}, wait
		if n.refusal(now, g, anyBegin) != "" {
			c.stood = time.Time{}
		}
		n.giveWay(now, g)
		return
	}
	c.until = time.Time{}
	if c.since.IsZero() {
		c.since = now
		if !c.stood.IsZero() {
			c.since = c.stood
		}
	}
	c.stood = time.Time{}
	if s.isFresh(now, n.recent()) && n.complete() {
		n.take(now, g)
		return
	}
	from := c.since
	if !n.plan.Groups[g].Election {
		if s.askedOn.IsZero() {
			c.wait = "asking for the address"
			return
		}
		if s.askedOn.After(from) {
			from = s.askedOn
		}
		if c.asked.Before(from) && !s.asked.whole.Before(from) {
			c.asked = s.asked.ended
		}
		if c.asked.Before(from) {
			c.wait = "asking for the address" // in the next round
			return
		}
		// What was asked last has half of the time to answer.
		if late := c.asked.Add(-n.bounds.stand / 2); late.After(from) {
			from = late
		}
	}
	if due := from.Add(n.bounds.stand); now.Before(due) {
		c.wait = "asking for the address"
		soonest(wake, due)
		return
	}
	if !s.released() && !n.silentSince(now, g, n.silence(g), wake) {
		c.wait = "the address may still be in use"
		return
	}
	n.take(now, g)
}

// giveWay withdraws a claim that others may wait for in turn: one that has stood for two
// intervals under an objection for the sake of a node that isn't heard here, which may
// claim it too (if it holds it, it has had the time to let go to who can't hear it); and
// one that a live holder of a part of what our plan joins has long not met.
func (n *Node) giveWay(now time.Time, g int) {
	c := &n.claims.groups[g]
	anyLive := func(what func(p *peer) bool) bool {
		return slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.state == Live && what(p) })
	}
	patience := 2 * n.bounds.interval
	switch {
	case anyLive(func(p *peer) bool { return p.held.has(g) && !p.table.covers(g, p.ann.held) }):
		patience = 2 * n.bounds.stale
	case n.heardHeld.has(g) || !anyLive(func(p *peer) bool { return n.objected(p, g) }):
		c.until = time.Time{}
		return
	}
	if n.majority.groups.has(g) {
		// Whoever remembers a lost holder does so by its own clock.
		patience = max(patience, n.bounds.stale)
	}
	if due := now.Add(patience); c.until.IsZero() || c.until.After(due) {
		c.until = due
	}
	if !now.Before(c.until) {
		n.claims.withdraw(g)
		n.pause(now, g, n.plan.Rank(n.plan.Groups[g].Key, n.name)) // who else claims it may not be heard
		n.voice.urgent = true
	}
}

// pause keeps this node from claiming a group while so many rivals have their turn, which
// must be long enough for a claim to stand.
func (n *Node) pause(now time.Time, g, rivals int) {
	n.claims.groups[g].pause = now.Add(time.Duration(2+rivals) * max(n.bounds.interval, n.bounds.stand))
}

func (n *Node) take(now time.Time, g int) {
	n.warnOfMemory(now, g)
	n.claims.withdraw(g)
	for _, v := range n.plan.Groups[g].VIPs {
		delete(n.rivals, v.Address.Addr())
	}
	n.claims.groups[g].free, n.claims.groups[g].wait = time.Time{}, ""
	n.holds.want(g)
	n.holds.groups[g].taken = now
	n.voice.urgent, n.stale = true, true
}

// refusedBy names what stands against an open claim, "" when permission is complete.
func (n *Node) refusedBy(now time.Time, g int) string {
	if begin := n.claims.groups[g].begin; begin > 0 {
		return n.refusal(now, g, begin)
	}
	return "announcing the claim"
}

// anyBegin asks refusal for what stands against a claim beside that it is not yet
// acknowledged.
const anyBegin = 1

// refusal names what stands against an open claim that began with the announcement begin.
func (n *Node) refusal(now time.Time, g int, begin uint64) string {
	acks := n.majority.own()
	for _, p := range n.peers {
		if p == nil || !p.isHeard() {
			continue
		}
		switch {
		case p.held.has(g):
			return p.name + " has it"
		case p.state != Live && p.claimed.has(g):
			return p.name + " claims it and does not hear this node"
		case !p.hearsUs:
			// One that lists us is asked even when its acknowledgement has aged: it may
			// just have died, and what it said last stands until it is absent.
		case p.acked < begin:
			return p.name + " has not acknowledged the claim"
		case p.claimed.has(g) && n.rivalClaims(p, g):
			return p.name + " claims it and goes first"
		case n.refuses(p):
			return p.name + " does not know every plan yet"
		case n.objected(p, g):
			return p.name + " objects"
		case p.votes && n.acknowledges(now, p):
			acks++
		}
	}
	if n.majority.groups.has(g) && acks < n.majority.need {
		return "no majority has acknowledged the claim"
	}
	return ""
}

// complete says whether every node of the plan is live or gone by farewell, and no other may
// take anything.
func (n *Node) complete() bool {
	if n.hasRival() {
		return false
	}
	for _, p := range n.peers {
		if p != nil && p.serves && p.state != Live && !p.farewell {
			return false
		}
	}
	return true
}

// blind says whether a heard peer's plan is not known here: then nothing may be claimed.
func (n *Node) blind() bool {
	for _, p := range n.peers {
		if p != nil && p.isHeard() && p.table == nil {
			return true
		}
	}
	return false
}

func (n *Node) barredHere(g int) bool {
	row := n.view.Penalty[n.self]
	return row != nil && row[g] >= vipgroup.Barred
}

// soonest brings wake forward to t; a zero time is none.
func soonest(wake *time.Time, t time.Time) {
	if t.IsZero() {
		return
	}
	if wake.IsZero() || t.Before(*wake) {
		*wake = t
	}
}
