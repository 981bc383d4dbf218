package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Two processes may have one name: a cloned machine, a host name given twice. They never
// believe each other, but each acknowledges what it hears of the other, so that both know
// that the other is no recording. One of them stands back; their peers go on believing
// the one that they believe, for as long as it speaks.

// A twin is another process with the name of this one.
type twin struct {
	boot, seq uint64
	from      netip.AddrPort
	last      time.Time // when it was last heard
	proved    time.Time // when it last acknowledged something that this process sent lately
	held      set       // what it holds, in places of our plan
	eligible  bool      // it says that it may take groups
}

// maxTwins bounds how many are kept: recordings of former processes of this very node
// look like twins until they fail to acknowledge anything.
const maxTwins = 4

// A second is a process with the name of a peer that isn't believed, since the one that is
// goes on speaking.
type second struct {
	boot, seq   uint64
	since, last time.Time
}

// A stray is a process of an absent peer that nothing proves to live: its boot id is not
// the highest that was believed.
type stray struct {
	boot, seq uint64
	last      time.Time
}

// An outcast is where a process speaks from that is heard and not believed. It may be in
// nobody's list of peers, or where a switch filters the group, and must know who has what.
type outcast struct {
	from         netip.AddrPort
	last, copied time.Time // when it last spoke, and last got a copy of what we say
}

// maxOutcasts bounds them: a recording makes its sender one.
const maxOutcasts = 4

func (n *Node) noteOutcast(now time.Time, from netip.AddrPort) {
	i := slices.IndexFunc(n.outcasts, func(o outcast) bool { return o.from == from })
	if i < 0 {
		n.outcasts = slices.DeleteFunc(n.outcasts, func(o outcast) bool { return now.Sub(o.last) > n.bounds.stale })
		if i = len(n.outcasts); i == maxOutcasts || from.Addr().IsUnspecified() {
			return
		}
		n.outcasts = append(n.outcasts, outcast{from: from})
	}
	n.outcasts[i].last = now
}

// tellOutcasts sends those that spoke lately a copy of an announcement, every other
// interval.
func (n *Node) tellOutcasts(now time.Time, data []byte, out *Ready) {
	for i := range n.outcasts {
		o := &n.outcasts[i]
		if now.Sub(o.last) <= n.bounds.stale && now.Sub(o.copied) >= 2*n.timing.Interval {
			o.copied = now
			out.Send = append(out.Send, Datagram{To: o.from, Data: data})
		}
	}
}

// provesFresh says whether an announcement acknowledges something that this process sent
// lately, which a recording can't.
func (n *Node) provesFresh(now time.Time, a *announcement) bool {
	return slices.ContainsFunc(a.heard, func(h heard) bool {
		at, ok := n.voice.sentAt(h.seq &^ unbelieved)
		return ok && h.node == n.id && h.boot == n.boot && now.Sub(at) <= n.bounds.stale
	})
}

// noteTwin takes an announcement in our own name.
func (n *Node) noteTwin(now time.Time, e envelope, r *reader, from netip.AddrPort) {
	a := &n.incoming
	if !r.announcement(a) {
		return
	}
	n.noteOutcast(now, from)
	i := slices.IndexFunc(n.twins, func(t twin) bool { return t.boot == e.boot })
	if i < 0 {
		n.twins = slices.DeleteFunc(n.twins, func(t twin) bool { return now.Sub(t.last) > n.bounds.stale })
		if len(n.twins) == maxTwins || a.farewell {
			return
		}
		i = len(n.twins)
		n.twins = append(n.twins, twin{boot: e.boot})
	}
	t := &n.twins[i]
	if e.seq <= t.seq {
		return
	}
	t.seq, t.from, t.last, t.eligible = e.seq, from, now, a.eligible
	if a.farewell {
		t.last, t.proved = time.Time{}, time.Time{}
		return
	}
	hears := n.provesFresh(now, a)
	if hears {
		t.proved = now
	}
	n.judgeTwins(now)
	if t.held = newSet(len(n.plan.Groups)); n.surely(now, t) {
		n.contestTwin(now, t, a, hears)
	}
}

// surely says whether a twin is no recording: it has acknowledged us lately, or a peer that
// isn't one either believes it.
func (n *Node) surely(now time.Time, t *twin) bool {
	return !t.proved.IsZero() && now.Sub(t.proved) <= n.bounds.stale ||
		n.believedBy(t.boot, func(p *peer) bool { return p.sure || n.toldOf(now, p) })
}

// believedBy says whether a heard peer of some kind believes a process with our name.
func (n *Node) believedBy(boot uint64, kind func(*peer) bool) bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.isHeard() && p.believes(n.id) == boot && kind(p) })
}

// believes is the boot of a node that a peer acknowledges, 0 for none.
func (p *peer) believes(id nodeID) uint64 {
	for _, h := range p.ann.heard {
		if h.node == id && h.believed() {
			return h.boot
		}
	}
	return 0
}

// toldOf says whether a peer has just heard us, and tells so, although it believes another
// process with our name.
func (n *Node) toldOf(now time.Time, p *peer) bool {
	return !p.notedAt.IsZero() && now.Sub(p.notedAt) <= n.bounds.stale
}

// contestTwin settles what a twin has or claims as well as we do: who stands back lets go,
// or the one with the higher boot id where neither does, for each is believed by somebody
// else; the other has the last word with the clients.
func (n *Node) contestTwin(now time.Time, t *twin, a *announcement, hears bool) {
	table := n.plans.tables[a.digest]
	if table == nil {
		return
	}
	table.translate(t.held, a.held, n.all)
	for g := range n.holds.wanted.all {
		claims := !hears && slices.ContainsFunc(a.claims, func(c claimed) bool {
			return slices.ContainsFunc(table.overlap(g), c.groups.has)
		})
		switch {
		case !t.held.has(g) && !claims:
		case n.life.behind, t.held.has(g) && a.eligible && t.boot < n.boot:
			n.letGo(now, g)
		case t.held.has(g):
			n.reannounceGroup(now, g)
		}
	}
}

// twinHolds says whether a twin has a group.
func (n *Node) twinHolds(now time.Time, g int) bool {
	return slices.ContainsFunc(n.twins, func(t twin) bool { return t.held.has(g) && n.surely(now, &t) })
}

// twinTakes says whether a twin may take groups, as far as it has told. Which of two stands
// back changes with what peers believe, and a peer that ends says so to both of them: the one
// that comes forward waits for the other to step back.
func (n *Node) twinTakes(now time.Time) bool {
	return slices.ContainsFunc(n.twins, func(t twin) bool { return t.eligible && n.surely(now, &t) })
}

// unbelieved marks the sequence of a process that is heard and not believed: it is told,
// so that it can prove that it lives, but nothing that it says is acknowledged.
const unbelieved = 1 << 63

// acknowledgeStrays lists the processes that are heard and not believed: our own twins,
// those of peers, processes of absent peers whose boot id is too low for those who knew a
// later one, and strangers. Two that knew each other's twin would else never believe each
// other again, and two strangers never know that the other is no recording.
func (n *Node) acknowledgeStrays(now time.Time, to []heard) []heard {
	recent := func(t time.Time) bool { return now.Sub(t) <= n.bounds.stale-n.bounds.stand }
	for _, t := range n.twins {
		if recent(t.last) {
			to = append(to, heard{n.id, t.boot, t.seq | unbelieved})
		}
	}
	for _, s := range n.strangers {
		if s.isHeard() {
			to = append(to, heard{s.id, s.boot, s.said | unbelieved})
		}
	}
	for _, p := range n.peers {
		switch {
		case p == nil:
		case recent(p.second.last) && p.second.boot != p.boot:
			to = append(to, heard{p.id, p.second.boot, p.second.seq | unbelieved})
		case !p.isHeard() && recent(p.stray.last):
			to = append(to, heard{p.id, p.stray.boot, p.stray.seq | unbelieved})
		}
	}
	return to
}

// judgeTwins decides whether this process stands back for another with its name: for one
// that peers believe while none believes us, and where that doesn't tell them apart for the
// one with the lower boot id.
func (n *Node) judgeTwins(now time.Time) {
	n.life.behind, n.life.twinAt = false, netip.Addr{}
	ours := slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.state == Live })
	for i := range n.twins {
		t := &n.twins[i]
		if !n.surely(now, t) {
			continue
		}
		theirs := n.believedBy(t.boot, func(*peer) bool { return true })
		if theirs && !ours || theirs == ours && t.boot < n.boot {
			n.life.behind, n.life.twinAt = true, t.from.Addr()
			return
		}
	}
	// Whom a peer believes may not be heard here.
	n.life.behind = !ours && slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p != nil && p.isHeard() && n.toldOf(now, p) && p.believes(n.id) != 0
	})
}

// standsBack is why a process that stands back isn't eligible.
func (n *Node) standsBack() string {
	from := ""
	if n.life.twinAt.IsValid() {
		from = " from " + n.life.twinAt.String()
	}
	return fmt.Sprintf("another node speaks as %s%s: give one of them its own name with -n", n.name, from)
}

// speaksOn says whether the believed process of a peer is surely there, so that no other
// with its name is believed. A process that was restarted has listened for 3 intervals
// before it speaks; one that was refused for longer than that is a twin, and has to wait
// until the other is absent.
func (p *peer) speaksOn(now time.Time, challenger uint64, interval time.Duration, b bounds) bool {
	patience := interval * 11 / 4
	if r := &p.second; r.boot == challenger && r.last.Sub(r.since) > patience {
		patience = max(patience, b.stale-b.stand)
	}
	since := p.last
	if p.back.After(since) {
		since = p.back // our own pause is no silence of theirs
	}
	return !p.farewell && p.sure && now.Sub(since) <= patience
}

// noteSecond remembers a process with the name of a peer that is not believed, and raises
// the alarm when it goes on.
func (n *Node) noteSecond(now time.Time, p *peer, boot, seq uint64, from netip.AddrPort) {
	r := &p.second
	if r.boot != boot || now.Sub(r.last) > n.bounds.stale {
		*r = second{boot: boot, since: now}
	}
	r.seq, r.last = seq, now
	if now.Sub(r.since) > n.bounds.stale {
		n.alarms.raise("duplicate-name", now, fmt.Sprintf("two processes call themselves %s, at %v and %v: only the first is believed",
			p.name, p.from.Addr(), from.Addr()))
	}
}

// disown is for a peer whose new process speaks from another host: it can't speak for the
// kernel of the former one, so what that held is not released.
func (n *Node) disown(p *peer) {
	at := n.plan.Member(p.name)
	for g := range n.signs {
		if x := &n.signs[g]; x.holder == at && !x.released() {
			x.holder, x.fresh = nobody, false
		}
	}
}
