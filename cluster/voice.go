package cluster

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// maxDatagram is what an announcement may take: it fits any link that carries IP over
// Ethernet, with room for tunnels.
const maxDatagram = 1200

// minGap is the pause between two announcements of changes. A release doesn't wait for it: an
// address is on no node until it is heard, and removing one takes its time.
const minGap = time.Millisecond

// copyFor is how long a silent peer still gets unicast copies.
const copyFor = time.Minute

// announceGap is the pause between two ARP announcements in turn of one address.
const announceGap = 100 * time.Millisecond

// voice is when this node speaks and what it said.
type voice struct {
	speakAt time.Time // the end of listening
	seq     uint64
	last    time.Time // when the newest announcement went out
	urgent  bool      // something changed that a peer may wait for
	freed   bool      // something is gone from the kernel, for a peer to take
	log     [1024]sent

	objections []objection // what holds now
	said       []objection // what the newest announcement carried

	announce []netip.Addr             // addresses to announce by ARP this turn
	repeated time.Time                // when all held ones were last announced for who may not hear us
	turns    map[netip.Addr]time.Time // when each was last announced in turn
	later    map[netip.Addr]time.Time // when it is, after a turn that came too soon
	assure   []assurance
	out      announcement
}

// assurance is an ARP announcement to come.
type assurance struct {
	at    time.Time
	group int
}

type sent struct {
	seq uint64
	at  time.Time
}

func (v *voice) fit(groups int) {
	v.out.held = newSet(groups)
	v.objections, v.said, v.assure = nil, nil, nil
}

// sentAt tells when this process sent an announcement; false when that was long ago, or
// never.
func (v *voice) sentAt(seq uint64) (time.Time, bool) {
	s := v.log[seq%uint64(len(v.log))]
	return s.at, s.seq == seq && seq != 0
}

// reannounce asks for one ARP announcement of an address, in turn with a rival's.
func (v *voice) reannounce(now time.Time, a netip.Addr) {
	if v.turns == nil {
		v.turns = map[netip.Addr]time.Time{}
	}
	if at, ok := v.turns[a]; ok && now.Before(at.Add(announceGap)) {
		// Not now, but not never: the rival must not have the last word.
		if v.later == nil {
			v.later = map[netip.Addr]time.Time{}
		}
		v.later[a] = at.Add(announceGap)
		return
	}
	delete(v.later, a)
	v.turns[a] = now
	v.announce = append(v.announce, a)
}

// repeatLater announces the addresses whose turn was put off, and returns when the next is.
func (n *Node) repeatLater(now time.Time) (wake time.Time) {
	for _, a := range slices.SortedFunc(maps.Keys(n.voice.later), netip.Addr.Compare) {
		due := n.voice.later[a]
		switch g, ok := n.byAddr[a]; {
		case !ok || !n.holds.wanted.has(g):
			delete(n.voice.later, a)
		case now.Before(due):
			soonest(&wake, due)
		default:
			n.voice.reannounce(now, a)
		}
	}
	return wake
}

// reassure announces a group by ARP now and twice more: somebody else announced it until
// a moment ago, and one lost frame must not leave a client with the loser.
func (n *Node) reassure(now time.Time, g int) {
	for _, after := range []time.Duration{0, announceGap, time.Second} {
		n.voice.assure = append(n.voice.assure, assurance{now.Add(after), g})
	}
	n.voice.assure = n.voice.assure[max(0, len(n.voice.assure)-maxAssurances):]
}

const maxAssurances = 3 * vipgroup.MaxGroups

// assureNow announces what is due, and returns when the next is.
func (n *Node) assureNow(now time.Time) (wake time.Time) {
	kept := n.voice.assure[:0]
	for _, a := range n.voice.assure {
		switch {
		case a.at.After(now):
			kept = append(kept, a)
			soonest(&wake, a.at)
		case a.group < len(n.plan.Groups) && n.holds.wanted.has(a.group) && !n.plan.Groups[a.group].Election:
			for _, x := range n.plan.Groups[a.group].VIPs {
				n.voice.announce = append(n.voice.announce, x.Address.Addr())
			}
		}
	}
	n.voice.assure = kept
	return wake
}

func (n *Node) reannounceGroup(now time.Time, g int) {
	for _, x := range n.plan.Groups[g].VIPs {
		if !n.plan.Groups[g].Election {
			n.voice.reannounce(now, x.Address.Addr())
		}
	}
}

// sealed returns a datagram of this node with the next sequence.
func (n *Node) sealed(what kind, body func([]byte) []byte) []byte {
	n.voice.seq++
	key := n.keys[0]
	b := key.frame(make([]byte, 0, 512), what)
	b = appendEnvelope(b, n.cluster, n.name, n.boot, n.voice.seq)
	return key.sealFrame(body(b))
}

// speaks says whether this node announces at all: it has listened first, and it has a
// place in the plan.
func (n *Node) speaks(now time.Time) bool {
	return n.self >= 0 && !now.Before(n.voice.speakAt)
}

// hurried says whether announcements must come quicker than one per interval: while a
// claim is open, or a peer seems not to have heard the last ones: the acknowledgement of one
// that speaks just before this node is two intervals old when the next one comes.
func (n *Node) hurried(now time.Time) bool {
	if !n.claims.open.empty() {
		return true
	}
	for _, p := range n.peers {
		if p != nil && p.isHeard() && now.Sub(p.toldAt) > 2*n.bounds.interval {
			return true
		}
	}
	return false
}

// answers says whether a peer waits for an announcement in return.
func (n *Node) answers(now time.Time) bool {
	for _, p := range n.peers {
		if p != nil && p.asks && now.Sub(p.answered) >= n.timing.Interval/8 {
			return true
		}
	}
	return false
}

// speak adds this turn's announcement, if one is due, and returns when the next is.
func (n *Node) speak(now time.Time, out *Ready) time.Time {
	v := &n.voice
	if n.self < 0 {
		return now.Add(n.timing.Interval)
	}
	if !n.speaks(now) {
		return v.speakAt
	}
	period := n.timing.Interval
	hurried := n.hurried(now)
	if hurried {
		period /= 4
	}
	changed := v.urgent || n.answers(now)
	due := v.last.Add(period)
	if changed {
		due = v.last.Add(minGap)
	}
	if v.last.IsZero() || v.freed {
		due = now
	}
	if now.Before(due) {
		for _, p := range n.peers {
			if p != nil && p.asks {
				soonest(&due, p.answered.Add(n.timing.Interval/8))
			}
		}
		return due
	}
	data := n.announce(now, hurried)
	v.last, v.urgent, v.freed = now, false, false
	v.said = append(v.said[:0], v.objections...)
	n.stats.Sent++
	out.Send = append(out.Send, Datagram{Data: data})
	for _, p := range n.peers {
		if p == nil {
			continue
		}
		if p.asks {
			p.asks, p.answered = false, now
		}
		silent := now.Sub(p.toldAt) > 2*n.bounds.interval && now.Sub(p.copied) >= n.timing.Interval/4
		if n.copies(now, p) && (silent || changed && p.unreached) {
			p.copied, p.lastCopy, p.unreached = now, v.seq, true
			out.Send = append(out.Send, Datagram{To: p.from, Data: data})
		}
	}
	n.tellOutcasts(now, data, out)
	if n.hurried(now) {
		return now.Add(n.timing.Interval / 4)
	}
	return now.Add(n.timing.Interval)
}

// copies says whether a peer can be sent to directly, and may still be there.
func (n *Node) copies(now time.Time, p *peer) bool {
	return !p.farewell && p.from.IsValid() && now.Sub(p.last) <= copyFor
}

// announce composes and seals what this node says of itself. Where the datagram has no
// room for all objections, they become a no to every claim of their targets; claims that
// it has no room for are withdrawn until it has.
func (n *Node) announce(now time.Time, hurried bool) []byte {
	v := &n.voice
	v.seq++
	v.log[v.seq%uint64(len(v.log))] = sent{v.seq, now}
	n.compose(now, hurried)
	data := n.sealAnnouncement(&v.out)
	if len(data) > maxDatagram {
		v.out.reason = ""
		v.out.heard = slices.DeleteFunc(v.out.heard, func(h heard) bool { return !h.believed() })
		v.out.objections = n.foldObjections(v.out.objections)
		data = n.sealAnnouncement(&v.out)
	}
	for len(data) > maxDatagram && len(v.out.claims) > 0 {
		last := v.out.claims[len(v.out.claims)-1]
		for g := range last.groups.all {
			n.claims.withdraw(g)
		}
		v.out.claims = v.out.claims[:len(v.out.claims)-1]
		data = n.sealAnnouncement(&v.out)
	}
	return data
}

func (n *Node) sealAnnouncement(a *announcement) []byte {
	key := n.keys[0]
	return key.sealFrame(a.append(key.frame(make([]byte, 0, 512), kindAnnouncement)))
}

// compose fills in the announcement with the current sequence.
func (n *Node) compose(now time.Time, hurried bool) {
	v := &n.voice
	a := &v.out
	a.cluster, a.sender, a.boot, a.seq = n.cluster, n.name, n.boot, v.seq
	a.eligible, a.answer, a.farewell = n.life.eligible, hurried, false
	a.interval, a.stale = n.timing.Interval, n.timing.Stale
	a.version, a.digest = n.plan.Version, n.plan.Digest()
	a.reason = ""
	if len(n.life.reasons) > 0 {
		a.reason = n.life.reasons[0]
	}
	a.held.copyFrom(n.holds.mine)
	a.objections = v.objections
	a.claims = a.claims[:0]
	if !n.claims.open.empty() {
		var buf [maxStarts + 1]uint64
		starts := n.claims.starts(buf[:0])
		slices.Sort(starts)
		for _, begin := range starts {
			c := claimed{begin: begin, groups: newSet(len(n.plan.Groups))}
			for g := range n.claims.open.all {
				if n.claims.groups[g].begin == begin {
					c.groups.add(g)
				}
			}
			if begin == 0 {
				c.begin = v.seq
				for g := range c.groups.all {
					n.claims.groups[g].begin = v.seq
				}
				a.claims = append(a.claims, c)
			} else {
				a.claims = slices.Insert(a.claims, 0, c)
			}
		}
		slices.SortFunc(a.claims, func(x, y claimed) int {
			if x.begin < y.begin {
				return -1
			}
			return 1
		})
	}
	a.barred = a.barred[:0]
	if n.self >= 0 {
		a.barred = groupPenalties(n.view.Penalty[n.self])
	}
	a.heard = a.heard[:0]
	for _, p := range n.peers {
		if p != nil && p.isHeard() {
			a.heard = append(a.heard, heard{p.id, p.boot, p.said})
		}
	}
	a.heard = n.acknowledgeStrays(now, a.heard)
}

// maxPenalties bounds the kinds of penalty in one announcement.
const maxPenalties = 3

// groupPenalties collects the groups of each penalty, those that are asked for first. Where
// there are too many kinds, the mildest two penalties become one, the higher.
func groupPenalties(row []int) []barred {
	var out, pulls []barred
	for g, penalty := range row {
		switch penalty {
		case 0:
			continue
		case vipgroup.Pull:
			if pulls == nil {
				pulls = []barred{{penalty: penalty, groups: newSet(len(row))}}
			}
			pulls[0].groups.add(g)
			continue
		}
		i := slices.IndexFunc(out, func(b barred) bool { return b.penalty == penalty })
		if i < 0 {
			i = len(out)
			out = append(out, barred{penalty: penalty, groups: newSet(len(row))})
		}
		out[i].groups.add(g)
	}
	slices.SortFunc(out, func(a, b barred) int { return a.penalty - b.penalty })
	for len(out) > maxPenalties {
		out[1].groups.or(out[0].groups)
		out = out[1:]
	}
	return append(pulls, out...)
}

// Farewell returns the last datagrams of this process: nothing is in its kernel any more,
// and its boot id is over. Send them several times; they outrank every announcement
// still in flight.
func (n *Node) Farewell(now time.Time) []Datagram {
	var ears []heard
	for _, p := range n.peers {
		if p != nil && p.isHeard() {
			ears = append(ears, heard{p.id, p.boot, p.said})
		}
	}
	out := []Datagram{{Data: n.lastWords(ears)}}
	for _, p := range n.peers {
		if p != nil && p.unreached && n.copies(now, p) {
			out = append(out, Datagram{To: p.from, Data: out[0].Data})
		}
	}
	return out
}

// Will returns the farewell for another to say, if this process can't: made ahead of time,
// with a copy for every peer that can be reached directly, and with nothing of the moment
// in it. It is void after New and Rekey. Only who has ended this process and seen its
// addresses gone may send it.
func (n *Node) Will(now time.Time) []Datagram {
	out := []Datagram{{Data: n.lastWords(nil)}}
	for _, p := range n.peers {
		if p != nil && n.copies(now, p) {
			out = append(out, Datagram{To: p.from, Data: out[0].Data})
		}
	}
	return out
}

// lastWords seals a farewell without touching what the next announcement is made of.
func (n *Node) lastWords(ears []heard) []byte {
	a := announcement{
		cluster: n.cluster, sender: n.name, boot: n.boot, seq: farewellSeq, farewell: true,
		interval: n.timing.Interval, stale: n.timing.Stale,
		version: n.plan.Version, digest: n.plan.Digest(), held: newSet(len(n.plan.Groups)), heard: ears,
	}
	if len(n.life.reasons) > 0 {
		a.reason = n.life.reasons[0]
	}
	return n.sealAnnouncement(&a)
}
