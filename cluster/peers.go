package cluster

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A peer is what this node knows of another node of the plan.
type peer struct {
	name   string
	id     nodeID
	serves bool // it is one of the plan's nodes
	votes  bool // it counts for a majority

	trail
	said uint64    // the sequence of its newest announcement: what we acknowledge
	last time.Time // when the newest one came
	back time.Time // since when it is heard without an absence of its or ours
	lost uint64    // the boot with which it was last absent
	from netip.AddrPort

	ann   announcement
	table *table // the plan that ann names; nil while it isn't known here

	// held, claimed and bars are ann's sets in places of our own plan.
	held    set
	claimed set
	bars    []int // penalty per group, nil without any
	starts  []start
	scratch [3]set

	eligible bool // it says so, and its plan is known here

	// acked is the newest of our announcements that it received, sent at ackedAt; toldAt
	// is when it last acknowledged one that was new. Freshness is judged by the first,
	// the want of an answer by the second: that is at most an interval ago in calm,
	// however the two nodes' announcements alternate.
	acked   uint64
	ackedAt time.Time
	toldAt  time.Time
	hearsUs bool // it lists this boot of ours
	hears   []seen
	sure    bool      // it was live at some time since it is heard
	proved  bool      // it was live at some time since it was started
	notedAt time.Time // when we sent the newest that it heard and didn't believe

	state    PeerState
	since    time.Time // when the state last changed
	planned  time.Time // when it first named its present plan
	strange  time.Time // when it last went by a plan that has a node that ours lacks, or may have one
	asks     bool      // it wants an answer
	answered time.Time // when it last got one for the asking
	copied   time.Time // when it last got a unicast copy
	// unreached: the group doesn't reach it, as far as its acknowledgements tell: they
	// came too late, and none since is of an announcement that it got no copy of.
	unreached bool
	lastCopy  uint64 // the sequence of the newest copy

	obeyed obeyed // the orders that it gave us

	second second
	stray  stray
}

// A trail is how far a node was believed: what tells its words from recordings of them.
type trail struct {
	boot     uint64 // of the process that is believed
	top      uint64 // the highest boot ever believed
	seq      uint64 // the highest sequence of any of its messages
	farewell bool   // that process took its leave
	// over are the boots of the last processes that did, before it: none of them returns.
	over [maxOver]uint64
}

// maxOver is how many processes of one name may take their leave within stale and still be
// told from recordings of them, which prove to be fresh for as long.
const maxOver = 4

// next is the trail of another process of that name.
func (t *trail) next(boot uint64) trail {
	to := trail{boot: boot, top: max(t.top, boot), over: t.over}
	if t.farewell {
		copy(to.over[1:], t.over[:])
		to.over[0] = t.boot
	}
	return to
}

// seen is what a peer heard of a node of our plan.
type seen struct {
	boot, seq uint64
}

// start remembers in which order claims were first heard of.
type start struct {
	begin, stamp uint64
}

func newPeer(name string, groups, nodes int) *peer {
	p := &peer{name: name, id: idOf(name), state: Absent}
	p.fit(groups, nodes)
	return p
}

// fit makes room for a plan.
func (p *peer) fit(groups, nodes int) {
	p.held, p.claimed, p.bars = newSet(groups), newSet(groups), nil
	p.scratch = [3]set{newSet(groups), newSet(groups), newSet(groups)}
	p.hears = make([]seen, nodes)
}

// isHeard says whether its announcements count.
func (p *peer) isHeard() bool { return p.state != Absent }

// admit judges boot and sequence of a message; fresh says whether the message proves
// that its sender heard something that we sent lately, which a recording can't.
func (t *trail) admit(boot, seq uint64, fresh func() bool) Refusal {
	switch {
	case boot == t.boot && t.farewell, slices.Contains(t.over[:], boot):
		return SupersededBoot
	case boot == t.boot:
		if seq <= t.seq {
			return Replayed
		}
		return ""
	case boot > t.top || fresh():
		return ""
	}
	return SupersededBoot
}

// restart forgets what the former process of this peer said.
func (p *peer) restart(boot uint64) {
	p.trail, p.said = p.next(boot), 0
	p.unreached, p.lastCopy = false, 0
	p.acked, p.ackedAt, p.toldAt, p.hearsUs, p.starts = 0, time.Time{}, time.Time{}, false, p.starts[:0]
	p.sure, p.proved, p.notedAt, p.obeyed = false, false, time.Time{}, obeyed{}
	clear(p.hears)
}

// judge tells the peer's state at this moment.
func (p *peer) judge(now time.Time, b bounds) PeerState {
	switch {
	case p.farewell || p.last.IsZero() || now.Sub(p.last) > b.stale-b.stand:
		return Absent
	case p.hearsUs && now.Sub(p.ackedAt) <= b.stale:
		return Live
	case !slices.ContainsFunc(p.ann.heard, heard.believed):
		return Deaf
	}
	return OneWay
}

// cannotHear says whether a heard peer doesn't hear us, and not just because it had no
// time to answer since it came back.
func (p *peer) cannotHear(now time.Time, grace time.Duration) bool {
	return p.state != Live && now.Sub(p.back) > grace
}

// noteStrange notes that its newest announcement is by a plan that has a node that ours lacks.
func (p *peer) noteStrange() {
	if p.table != nil && p.table.strange {
		p.strange = p.last
	}
}

// startOf returns the sequence at which the peer's claim on our group began, 0 for none.
func (p *peer) startOf(group int) uint64 {
	if p.table == nil {
		return 0
	}
	begin := uint64(0)
	for _, c := range p.ann.claims {
		for _, i := range p.table.overlap(group) {
			if c.groups.has(i) {
				begin = max(begin, c.begin)
			}
		}
	}
	return begin
}

// claims says whether the peer claims a group of its own plan.
func (p *peer) claims(place int) bool {
	return slices.ContainsFunc(p.ann.claims, func(c claimed) bool { return c.groups.has(place) })
}

// stampOf orders claims on groups of the peer's plan by when they were first heard of; 0
// for none.
func (p *peer) stampOf(place int) uint64 {
	for _, c := range p.ann.claims {
		if !c.groups.has(place) {
			continue
		}
		for _, s := range p.starts {
			if s.begin == c.begin {
				return s.stamp
			}
		}
	}
	return 0
}

// stampStarts notes the claims that its newest announcement opened.
func (p *peer) stampStarts(clock *uint64) {
	if len(p.ann.claims) == 0 {
		p.starts = p.starts[:0]
		return
	}
	kept := make([]start, 0, len(p.ann.claims))
	for _, c := range p.ann.claims {
		s := start{begin: c.begin}
		for _, old := range p.starts {
			if old.begin == c.begin {
				s.stamp = old.stamp
			}
		}
		if s.stamp == 0 {
			*clock++
			s.stamp = *clock
		}
		kept = append(kept, s)
	}
	p.starts = kept
}

// interpret brings the sets of its newest announcement into places of our plan, and says
// whether anything changed that an assignment depends on.
func (p *peer) interpret(groups int, all set) (changed bool) {
	held, claims, bars := p.scratch[0], p.scratch[1], []int(nil)
	held.clear()
	claims.clear()
	if p.table != nil && !p.farewell {
		part := p.scratch[2]
		p.table.translate(held, p.ann.held, all)
		for _, c := range p.ann.claims {
			p.table.translate(part, c.groups, all)
			claims.or(part)
		}
		for _, x := range p.ann.barred {
			if bars == nil {
				bars = make([]int, groups)
			}
			p.table.translate(part, x.groups, all)
			for g := range part.all {
				if x.penalty != vipgroup.Pull {
					bars[g] = max(bars[g], x.penalty)
				} else if bars[g] == 0 {
					bars[g] = vipgroup.Pull
				}
			}
		}
	}
	eligible := p.ann.eligible && p.table != nil && !p.farewell
	changed = !held.equal(p.held) || !claims.equal(p.claimed) || !slices.Equal(bars, p.bars) || eligible != p.eligible
	p.scratch[0], p.scratch[1] = p.held, p.claimed
	p.held, p.claimed, p.bars, p.eligible = held, claims, bars, eligible
	return changed
}

// bounds are the times by which this node judges: the largest among the nodes heard,
// so that nodes with different timings never doubt each other.
type bounds struct {
	interval time.Duration
	stale    time.Duration
	// stand is how long a claim must stand (T): half an interval, at least 50 ms.
	stand time.Duration
	// silent is how long an address must have given no sign before it is taken
	// unreleased: so much longer than stale that a holder that is cut off has let go, and
	// its kernel too (deafAt).
	silent time.Duration
}

const (
	minStand  = 50 * time.Millisecond
	minBeyond = 25 * time.Millisecond // of silent over stale
)

func boundsOf(interval, stale time.Duration) bounds {
	return bounds{interval: interval, stale: stale, stand: max(interval/2, minStand),
		silent: stale + max(interval/2, minBeyond)}
}
