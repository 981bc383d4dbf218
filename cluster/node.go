package cluster

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Node is the deciding core of one process: packets, signs, votes and kernel reports in,
// one Ready out. It is driven by calls and not safe for use by several goroutines.
type Node struct {
	name    string
	id      nodeID
	cluster string
	boot    uint64
	keys    []Key
	timing  Timing
	born    time.Time

	plan    vipgroup.Plan
	encoded []byte // the plan as it travels (vipgroup.Plan.Share)
	self    int    // our place among the plan's members, or nobody
	all     set    // every group
	byAddr  map[netip.Addr]int
	delays  []int // groups with a preempt_delay
	plans   plans
	next    *vipgroup.Plan // a plan that waits until what it lacks is given up
	adopted uint64         // the sequence of the first announcement with this plan
	ruled   time.Time      // when this process last adopted a plan

	// heardHeld is what any peer heard holds; candidates is scratch.
	heardHeld, candidates set

	// incoming is what the newest datagram says, before it is believed.
	incoming announcement

	peers []*peer // by place among the plan's members; nil for ourselves
	// departed are former peers that may still hold something.
	departed []departed
	// strangers speak, and are no nodes of our plan.
	strangers []*stranger
	twins     []twin
	// outcasts are heard and not believed.
	outcasts []outcast
	bounds   bounds
	clock    uint64 // orders first sightings of claims

	holds  holds
	signs  signs
	claims claims
	life   life
	// asking and pinging are the rounds of ARP and of echo.
	asking, pinging round
	// majority is who must acknowledge what only a majority may serve.
	majority majority

	had   []int // by group: the node that holds it, or nobody
	since []time.Time
	owner []int // by group: the node that should have it, or nobody
	why   []vipgroup.Reason
	view  vipgroup.View
	stale bool // the assignment must be computed anew
	// assigned is when it was last computed, and wary whether this node left to others then
	// what they serve: that may be over meanwhile, as a preempt_delay may.
	assigned time.Time
	wary     bool
	voice    voice
	direct   []Datagram // unicast messages of this turn
	orders   orders
	// servedAt is when a request for our plan was last answered to who isn't believed.
	servedAt time.Time

	sharing [][]byte        // this node's neighbours, yet to be told
	parted  []NeighbourPart // what others shared since the last Ready

	stats   Stats
	alarms  alarms
	accused map[accusation]time.Time
	rivals  rivals
	turn    time.Time // the last time that anything was asked of this node
	slept   time.Time // the end of the last time that it did nothing for a while
	witness []netip.Addr
}

// New returns a node that starts to listen at now. The caller has removed what former
// processes left in the kernel.
func New(now time.Time, o Options) *Node {
	n := &Node{
		name: o.Name, id: idOf(o.Name), cluster: o.Cluster, boot: o.Boot, keys: o.Keys, timing: o.Timing, born: now,
		bounds: boundsOf(o.Timing.Interval, o.Timing.Stale),
		stats:  Stats{Refused: map[Refusal]uint64{}}, alarms: alarms{}, accused: map[accusation]time.Time{}, rivals: rivals{}, turn: now,
	}
	n.life = newLife(now)
	n.voice.speakAt = now.Add(listenFirst * o.Timing.Interval)
	n.swap(now, o.Plan)
	return n
}

// listenFirst is how many intervals a new process listens before it speaks, so that it
// never says yes before it heard the others.
const listenFirst = 3

// digestChanged reads the peers' newest announcements anew, after a plan became known.
func (n *Node) digestChanged() {
	for _, p := range n.peers {
		if p == nil {
			continue
		}
		p.table = n.plans.tables[p.ann.digest]
		p.noteStrange()
		p.interpret(len(n.plan.Groups), n.all)
		n.noteHeard(p)
	}
	for _, s := range n.strangers {
		s.table = n.plans.tables[s.ann.digest]
		s.interpret(len(n.plan.Groups), n.all)
		n.noteHeard(s.peer)
	}
	n.stale = true
}

// Retime switches to other timings; nothing moves.
func (n *Node) Retime(now time.Time, t Timing) {
	n.arrive(now)
	n.timing = t
	n.judgeBounds(now)
	n.voice.urgent = true
}

// Rekey switches to other keys; the first one seals.
func (n *Node) Rekey(keys []Key) { n.keys = keys }

// Witness names the addresses that judge isolation: the gateways and the configured
// witnesses. Where one is left out, it may have been the only one that answers.
func (n *Node) Witness(now time.Time, addrs []netip.Addr) {
	n.arrive(now)
	if slices.ContainsFunc(n.witness, func(a netip.Addr) bool { return !slices.Contains(addrs, a) }) {
		n.life.answered = time.Time{}
	}
	n.witness = slices.Clone(addrs)
}

// isWitness says whether an address may judge isolation. A virtual one may not: it can be
// here.
func (n *Node) isWitness(a netip.Addr) bool {
	_, vip := n.byAddr[a]
	return !vip && slices.Contains(n.witness, a)
}

// Host returns the plan node that last spoke from addr, or "".
func (n *Node) Host(addr netip.Addr) string {
	for _, p := range n.peers {
		if p != nil && p.from.Addr() == addr {
			return p.name
		}
	}
	return ""
}

// Tick lets time pass.
func (n *Node) Tick(now time.Time) { n.arrive(now) }

// arrive begins every input. A process that did nothing for more than two intervals may
// have missed everything: what it knew of free addresses is void, and what it had only
// decided to take.
func (n *Node) arrive(now time.Time) {
	if now.Sub(n.turn) > 2*n.bounds.interval {
		n.Missed(now)
		n.overslept(now)
		n.slept, n.stale = now, true
		if n.life.frame.After(n.life.woke) {
			n.life.woke = now
		}
		for _, p := range n.peers {
			if p != nil && p.state == Live {
				p.back = now // our own pause is no proof that they can't hear us
			}
		}
		n.alarms.raise("loop-late", now, "this process did nothing for more than two intervals: is the host short of CPU?")
	}
	n.turn = now
}

// Missed says that answers may have been lost: what is known of free addresses is void.
func (n *Node) Missed(now time.Time) {
	n.signs.restart(now)
	n.claims.withdrawAll()
}

// Holder returns the one peer that is heard to hold an address, or "".
func (n *Node) Holder(a netip.Addr) string {
	g, ok := n.byAddr[a]
	if !ok || n.holds.mine.has(g) {
		return ""
	}
	name := ""
	for _, p := range n.peers {
		if p != nil && p.isHeard() && p.held.has(g) {
			if name != "" {
				return ""
			}
			name = p.name
		}
	}
	return name
}

// Unheard returns a peer that is heard and hasn't acknowledged anything that this node said in
// the last 2.5 intervals, or "": it may be about to take what this node holds, and nobody but
// this node would know.
func (n *Node) Unheard(now time.Time) string {
	for _, p := range n.peers {
		if p != nil && p.isHeard() && now.Sub(p.ackedAt) > n.bounds.interval*5/2 {
			return p.name
		}
	}
	return ""
}

// Receive takes one datagram; "" means that it was believed.
func (n *Node) Receive(now time.Time, in Packet) Refusal {
	n.arrive(now)
	n.frame(now)
	r := n.receive(now, in)
	if r == "" {
		n.stats.Received++
	} else {
		n.stats.Refused[r]++
		n.noteRefusal(now, r, in)
	}
	return r
}

func (n *Node) receive(now time.Time, in Packet) Refusal {
	what, body, refusal := unseal(n.keys, in.TTL, in.Data)
	if refusal != "" {
		return refusal
	}
	r := reader{b: body}
	e := r.envelope()
	i := n.plan.Member(string(e.sender))
	switch {
	case r.bad:
		return Malformed
	case string(e.cluster) != n.cluster:
		return WrongCluster
	case string(e.sender) == n.name && e.boot == n.boot:
		return Reflected
	case string(e.sender) == n.name:
		if what == kindAnnouncement {
			n.noteTwin(now, e, &r, in.From)
		}
		return DuplicateName
	case i < 0:
		return n.receiveUnknown(now, what, e, &r, in.From)
	}
	p := n.peers[i]
	switch what {
	case kindAnnouncement:
		return n.receiveAnnouncement(now, p, e, &r, in.From)
	case kindOrder, kindAnswer:
		return n.receiveOrder(now, p, what, e, &r, in.From)
	case kindPlanRequest, kindPlanPart, kindNeighbours:
		if e.boot != p.boot || p.farewell {
			if what == kindPlanRequest {
				n.serveStranger(now, &r, in.From)
			}
			return SupersededBoot
		}
		if e.seq <= p.seq {
			return Replayed
		}
		if what == kindPlanRequest {
			q, ok := r.planRequest()
			if !ok {
				return Malformed
			}
			p.seq = e.seq
			n.servePlan(q, in.From)
			return ""
		}
		if what == kindNeighbours {
			part, ok := r.neighbours()
			if !ok {
				return Malformed
			}
			p.seq, part.Node = e.seq, p.name
			n.takeNeighbours(part)
			return ""
		}
		part, ok := r.planPart()
		if !ok {
			return Malformed
		}
		p.seq = e.seq
		n.takePart(part)
		return ""
	}
	return WrongFormat
}

// receiveAnnouncement believes an announcement, or says why not.
func (n *Node) receiveAnnouncement(now time.Time, p *peer, e envelope, r *reader, from netip.AddrPort) Refusal {
	a := &n.incoming
	if !r.announcement(a) {
		return Malformed
	}
	// A farewell can't replace who is believed: that its process was there lately is just what
	// a recording of it proves, too.
	fresh := func() bool { return !a.farewell && n.provesFresh(now, a) }
	if refusal := p.admit(e.boot, e.seq, fresh); refusal != "" {
		if e.boot != p.boot {
			p.stray = stray{e.boot, e.seq, now}
			n.noteOutcast(now, from)
		}
		return refusal
	}
	if e.boot != p.boot {
		if p.speaksOn(now, e.boot, a.interval, n.bounds) {
			n.noteOutcast(now, from)
			if fresh() {
				n.noteSecond(now, p, e.boot, e.seq, from)
			}
			return SecondProcess
		}
		if p.from.IsValid() && p.from.Addr() != from.Addr() {
			n.disown(p)
		}
		p.restart(e.boot)
	}
	if a.digest != p.ann.digest {
		p.planned = now
		if p.table == nil && !p.last.IsZero() {
			p.strange = p.last // nobody will know any more
		}
	}
	if n.takeIn(now, p, e, from) {
		n.stale = true
	}
	if p.ann.answer {
		p.asks = true
	}
	p.noteStrange()
	if first := n.born.Add(listenFirst * p.ann.interval); n.voice.last.IsZero() && first.After(n.voice.speakAt) {
		n.voice.speakAt = first // its next announcement takes longer than ours
	}
	n.noteHolding(now, p)
	n.life.blipped = false
	return ""
}

// takeIn makes the incoming announcement a node's newest, and says whether anything changed
// that an assignment depends on.
func (n *Node) takeIn(now time.Time, p *peer, e envelope, from netip.AddrPort) (changed bool) {
	p.ann, n.incoming = n.incoming, p.ann
	p.ann.boot, p.ann.seq = e.boot, e.seq
	p.seq, p.said, p.last, p.from, p.farewell = e.seq, e.seq, now, from, p.ann.farewell
	n.life.met = true
	if p.table == nil || p.table.plan.Digest() != p.ann.digest {
		p.table = n.plans.tables[p.ann.digest]
	}
	if p.table == nil {
		n.plans.forget(n.planUsed)
	}
	p.stampStarts(&n.clock)
	changed = p.interpret(len(n.plan.Groups), n.all)
	n.noteHeard(p)
	return changed
}

func (n *Node) planUsed(d vipgroup.Digest) bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.ann.digest == d }) ||
		slices.ContainsFunc(n.strangers, func(s *stranger) bool { return s.ann.digest == d }) ||
		slices.ContainsFunc(n.departed, func(x departed) bool { return x.digest == d })
}

// noteHeard reads what a peer acknowledges.
func (n *Node) noteHeard(p *peer) {
	p.hearsUs = false
	clear(p.hears)
	for _, h := range p.ann.heard {
		if !h.believed() {
			if at, ok := n.voice.sentAt(h.seq &^ unbelieved); ok && h.node == n.id && h.boot == n.boot {
				p.notedAt = at
			}
			continue
		}
		if h.node == n.id {
			if at, ok := n.voice.sentAt(h.seq); ok && h.boot == n.boot {
				if h.seq > p.acked {
					p.toldAt = n.turn
				}
				p.hearsUs, p.acked, p.ackedAt = true, h.seq, at
				p.unreached = p.unreached && h.seq <= p.lastCopy
			}
			continue
		}
		for i, o := range n.peers {
			if o != nil && o.id == h.node {
				p.hears[i] = seen{h.boot, h.seq}
			}
		}
	}
}

// noteHolding turns what a peer says of its groups into signs and releases.
func (n *Node) noteHolding(now time.Time, p *peer) {
	if p.table == nil && !p.farewell {
		return
	}
	at := n.plan.Member(p.name)
	for g := range p.held.all {
		if p.table.covers(g, p.ann.held) {
			n.signs.held(g, at, p.boot, now)
		} else {
			n.signs.heldInPart(g, now)
		}
	}
	if before := p.scratch[0]; before.meets(n.holds.wanted) {
		for g := range n.holds.wanted.all {
			if before.has(g) && !p.held.has(g) {
				n.reassure(now, g)
			}
		}
	}
	for g := range n.signs {
		if n.signs[g].holder == at && !p.held.has(g) {
			n.signs.freedBy(g, at, p.boot, p.farewell, now, n.witnessed(now, p), n.recent())
		}
	}
}

// recent is how long ago a hold may have been announced, or a release been heard, for
// the release to be fresh.
func (n *Node) recent() time.Duration { return 3 * n.bounds.interval }

// witnessed says whether a release that a peer tells of now may count as fresh. What arrives
// within an interval of a gap in which this node did nothing may have waited in a socket all
// the while: somebody else may have taken the address since. So may one that isn't believed
// here, where the peer lately went by a plan with other nodes. And a process that never proved
// to live may be a recording.
func (n *Node) witnessed(now time.Time, p *peer) bool {
	return p.proved && now.Sub(n.slept) >= n.bounds.interval && p.table != nil && now.Sub(p.strange) > n.recent()
}

// Sign takes something seen on the wire.
func (n *Node) Sign(now time.Time, s Sign) {
	n.arrive(now)
	n.frame(now)
	if s.Kind == Frame {
		return
	}
	switch {
	case n.isWitness(s.Addr):
		n.life.answered = now
	case s.Kind == Outsider:
		n.life.outsiders.note(now, n.bounds.stale/8)
	}
	g, ok := n.byAddr[s.Addr]
	if !ok {
		return
	}
	if s.At.IsZero() {
		s.At = now
	}
	switch {
	case s.Kind != Answered && s.Kind != Announced && s.Kind != Echoed:
	case n.holds.mine.has(g):
		n.contest(now, g, s)
	case s.At.After(n.signs[g].freed):
		n.signs.lives(g, n.plan.Member(s.Node), s.proves(), now)
		n.rivals.note(now, s)
	}
}

// Report takes what the kernel holds of a group.
func (n *Node) Report(now time.Time, r Report) {
	n.arrive(now)
	g := n.plan.Group(r.Group)
	if g < 0 {
		return
	}
	before := n.holds.mine.has(g)
	if n.holds.report(g, r) {
		n.noteGone(now, g)
	}
	if before != n.holds.mine.has(g) {
		n.voice.urgent, n.stale = true, true
	}
}

// frame notes that something arrived. After a silence of everything the addresses may
// have been answering all along: the asking starts anew, once until a peer is heard.
func (n *Node) frame(now time.Time) {
	if gap := now.Sub(n.life.frame); gap > 3*n.bounds.interval && !n.life.blipped {
		n.signs.deafened(now, n.self)
		n.claims.withdrawAll()
		n.life.blipped = true
	}
	n.life.frame, n.life.hearing = now, true
	if n.life.isolated {
		n.life.isolated, n.life.since, n.life.mature = false, now, false
		n.voice.urgent, n.stale = true, true
	}
}
