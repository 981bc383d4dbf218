package cluster

import (
	"net/netip"
	"slices"
	"time"
)

// Each node asks for what it hears no holder of, so a thousand addresses of a lost one would
// be as many broadcasts from everybody in each round: more than hosts can read in time for
// what else they are to hear. So a round has room for so many questions, and who was asked
// longest ago goes first. A group has one holder, of whose addresses any may answer for it: of
// a large one each round asks a part.
//
// Nothing is taken on fewer questions than it needs: a claim waits until each address of its
// group was asked after the last objection fell, and had time to answer (judgePermission).
const (
	// mostAsked is how many addresses a round asks at most.
	mostAsked = 256
	// askedWhole is how many addresses of a group are asked at once; of a larger one, a
	// quarter.
	askedWhole = 64
	// minRound is the least time between two rounds.
	minRound = 10 * time.Millisecond
)

// A round is what may still be asked until the next begins.
type round struct {
	began time.Time
	room  int
}

// take makes room for so many questions: now, or not before the instant returned.
func (r *round) take(now time.Time, every time.Duration, count int) (at time.Time) {
	next := r.began.Add(every)
	if !now.Before(next) {
		r.began, r.room = now, mostAsked
	} else if r.room < count {
		r.room = 0 // whoever comes next in the order must not go first
		return next
	}
	r.room -= count
	return now
}

// A walk goes round the addresses of a group.
type walk struct {
	last time.Time // when one was last asked
	next int       // the place of the one that is next
	left int       // how many are left until each was asked since began
	// began is when the present turn round all of them began, and whole when the last
	// complete one did, which ended at ended.
	began, whole, ended time.Time
}

// restart lets a new turn begin before this one is complete.
func (w *walk) restart() { w.left = 0 }

// step passes over up to count of so many addresses, and returns the place of the first.
func (w *walk) step(now time.Time, count, of int) (first int) {
	if w.left == 0 || w.left > of {
		w.began, w.left = now, of
	}
	first = w.next % of
	w.last, w.next, w.left = now, (first+count)%of, max(0, w.left-count)
	if w.left == 0 {
		w.whole, w.ended = w.began, now
	}
	return first
}

// quarter is the pace of asking for what gives no sign, and that of the rounds.
func (n *Node) quarter() time.Duration { return max(n.timing.Interval/4, minRound) }

// askSome asks groups for a part of their addresses each while the round has room, the
// longest unasked first, and returns when to go on, if any is left.
func (n *Node) askSome(now time.Time, r *round, groups []int, walkOf func(*sign) *walk, ask func(netip.Addr)) (wake time.Time) {
	slices.SortStableFunc(groups, func(a, b int) int {
		return walkOf(&n.signs[a]).last.Compare(walkOf(&n.signs[b]).last)
	})
	for _, g := range groups {
		vips := n.plan.Groups[g].VIPs
		count := min(len(vips), max(askedWhole, (len(vips)+3)/4), mostAsked)
		if at := r.take(now, n.quarter(), count); at.After(now) {
			return at
		}
		first := walkOf(&n.signs[g]).step(now, count, len(vips))
		for i := range count {
			ask(vips[(first+i)%len(vips)].Address.Addr())
		}
	}
	return wake
}

// ask adds the addresses that should be asked now, and returns when to ask again.
func (n *Node) ask(now time.Time, out *Ready) (wake time.Time) {
	if !n.serves() {
		return wake
	}
	heardAny := n.unheld(now, &wake)
	var due, pings []int
	for g := range n.all.all {
		s := &n.signs[g]
		switch {
		case !n.candidates.has(g):
			s.askedOn, s.pingOn = time.Time{}, time.Time{}
			continue
		case n.plan.Groups[g].Election:
			if s.askedOn.IsZero() {
				s.askedOn = now
			}
			continue
		case n.askAt(now, g, &wake):
			due = append(due, g)
		}
		if n.pingAt(now, g, &wake) {
			pings = append(pings, g)
		}
	}
	soonest(&wake, n.askSome(now, &n.asking, due, func(s *sign) *walk { return &s.asked }, func(a netip.Addr) { out.Ask = append(out.Ask, a) }))
	for _, g := range due {
		s := &n.signs[g]
		if s.asked.last.Equal(now) && s.askedOn.IsZero() {
			s.askedOn = now
		}
		n.askAt(now, g, &wake)
	}
	soonest(&wake, n.ping(now, pings, out))
	soonest(&wake, n.askWitnesses(now, heardAny, out))
	return wake
}

// unheld makes those groups the candidates of which no holder was heard for 1.5 intervals,
// and says whether anybody was.
func (n *Node) unheld(now time.Time, wake *time.Time) (heardAny bool) {
	n.candidates.copyFrom(n.all)
	n.candidates.minus(n.holds.mine)
	for _, p := range n.peers {
		if p == nil || !p.isHeard() {
			continue
		}
		if silence := now.Sub(p.last); silence <= n.bounds.interval*3/2 {
			heardAny = true
			n.candidates.minus(p.held)
			if !p.held.empty() {
				soonest(wake, p.last.Add(n.bounds.interval*3/2+1))
			}
		}
	}
	return heardAny
}

// askAt says whether a group should be asked now, and else when.
func (n *Node) askAt(now time.Time, g int, wake *time.Time) bool {
	s, c := &n.signs[g], &n.claims.groups[g]
	claimed := n.claims.open.has(g)
	switch {
	case n.takenUnasked(now, g, wake):
		return false
	case s.askedOn.IsZero():
		s.asked.restart()
		return true
	case claimed && s.asked.began.Before(c.since):
		s.asked.restart() // what was asked before the last objection fell counts for nothing
		return true
	}
	period := n.timing.Interval
	if claimed || now.Sub(s.newest) > n.bounds.interval*3/2 || len(n.plan.Groups[g].VIPs) > askedWhole {
		period = n.quarter()
	}
	if next := s.asked.last.Add(period); now.Before(next) {
		soonest(wake, next)
		return false
	}
	return true
}

// takenUnasked says whether a group is left alone for a moment since everybody witnessed its
// release: whoever should have it takes it without asking, and a question for each address
// just then would only be in the way.
func (n *Node) takenUnasked(now time.Time, g int, wake *time.Time) bool {
	s := &n.signs[g]
	due := s.freed.Add(n.quarter())
	if !s.askedOn.IsZero() || !now.Before(due) || !s.isFresh(now, n.recent()) || !n.complete() {
		return false
	}
	soonest(wake, due)
	return true
}

// askWitnesses asks whoever should answer if this node's reception works: now and then
// while all is well, to know that they answer at all, and often while nobody is heard.
func (n *Node) askWitnesses(now time.Time, heardAny bool, out *Ready) (wake time.Time) {
	interval := n.timing.Interval
	switch {
	case !heardAny && now.Sub(n.life.asked) >= interval/4:
		n.life.asked = now
		out.Ask = append(out.Ask, n.witnesses()...)
	case now.Sub(n.life.asked) >= witnessEvery:
		n.life.asked = now
		out.Ask = append(out.Ask, n.witness...)
	}
	if !heardAny {
		soonest(&wake, n.life.asked.Add(interval/4))
		if due := n.deafAt(); due.After(now) {
			soonest(&wake, due)
		}
	}
	return wake
}

// witnessEvery is how often witnesses are asked while all is well.
const witnessEvery = time.Second

// witnesses are the gateways, the configured witnesses and the peers' hosts.
func (n *Node) witnesses() []netip.Addr {
	out := append([]netip.Addr(nil), n.witness...)
	for _, p := range n.peers {
		if p != nil && p.from.IsValid() {
			out = append(out, p.from.Addr())
		}
	}
	return out
}
