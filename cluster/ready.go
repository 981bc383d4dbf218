package cluster

import (
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Ready returns what to do now. It is where everything is decided: the inputs before it
// only filled the books.
func (n *Node) Ready(now time.Time) Ready {
	n.arrive(now)
	n.judgePlan(now)
	n.judgePeers(now)
	n.judgeMajority(now)
	var wake time.Time
	// A decision may make way for another: a group let go is free to be claimed, a
	// vote that came true changes who should have it. Three rounds settle all of them.
	for range 3 {
		n.judgeLife(now)
		n.judgePulls(now)
		n.assign(now)
		n.judgeHolds(now)
		wake = n.judgeClaims(now)
		if !n.stale {
			break
		}
	}
	n.judgeObjections(now)
	soonest(&wake, n.fetchPlans(now))
	soonest(&wake, n.judgeOrders(now))
	for _, until := range n.life.pulls {
		soonest(&wake, until)
	}
	n.judgeAlarms(now)

	out := Ready{Send: n.direct, Orders: n.orders.given, Replies: n.orders.replies}
	n.direct, n.orders.given, n.orders.replies = nil, nil, nil
	n.tellNeighbours(now, &out) // before the announcement, which would be void where they overtook it
	soonest(&wake, n.speak(now, &out))
	out.Neighbours, n.parted = n.parted, nil
	soonest(&wake, n.ask(now, &out))
	n.repeatAnnouncements(now)
	soonest(&wake, n.assureNow(now))
	soonest(&wake, n.repeatLater(now))
	if d := n.life.drain; d != nil {
		soonest(&wake, d.Until)
	}
	if n.majority.has {
		soonest(&wake, n.majority.lapse)
	}
	if n.holds.mine.meets(n.majority.groups) {
		out.Lapse = n.majority.lapse
	}
	out.Hold = n.holds.keys(n.plan)
	out.Announce, n.voice.announce = n.voice.announce, nil
	out.Announced = n.speaks(now) && now.Sub(n.voice.last) <= 2*n.bounds.interval
	if n.stale || !wake.After(now) {
		wake = now.Add(minGap)
	}
	out.Wake = wake
	return out
}

// judgePeers finds out how each peer is heard now.
func (n *Node) judgePeers(now time.Time) {
	n.judgeBounds(now)
	n.heardHeld.clear()
	for _, p := range n.peers {
		if p == nil {
			continue
		}
		state := p.judge(now, n.bounds)
		p.sure = state == Live || p.sure && state != Absent
		p.proved = p.proved || state == Live
		if state != p.state {
			if state == Absent || p.state == Absent {
				n.voice.urgent, p.back = true, now
			}
			switch {
			case state == Absent:
				p.lost = p.boot
			case p.state == Absent && p.lost == p.boot:
				// It fell silent and is back. If it had our addresses meanwhile, it may have let go
				// to us before it was heard: then nothing else tells its clients.
				for g := range n.holds.wanted.all {
					n.reassure(now, g)
				}
			}
			p.state, p.since = state, now
			n.stale = true
		}
		if p.isHeard() {
			n.heardHeld.or(p.held)
		}
		if p.state == Live && p.table != nil && p.table.same {
			n.majority.known.or(p.held)
		}
	}
	n.judgeStrangers(now)
}

// judgeBounds takes the largest timings among the nodes heard, and of those who fell silent
// until what they had was silent, and a claim on it has stood, by their own timings.
func (n *Node) judgeBounds(now time.Time) {
	interval, stale := n.timing.Interval, n.timing.Stale
	for _, p := range n.peers {
		if p == nil || p.farewell || p.last.IsZero() {
			continue
		}
		own := boundsOf(max(n.timing.Interval, p.ann.interval), max(n.timing.Stale, p.ann.stale))
		if now.Sub(p.last) <= own.silent+own.stand {
			interval, stale = max(interval, p.ann.interval), max(stale, p.ann.stale)
		}
	}
	n.bounds = boundsOf(interval, stale)
}

// assign computes who should have what, when anything changed that it depends on.
func (n *Node) assign(now time.Time) {
	delays := len(n.delays) > 0 || n.wary
	waited := delays && now.Sub(n.assigned) >= n.timing.Interval/2
	if !n.stale && !waited {
		return
	}
	n.stale, n.assigned, n.wary = false, now, n.unsteady(now)
	v := &n.view
	clear(v.Eligible)
	for i := range v.Holder {
		v.Holder[i] = nobody
	}
	for i, p := range n.peers {
		if p == nil {
			v.Penalty[i] = nil
			continue
		}
		v.Eligible[i] = p.state == Live && p.eligible && p.serves
		v.Penalty[i] = p.bars
		if !p.isHeard() {
			continue
		}
		for g := range p.held.all {
			if n.betterHolder(i, v.Holder[g], g) {
				v.Holder[g] = i
			}
		}
	}
	if n.self >= 0 {
		v.Eligible[n.self] = n.life.eligible
		v.Penalty[n.self] = n.ownBars(now)
		for g := range n.holds.mine.all {
			v.Holder[g] = n.self
		}
	}
	for g := range v.Holder {
		if v.Holder[g] != n.had[g] && (v.Holder[g] != nobody || !n.presumed(n.had[g], g)) {
			n.had[g], n.since[g] = v.Holder[g], now
		}
		if v.Holder[g] == nobody {
			v.Holder[g] = n.incumbent(now, g)
		}
	}
	for g, d := range vipgroup.Assign(n.plan, *v) {
		n.owner[g], n.why[g] = d.Owner, d.Reason
	}
}

// presumed says whether a node is taken, for people, to have a group still: it had it when it
// went over to a plan that isn't known here yet.
func (n *Node) presumed(i, g int) bool {
	return i >= 0 && i == n.had[g] && n.peers[i] != nil && n.peers[i].isHeard() && n.peers[i].table == nil
}

// betterHolder picks among several that say they hold a group: a live one, then the
// better rank.
func (n *Node) betterHolder(i, than, g int) bool {
	if than == nobody {
		return true
	}
	a, b := n.peers[i], n.peers[than]
	if (a.state == Live) != (b.state == Live) {
		return a.state == Live
	}
	return n.plan.Better(n.plan.Groups[g].Key, a.name, b.name)
}

// incumbent is who had a group last and wants it back: whoever lost it to a meddler or
// a lapse keeps it without a contest.
func (n *Node) incumbent(now time.Time, g int) int {
	s := &n.signs[g]
	switch {
	case s.holder < 0:
	case s.holder == n.self:
		if s.isFresh(now, n.recent()) {
			return n.self
		}
	case n.peers[s.holder].isHeard() && n.peers[s.holder].claimed.has(g):
		return s.holder
	}
	return nobody
}

// repeatAnnouncements lets others find a holder that they may not hear: while a node of
// the plan isn't live, everything held is announced by ARP now and then. One that said
// farewell may be back where this node doesn't hear it, and must not take for a memory what
// answers here.
func (n *Node) repeatAnnouncements(now time.Time) {
	pace := time.Duration(0)
	for _, p := range n.peers {
		switch {
		case p == nil || !p.serves || p.state == Live:
		case !p.farewell:
			pace = max(n.bounds.stale/2, announceGap)
		case pace == 0:
			pace = farewellPace
		}
	}
	if pace == 0 || n.holds.wanted.empty() || now.Sub(n.voice.repeated) < pace {
		return
	}
	n.voice.repeated = now
	for g := range n.holds.wanted.all {
		n.reannounceGroup(now, g)
	}
}

// farewellPace is how often held addresses are announced for nodes that left: at least
// twice in the shortest time after which a memory is taken.
const farewellPace = time.Second
