package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// An excuse is a reason for which P1 bears two owners for a while: "most" ns, or as
// long as it lasts where endless. The zero excuse bears none.
type excuse struct {
	why     string
	most    int64
	endless bool
}

// excuse says what is borne between two hosts just now, with or without twins.
func (c *checker) excuse(o *overlap) excuse {
	w, a, b := c.w, o.a, o.b
	e := c.plainExcuse(o)
	if w.twin == nil {
		return e
	}
	memory := w.clocked(int64(w.cfg.Lifetime)) + sweepMax + int64(w.cfg.Stale+2*w.cfg.Interval)
	apart := w.cutWithin(a, b, memory) || w.cutWithin(b, a, memory) || w.mutedWithin(a, b, memory) || w.mutedWithin(b, a, memory)
	if w.idleWithin(a, memory) || w.idleWithin(b, memory) {
		// A third that is cut off from a silent process took its address, believing its twin,
		// and hands it on: three faults.
		for k := range w.cfg.Nodes {
			apart = apart || w.cutWithin(a, k, memory) || w.cutWithin(b, k, memory) || w.cutWithin(k, a, memory) || w.cutWithin(k, b, memory)
		}
	}
	// A twin's boot id may be the highest that was ever believed: then who takes the name up
	// again must prove that it is no recording, which it can't to whom it doesn't hear.
	if e.endless || !apart || !w.twinWithin(memory) && w.twin.idle == 0 {
		return e
	}
	// Who doesn't hear both processes with one name both ways may believe the other one: the
	// addresses' own answers are all that guards them.
	e.why = strings.TrimPrefix(e.why+", and a twin", ", and ")
	// So it is without any chat, for nobody tells them apart.
	e.endless = w.cutWithin(a, b, 0) || w.cutWithin(b, a, 0) || w.mutedWithin(a, b, 0) && w.mutedWithin(b, a, 0)
	e.most = max(e.most, memory)
	return e
}

// plainExcuse says which two owners are borne between two hosts just now (README, "What it
// can't"). P1 is promised under any single fault; everything here but the
// first two is two faults at once.
func (c *checker) plainExcuse(o *overlap) excuse {
	w, a, b := c.w, o.a, o.b
	i, stale := int64(w.cfg.Interval), int64(w.cfg.Stale)
	if w.single {
		return w.excuseSingle(a, b)
	}
	since, connected := c.connected(a, b)
	if !connected {
		// P1 yields to the operator's choice: no frame passes either way, nor
		// through a third. A lost, frozen or paused host is cut off as well.
		return excuse{why: "full cut", endless: true}
	}
	// A healed full cut, or a host that stood still and goes on, lasts until the
	// first packet is heard: at most 1.25 intervals; then the better of two holders
	// gives the other an interval to answer before it takes it for deaf. Where packets
	// are lost or late, the next ones have to do, and more than one each way.
	grace := i*9/4 + int64(20*time.Millisecond)
	if w.lossy(a, b) {
		grace += 3*i + w.slowest(a, b)
		if first := w.firstChat(a, b, since); first > since {
			since = first
		}
	}
	if w.cutSince(a, b, since) || w.cutSince(b, a, since) {
		// It was cut again one way before they had settled it: who hears the other
		// finds within stale that it isn't heard itself.
		grace += stale + 2*i
	}
	if w.now-since <= grace {
		return excuse{why: "healed cut", endless: true}
	}
	if o.parted && w.mutedWithin(a, b, 0) && w.mutedWithin(b, a, 0) && !(w.met(a, b) && w.met(b, a)) {
		// Nor is any packet heard, and a process that started behind the cut takes the other's
		// announcements by ARP for a foreign host's.
		return excuse{why: "healed cut without chat", endless: true}
	}
	const slack = int64(20 * time.Millisecond)
	// How long a fault that ended, or a process that died, still has consequences:
	// its kernel keeps the address and the others wait for stale.
	memory := w.clocked(int64(w.cfg.Lifetime)) + sweepMax + stale + 2*i
	oneway := w.cutWithin(a, b, memory) || w.cutWithin(b, a, memory)
	dumb := w.idleWithin(a, memory) || w.idleWithin(b, memory)
	nochat := w.mutedWithin(a, b, memory) || w.mutedWithin(b, a, memory)
	if oneway && (w.lacks(a, b) || w.lacks(b, a)) {
		// A stranger that doesn't hear this node can't prove that it lives, so its chat counts
		// for nothing, and ARP alone ends nothing between nodes of different plans.
		e := excuse{why: "one-way link and a stranger", most: stale + 2*i + slack,
			endless: w.cutWithin(a, b, 0) || w.cutWithin(b, a, 0) || w.strangeClaims(a, b)}
		if e.endless || !dumb {
			return e
		}
	}
	if oneway && nochat {
		// The link is cut one way and chat the other way: neither questions nor
		// packets pass. A third, isolation or the returning chat ends it.
		cut := w.paths[a][b].link || w.paths[b][a].link
		e := excuse{why: "one-way link and no chat", most: stale + 2*i + slack}
		if w.bade(a, b) || w.bade(b, a) { // ARP announcements come but once a second then
			e.most += int64(time.Second)
		}
		if w.lossy(a, b) {
			// The ARP announcements that end it come every max(stale/2, 100 ms), and
			// some are lost.
			e.most += 3 * max(stale/2, int64(100*time.Millisecond))
		}
		e.endless = cut && (w.mutedWithin(a, b, 0) || w.mutedWithin(b, a, 0)) || w.strangeClaims(a, b)
		if e.endless || !dumb {
			return e
		}
	}
	if oneway && dumb {
		// The link is cut one way (or the host stood still) while the holder's daemon
		// is hung or dead: its
		// kernel can't be told and doesn't get the question.
		e := excuse{why: "one-way link and a silent daemon", most: w.clocked(int64(w.cfg.Lifetime)) + sweepMax + slack}
		if !w.forsakenWithin(a, memory) && !w.forsakenWithin(b, memory) {
			// A guard ends that when the grant runs out.
			e = excuse{why: "one-way link and a hung daemon", most: w.clocked(int64(w.cfg.Lifetime)) + slack}
		}
		return e
	}
	lately, most := i*9/4+slack, i*9/4+slack
	if oneway || nochat {
		lately, most = memory, stale+2*i+slack
	}
	if w.now-c.halved[o.addr] <= lately {
		// Two had it behind a full cut, or behind one of one way while a daemon was silent or of a
		// plan that lacks the other. One of them died and its guard released it, or let go, to a
		// third. Where that one doesn't hear the other, it hears the third, or both hear each other
		// once there is chat again, and one of them lets go; where both hear each other, the other
		// lets go at the third's first word.
		return excuse{why: "half of an overlap", most: most}
	}
	if oneway && w.hosts[a].plan != w.hosts[b].plan {
		// A holder that nobody hears can't fetch the plan of a claimant either, so it
		// learns of the claim by the first ARP announcement (0, 20, 40, 100 ms; once a second
		// for a node that took its leave before).
		e := excuse{why: "one-way link and two plans", most: int64(150 * time.Millisecond)}
		if w.bade(a, b) || w.bade(b, a) {
			e.most += int64(time.Second)
		}
		return e
	}
	if oneway && w.slowest(a, b) > 0 {
		// What a claimant that hears nothing says comes late, and what was overtaken is taken for
		// a recording: the holder lets go at the first ARP announcement that arrives.
		return excuse{why: "one-way link and a slow one", most: int64(150*time.Millisecond) + w.slowest(a, b)}
	}
	apart := max(c.added[o.addr][a], c.added[o.addr][b]) - min(c.added[o.addr][a], c.added[o.addr][b])
	if nochat && (w.lossy(a, b) || apart < int64(2*time.Millisecond)) {
		// Two that can't talk claim what a third lost at the same instant, before
		// the announcement of the first arrived at the second; without loss that is
		// a wire and a system call. The first announcement that arrives (0, 20, 40,
		// 100 ms) ends it; where all of these are lost, one of those that follow every
		// max(stale/2, 100 ms) while a node isn't heard.
		if w.strangeClaims(a, b) {
			return excuse{why: "simultaneous claims without chat by two plans", endless: true}
		}
		if w.mutedWithin(a, b, 0) && w.mutedWithin(b, a, 0) && !(w.met(a, b) && w.met(b, a)) {
			// A process that never heard the other takes its announcements for a foreign host's.
			return excuse{why: "simultaneous claims without chat by two that never met", endless: true}
		}
		e := excuse{why: "simultaneous claims without chat", most: int64(150 * time.Millisecond)}
		if w.lossy(a, b) {
			e.most += 3*max(stale/2, int64(100*time.Millisecond)) + w.slowest(a, b)
		}
		return e
	}
	return excuse{}
}

// strangeClaims says whether two can't talk and go by two plans of which neither knows the
// other's: by its own, each may be the better one.
func (w *World) strangeClaims(a, b int) bool {
	return w.hosts[a].plan != w.hosts[b].plan && w.mutedWithin(a, b, 0) && w.mutedWithin(b, a, 0)
}

// bade says whether b took its leave, as far as a has heard.
func (w *World) bade(a, b int) bool {
	h := w.hosts[a]
	return h.node != nil && slices.ContainsFunc(h.node.Status(h.clock.time(w.now)).Peers, func(p cluster.PeerStatus) bool {
		return p.Node == w.hosts[b].as && p.Farewell
	})
}

// met says whether the process of a ever heard b.
func (w *World) met(a, b int) bool {
	h := w.hosts[a]
	return h.node != nil && slices.ContainsFunc(h.node.Status(h.clock.time(w.now)).Peers, func(p cluster.PeerStatus) bool {
		return p.Node == w.hosts[b].as && !p.LastHeard.IsZero()
	})
}

// lacks says whether the plan of a has no place for b.
func (w *World) lacks(a, b int) bool {
	return w.hosts[a].plan.plan.Member(w.hosts[b].as) < 0
}

// excuseSingle is for addresses that only a majority may serve. No cut is an excuse, only
// a host that stood still and goes on: its kernel drops at once what is overdue by its
// clock; but a virtual machine's clock stood still as well, so it lets go when it hears
// another owner, or its majority lapses.
func (w *World) excuseSingle(a, b int) excuse {
	for _, h := range [2]*host{w.hosts[a], w.hosts[b]} {
		if h.awoke != 0 {
			e := excuse{why: "suspended host went on", most: w.clocked(int64(w.cfg.Stale)) + int64(20*time.Millisecond)}
			// Of one that was killed meanwhile, with its guard or without one, only the kernel is left,
			// which lets go of nothing; nor can it tell the other.
			if w.forsakenWithin(a, int64(20*time.Millisecond)) || w.forsakenWithin(b, int64(20*time.Millisecond)) {
				e.most = w.clocked(int64(w.cfg.Lifetime)) + sweepMax
			} else if w.idleWithin(h.id, int64(20*time.Millisecond)) { // its daemon hangs: the guard ends that
				e.most = w.clocked(int64(w.cfg.Lifetime)) + int64(20*time.Millisecond)
			}
			if w.now-h.awoke <= e.most {
				return e
			}
		}
		if e := (excuse{why: "host went on", most: int64(5 * time.Millisecond)}); h.wentOn != 0 && w.now-h.wentOn <= e.most {
			return e
		}
	}
	return excuse{}
}

// connected says whether a frame of one can reach the other, directly or by the words
// of a third that hears both and is heard by both, and since when that is so.
func (c *checker) connected(a, b int) (since int64, ok bool) {
	w := c.w
	best, ok := int64(0), false
	consider := func(t int64) {
		if !ok || t < best {
			best, ok = t, true
		}
	}
	if w.usable(a, b) {
		consider(w.paths[a][b].linkSince)
	}
	if w.usable(b, a) {
		consider(w.paths[b][a].linkSince)
	}
	if ok {
		return best, true
	}
	for k := range w.cfg.Nodes {
		third := w.hosts[k]
		if k == a || k == b || !third.alive() && w.now-third.fell > int64(w.cfg.Interval)/4 || third.foreign {
			continue
		}
		t, all := max(third.speaks, third.regrouped)+5*int64(w.cfg.Interval), true
		for _, end := range [2]int{a, b} {
			all = all && third.knows(third) && third.knows(w.hosts[end]) && w.hosts[end].knows(third)
			t = max(t, w.hosts[end].regrouped+5*int64(w.cfg.Interval))
			for _, p := range [2]*path{&w.paths[end][k], &w.paths[k][end]} {
				all = all && !p.link && !p.udp && !p.group
				t = max(t, p.linkSince, p.udpSince)
			}
			all = all && w.hosts[end].running() && !w.hosts[end].foreign
		}
		if all {
			consider(t)
		}
	}
	return best, ok
}

// knows says whether a node is in the plan of another: else neither believes the other.
func (h *host) knows(other *host) bool { return h.plan.plan.Member(other.as) >= 0 }

func (w *World) clocked(d int64) int64 { return d * 10000 / 9900 }

func (w *World) cutWithin(from, to int, d int64) bool {
	p := &w.paths[from][to]
	return p.link || w.now-p.lastLink <= d
}

// cutSince says whether a direction was cut after a moment, or still is.
func (w *World) cutSince(from, to int, since int64) bool {
	p := &w.paths[from][to]
	return p.link || p.lastLink > since
}

func (w *World) mutedWithin(from, to int, d int64) bool {
	p := &w.paths[from][to]
	return p.udp || p.group || w.now-p.lastUDP <= d || w.hosts[from].strangeWithin(d) || w.hosts[to].strangeWithin(d)
}

// idleWithin says whether a process was dead or hung lately. One that stood still with
// its host, and nothing else, is not meant: that alone has no excuse once it goes on.
func (w *World) idleWithin(h int, d int64) bool {
	state := w.hosts[h].state
	return state != running && state != upgrading || w.hosts[h].stopped > 0 || w.now-w.hosts[h].idle <= d
}

// twinWithin says whether a name was used twice lately.
func (w *World) twinWithin(d int64) bool {
	return w.twin != nil && (!w.twin.down || w.twin.idle > 0 && w.now-w.twin.idle <= d)
}

// forsakenWithin says whether a host's addresses had neither daemon nor guard lately.
func (w *World) forsakenWithin(h int, d int64) bool {
	return w.hosts[h].forsaken() || w.now-w.hosts[h].forsook <= d
}

// firstChat is when the first chat since a moment arrived between two hosts, now where
// none did although some can.
func (w *World) firstChat(a, b int, since int64) int64 {
	first, some := w.now, false
	for _, d := range [2][2]int{{a, b}, {b, a}} {
		p := &w.paths[d[0]][d[1]]
		some = some || !p.link && !p.udp && !p.group
		if h := w.heard[d[1]][d[0]]; h.first >= since {
			first = min(first, h.first)
		}
	}
	if !some {
		return since
	}
	return first
}

func (w *World) lossy(a, b int) bool {
	return w.paths[a][b].loss+w.paths[b][a].loss > 0 || w.slowest(a, b) > 0
}

func (w *World) slowest(a, b int) int64 {
	p, q := &w.paths[a][b], &w.paths[b][a]
	return max(p.delay+p.jitter, q.delay+q.jitter)
}

// unreached is called before a host stops answering or a process ends.
func (c *checker) unreached() { c.dirty = true }

// reachedAgain is called when a host answers again.
func (c *checker) reachedAgain(h int) {
	c.dirty = true
	for j := range c.w.hosts {
		for _, p := range [2]*path{&c.w.paths[h][j], &c.w.paths[j][h]} {
			p.linkSince, p.udpSince, p.lastLink = c.w.now, c.w.now, c.w.now
		}
	}
}
