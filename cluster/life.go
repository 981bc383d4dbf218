package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// life is this node's own fitness: maturity, isolation, votes and orders.
type life struct {
	since     time.Time // when the listening began that makes it mature
	young     bool      // not yet mature since the start of the process
	mature    bool
	isolated  bool
	unknown   string     // in whose plan it is missing, and so takes nothing; "" for nobody's
	behind    bool       // it stands back for another process with its name
	twinAt    netip.Addr // where that speaks from, if it is heard
	blipped   bool       // the asking was restarted for a silence; once is enough
	outsiders outsiders  // who is heard although the plan doesn't know them
	answered  time.Time  // when a witness last answered
	hearing   bool       // some frame arrived since the start
	met       bool       // so did something that a peer said
	frame     time.Time  // the newest frame of any kind
	woke      time.Time  // the end of the last time that it did nothing, if a frame came before
	asked     time.Time  // when the witnesses were last asked

	drain   *Drain // nil while this node isn't drained
	leaving bool
	leaveBy time.Time
	votes   []Vote
	healed  map[vipgroup.Key]time.Time // when a vote that barred a group was last lifted
	pulls   map[int]time.Time          // the groups that it asks for, and until when
	// pulledAt is when it last looked for one that would even the load.
	pulledAt time.Time

	eligible   bool
	eligibleAt time.Time // when it became so
	reasons    []string
}

func newLife(now time.Time) life {
	return life{since: now, young: true, frame: now, pulls: map[int]time.Time{}, pulledAt: now, healed: map[vipgroup.Key]time.Time{}}
}

// outsiders remembers when hosts outside the plan were last heard: silence of everything
// says something about our own ears only where they are heard all the time. A burst, or a
// stranger who stops, must not look like deafness.
type outsiders [16]time.Time

// note remembers a moment, or leaves it when the last one is closer than every, so that
// the whole memory spans at least 15 times that.
func (o *outsiders) note(now time.Time, every time.Duration) {
	if now.Sub(o[0]) < every {
		return
	}
	copy(o[1:], o[:])
	o[0] = now
}

// steady says whether the pauses between them, up to a moment, were never longer than gap.
func (o *outsiders) steady(until time.Time, gap time.Duration) bool {
	for _, at := range o {
		if at.IsZero() || until.Sub(at) > gap {
			return false
		}
		until = at
	}
	return true
}

// Vote takes an opinion on this node's health; it takes effect at once.
func (n *Node) Vote(now time.Time, v Vote) {
	n.arrive(now)
	same := func(o Vote) bool {
		return o.Source == v.Source && (o.Group == nil) == (v.Group == nil) && (v.Group == nil || *o.Group == *v.Group)
	}
	if i := slices.IndexFunc(n.life.votes, same); i >= 0 {
		if n.life.votes[i].Bar && v.Group != nil {
			n.life.healed[*v.Group] = now
		}
		n.life.votes = slices.Delete(n.life.votes, i, i+1)
	}
	if v.Bar || v.Penalty > 0 {
		n.life.votes = append(n.life.votes, v)
		slices.SortStableFunc(n.life.votes, func(a, b Vote) int { return cmp.Compare(a.Source, b.Source) })
	}
	n.stale, n.voice.urgent = true, true
}

// Drain hands everything over as successors are found, and takes nothing until then.
func (n *Node) Drain(now time.Time, d Drain) {
	n.arrive(now)
	n.life.drain = &d
	n.stale, n.voice.urgent = true, true
}

// Undrain ends Drain.
func (n *Node) Undrain(now time.Time) {
	n.arrive(now)
	n.life.drain = nil
	n.stale, n.voice.urgent = true, true
}

// Drained says whether an order to drain is in force.
func (n *Node) Drained() bool { return n.life.drain != nil }

// Leave hands over what has a successor and gives up the rest.
func (n *Node) Leave(now time.Time) {
	n.arrive(now)
	if !n.life.leaving {
		n.life.leaving = true
		n.life.leaveBy = now.Add(min(max(2*n.bounds.stale, time.Second), 3*time.Second))
	}
	n.stale, n.voice.urgent = true, true
}

// Left says whether Leave is done: nothing is in this host's kernel any more.
func (n *Node) Left() bool { return n.life.leaving && n.holds.mine.empty() }

// judgeLife decides whether this node may own anything, with every reason against it.
func (n *Node) judgeLife(now time.Time) {
	l := &n.life
	n.judgeIsolation(now)
	n.judgeTwins(now)
	if !l.mature {
		l.mature = n.matures(now)
		if l.mature {
			l.young = false
		}
	}
	var reasons []string
	if n.self < 0 {
		reasons = append(reasons, fmt.Sprintf("not in plan %d", n.plan.Version))
	} else if !n.serves() {
		reasons = append(reasons, "a voter only")
	}
	n.judgeUnknown()
	if l.unknown != "" && n.holds.mine.empty() {
		reasons = append(reasons, l.unknown)
	}
	if l.leaving {
		reasons = append(reasons, "stopping")
	}
	if l.isolated {
		reasons = append(reasons, "isolated: no frame arrives")
	}
	if l.behind {
		reasons = append(reasons, n.standsBack())
	}
	if !l.mature {
		reasons = append(reasons, "booting")
	}
	if m := &n.majority; !m.has && m.groups.equal(n.all) && n.serves() {
		reasons = append(reasons, n.noMajority())
	}
	if d := l.drain; d != nil && !d.Until.IsZero() && !now.Before(d.Until) {
		l.drain = nil
	}
	if l.drain != nil {
		reasons = append(reasons, strings.TrimSuffix("drained "+l.drain.Note, " "))
	}
	for _, v := range l.votes {
		if v.Group == nil && v.Bar {
			reasons = append(reasons, v.Source+": "+v.Reason)
		}
	}
	eligible := len(reasons) == 0
	if eligible && !l.eligible {
		l.eligibleAt = now
	}
	if eligible != l.eligible || !slices.Equal(reasons, l.reasons) {
		l.eligible, l.reasons = eligible, reasons
		n.stale, n.voice.urgent = true, true
	}
}

// judgeUnknown finds out whether a peer goes by a plan that lacks this node. What is held then
// stays: a node that is late with a plan must move nothing.
func (n *Node) judgeUnknown() {
	why := ""
	if n.serves() {
		why = n.unknownTo()
	}
	if why != n.life.unknown {
		n.life.unknown = why
		n.stale, n.voice.urgent = true, true
	}
}

// matures says whether this node has listened long enough: until every node of the plan
// is live, or else until whoever holds something would have been heard.
func (n *Node) matures(now time.Time) bool {
	l := &n.life
	if l.isolated || now.Before(n.voice.speakAt) {
		return false
	}
	wait := n.bounds.stale + 2*n.bounds.interval
	if l.young {
		wait = max(wait, n.timing.Mature)
	}
	if now.Sub(l.since) >= wait {
		return true
	}
	for _, p := range n.peers {
		if p != nil && p.serves && (p.state != Live || now.Sub(p.ackedAt) > 2*n.bounds.interval) {
			return false
		}
	}
	return true
}

// deafAt is when this node counts as deaf if nothing arrives until then: before others,
// if it was its link that was cut, may take what it has. They heard it at least until they
// said what they acknowledged last, and as it speaks every interval, until an interval
// before it last heard anything.
func (n *Node) deafAt() time.Time {
	since, known := n.life.frame.Add(-n.bounds.interval), time.Time{}
	for _, p := range n.peers {
		if n.spokeLast(p) && (known.IsZero() || p.ackedAt.Before(known)) {
			known = p.ackedAt
		}
	}
	if known.After(since) {
		since = known
	}
	at := since.Add(n.bounds.stale)
	// Who did nothing for a while asks first: nobody answered what wasn't asked. Once, until a
	// frame comes.
	if woke := n.life.woke.Add(n.bounds.interval); woke.After(at) {
		at = woke
	}
	return at
}

// judgeIsolation finds out that this node's receive side is dead: nothing at all
// arrives, although somebody is known who would be heard.
func (n *Node) judgeIsolation(now time.Time) {
	l := &n.life
	if l.isolated || now.Before(n.deafAt()) {
		return
	}
	l.isolated = n.fellSilent() >= 2 || n.othersExpected()
}

// spokeLast says whether a peer was heard until the wire fell silent altogether.
func (n *Node) spokeLast(p *peer) bool {
	return p != nil && !p.farewell && !p.last.IsZero() && n.life.frame.Sub(p.last) < n.bounds.stale
}

// fellSilent counts the peers that were heard until the wire fell silent altogether.
func (n *Node) fellSilent() (count int) {
	for _, p := range n.peers {
		if n.spokeLast(p) {
			count++
		}
	}
	return count
}

// othersExpected says whether somebody besides the peers should be heard now: a witness
// that answers, or did not yet have the chance since not a single frame came in; or hosts
// outside the plan that spoke all the time.
func (n *Node) othersExpected() bool {
	l := &n.life
	answering := !l.answered.IsZero() && l.frame.Sub(l.answered) <= 3*witnessEvery
	return answering || len(n.witness) > 0 && !l.hearing || l.outsiders.steady(l.frame, n.bounds.stale/2)
}

// expectsFrames says whether some station besides one peer should be heard, so that
// silence of everything speaks against our own ears.
func (n *Node) expectsFrames() bool { return n.fellSilent() >= 2 || n.othersExpected() }

// ownBars returns this node's penalties per group, nil without any.
func (n *Node) ownBars(now time.Time) []int {
	pulled := func(g int) bool { _, ok := n.life.pulls[g]; return ok }
	bars := n.barsBut(now, pulled)
	for g := range n.life.pulls {
		if bars == nil {
			bars = make([]int, len(n.plan.Groups))
		}
		if bars[g] < vipgroup.Barred {
			bars[g] = vipgroup.Pull
		}
	}
	return bars
}

// barsBut returns the penalties that don't come of asking for a group. Who asks for it waits
// for no preempt_delay.
func (n *Node) barsBut(now time.Time, asked func(g int) bool) []int {
	var bars []int
	set := func(g, penalty int) {
		if bars == nil {
			bars = make([]int, len(n.plan.Groups))
		}
		bars[g] = max(bars[g], penalty)
	}
	for _, v := range n.life.votes {
		if v.Group == nil {
			if !v.Bar {
				for g := range n.plan.Groups {
					set(g, v.Penalty)
				}
			}
			continue
		}
		if g := n.plan.Group(*v.Group); g >= 0 {
			if v.Bar {
				set(g, vipgroup.Barred)
			} else {
				set(g, v.Penalty)
			}
		}
	}
	if m := &n.majority; !m.has && !m.groups.equal(n.all) {
		for g := range m.groups.all {
			set(g, vipgroup.Barred)
		}
	}
	if n.life.unknown != "" {
		for g := range n.all.all {
			if !n.holds.mine.has(g) {
				set(g, vipgroup.Barred)
			}
		}
	}
	if n.hasRival() {
		for g := range n.all.all {
			if !n.holds.mine.has(g) && n.leftTo(g) != nil {
				set(g, vipgroup.Barred)
			}
		}
	}
	for _, g := range n.delays {
		if !asked(g) && n.waits(now, g) {
			set(g, vipgroup.Barred)
		}
	}
	if n.unsteady(now) {
		for g := range n.all.all {
			if n.servedElsewhere(g) {
				set(g, vipgroup.Barred)
			}
		}
	}
	return bars
}

// unsteady says whether this process did nothing for a while a moment ago. It trusts no release
// then, and would have to wait until what is given up to it has been silent, if it isn't kept
// from running again before: so it leaves to others what they serve.
func (n *Node) unsteady(now time.Time) bool {
	return now.Sub(n.slept) < n.bounds.silent
}

// servedElsewhere says whether a peer has a group and may go on having it.
func (n *Node) servedElsewhere(g int) bool {
	return !n.holds.mine.has(g) && slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p != nil && p.isHeard() && p.eligible && p.held.has(g)
	})
}

// waits says whether this node, which prefers a group, still leaves it to its healthy
// holder (preempt_delay).
func (n *Node) waits(now time.Time, g int) bool {
	group := &n.plan.Groups[g]
	since := n.life.eligibleAt
	if healed := n.life.healed[group.Key]; healed.After(since) {
		since = healed
	}
	if now.Sub(since) >= group.PreemptDelay || !slices.Contains(group.Prefer, n.name) || n.holds.mine.has(g) {
		return false
	}
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.isHeard() && p.held.has(g) })
}

// betterNowhere says whether a vote wants a group to be nowhere rather than here.
func (n *Node) betterNowhere(g int) bool {
	return slices.ContainsFunc(n.life.votes, func(v Vote) bool {
		return v.Strict && v.Bar && (v.Group == nil || *v.Group == n.plan.Groups[g].Key)
	})
}

// unable says whether a vote forbids to serve a group here, successor or not.
func (n *Node) unable(g int) bool {
	return slices.ContainsFunc(n.life.votes, func(v Vote) bool {
		return v.Unable && v.Bar && (v.Group == nil || *v.Group == n.plan.Groups[g].Key)
	})
}
