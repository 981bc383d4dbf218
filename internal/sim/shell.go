package sim

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

const (
	// socketRoom is how many datagrams wait in a socket before the kernel drops more.
	socketRoom = 1000
	// frameEvery is how often the shell passes on that frames arrive.
	frameEvery = int64(5 * time.Millisecond)
	// extendEvery is how often a shell that turns extends its addresses.
	extendEvery = int64(200 * time.Millisecond)
)

// gratuitousAt is the schedule of ARP announcements after an address was added.
var gratuitousAt = []time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond,
	100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// receive takes a frame from the wire, or leaves it in the socket of a process that
// doesn't run just now.
func (h *host) receive(f *frame) {
	switch {
	case h.state == off || h.state == upgrading: // no socket is open
	case h.state == starting || h.stopped > 0:
		if len(h.inbox) < socketRoom && f.kind != noise && f.kind != arpAsk {
			h.inbox = append(h.inbox, recorded{f, h.w.now})
		}
	default:
		if h.late() {
			h.inbox = append(h.inbox, recorded{f, h.w.now})
			h.rebirth()
		} else if h.read(recorded{f, h.w.now}) {
			h.idleTurns = 0 // this one has a reason
			h.turnSoon()
		}
	}
}

// read passes one frame to the core and says whether the core was told anything.
func (h *host) read(in recorded) bool {
	f, now, at := in.frame, h.clock.time(h.w.now), h.clock.time(in.at)
	src := h.w.hosts[f.src]
	told := false
	if h.w.now-h.lastFrame >= frameEvery {
		h.lastFrame = h.w.now
		kind := cluster.Frame
		if src.role != member {
			kind = cluster.Outsider
		}
		h.node.Sign(now, cluster.Sign{Kind: kind})
		told = true
	}
	switch f.kind {
	case chatGroup, chatDirect:
		refusal := h.node.Receive(now, cluster.Packet{Data: f.data, From: f.from, TTL: int(f.ttl)})
		if refusal == "" && src.role == member {
			h.known[f.src] = true
		}
		h.w.check.believed(h, f, refusal)
		return told || !refusal.Inert()
	case arpAnswer:
		if h.w.cfg.Bug == BugNoAnswers && int(f.addr) < h.w.vips {
			return told
		}
		if int(f.addr) == src.addr && src.role == member {
			h.known[f.src] = true
		}
		if src.role != member && int(f.addr) >= h.w.vips {
			h.node.Sign(now, cluster.Sign{Kind: cluster.Outsider, Addr: h.w.addrs[f.addr]})
			return true
		}
		h.node.Sign(now, cluster.Sign{Kind: cluster.Answered, Addr: h.w.addrs[f.addr], Node: h.nameOf(f), At: at})
		return true
	case arpAnnounce:
		h.node.Sign(now, cluster.Sign{Kind: cluster.Announced, Addr: h.w.addrs[f.addr], Node: h.nameOf(f), At: at})
		return true
	case echoAnswer:
		if h.w.cfg.Bug == BugNoEcho {
			return told
		}
		h.node.Sign(now, cluster.Sign{Kind: cluster.Echoed, Addr: h.w.addrs[f.addr], At: at})
		return true
	}
	return told
}

// nameOf is the plan node whose hardware address sent the frame, as far as h knows.
func (h *host) nameOf(f *frame) string {
	if src := h.w.hosts[f.src]; src.role == member && h.known[f.src] {
		return src.as
	}
	return ""
}

// late says whether the process didn't run for longer than its kernel keeps addresses.
func (h *host) late() bool {
	return h.w.cfg.Bug != BugLateWake && h.w.cfg.Bug != BugExtendCreates &&
		h.clock.at(h.w.now)-h.lastTurn > int64(h.w.cfg.Lifetime)
}

// rebirth makes a process that woke up late a new one.
func (h *host) rebirth() {
	h.w.note(h.id, "woke up late: a new boot", -1)
	h.gen++
	h.begin()
}

// resume is the first thing that a process does after it didn't run: it reads its
// sockets and its kernel before it turns.
func (h *host) resume() {
	if h.late() {
		h.rebirth()
		return
	}
	switch h.w.cfg.Bug {
	case BugExtendCreates:
		h.extend()
	case BugLateWake: // what was wanted is still wanted
		for a, has := range h.kernel.has {
			h.put[a] = h.put[a] && has
		}
		h.carryOut()
	}
	if h.reload {
		h.reload = false
		h.node.Adopt(h.clock.time(h.w.now), h.file.plan)
	}
	inbox := h.inbox
	h.inbox = nil
	for _, f := range inbox {
		h.read(f)
	}
	for _, g := range h.plan.groups {
		h.tell(g)
	}
	h.tick()
}

// tell reports what the kernel holds of a group that the core holds.
func (h *host) tell(g int) {
	if !slices.Contains(h.held, h.w.groups[g].key) {
		return
	}
	present, missing := h.count(g)
	h.node.Report(h.clock.time(h.w.now), cluster.Report{Group: h.w.groups[g].key, Present: present, Missing: missing})
}

// reported passes on a netlink event about a group. For a stopped process it waits.
func (h *host) reported(g int) {
	if !slices.Contains(h.plan.groups, g) {
		return
	}
	if !h.alive() {
		h.due[g] = h.due[g] || h.state == running
		return
	}
	if h.late() {
		h.rebirth()
		return
	}
	present, missing := h.count(g)
	h.node.Report(h.clock.time(h.w.now), cluster.Report{Group: h.w.groups[g].key, Present: present, Missing: missing})
	h.turn()
}

// tick is a turn because time passed.
func (h *host) tick() {
	h.node.Tick(h.clock.time(h.w.now))
	h.turn()
}

// turnSoon takes the turn that follows from what was read, with what else comes in before
// a busy process gets to it.
func (h *host) turnSoon() {
	if h.w.cfg.Busy == 0 {
		h.turn()
		return
	}
	if h.busy == h.gen {
		return
	}
	gen := h.gen
	h.busy = gen
	h.w.after(int64(h.w.cfg.Busy), func() {
		if h.gen != gen {
			return
		}
		if h.busy = 0; h.alive() {
			h.turn()
		}
	})
}

// turn takes one Ready and does it, in the order that the daemon keeps.
func (h *host) turn() {
	w := h.w
	h.lastTurn = h.clock.at(w.now)
	h.share()
	r := h.node.Ready(h.clock.time(w.now))
	w.turns++
	h.noteSpin(&r)
	if h.plan != h.file && h.node.Plan().Digest() == h.file.plan.Digest() {
		h.planned(h.file)
		h.willDue = 0
	}
	for _, d := range r.Send {
		h.speak(d)
	}
	h.learn(r.Neighbours)
	for _, x := range r.Replies {
		w.check.answered(h, x)
	}
	for _, g := range r.Orders {
		h.obey(g)
	}
	h.follow()
	h.instruct()
	h.extendGrant(&r)
	h.hold(&r)
	for _, a := range r.Ask {
		if n, ok := w.number[a]; ok && w.cfg.Bug != BugNoAsking {
			w.broadcast(&frame{kind: arpAsk, src: int16(h.id), addr: int16(n)})
		}
	}
	for _, a := range r.Echo {
		if n, ok := w.number[a]; ok {
			w.broadcast(&frame{kind: echoAsk, src: int16(h.id), addr: int16(n)})
		}
	}
	for _, a := range r.Announce {
		if n, ok := w.number[a]; ok && h.kernel.has[n] {
			w.broadcast(&frame{kind: arpAnnounce, src: int16(h.id), addr: int16(n)})
		}
	}
	if h.leaving && h.node.Left() && !slices.Contains(h.kernel.has, true) {
		h.farewell()
		return
	}
	h.sleep(r.Wake)
}

// noteSpin finds a core that wants turn after turn and does nothing in them: a daemon
// that burns a processor.
func (h *host) noteSpin(r *cluster.Ready) {
	soon := r.Wake.Sub(h.clock.time(h.w.now)) < h.w.cfg.Interval/8
	if !soon || len(r.Send)+len(r.Ask)+len(r.Echo)+len(r.Announce) > 0 || !slices.Equal(r.Hold, h.held) {
		h.idleTurns = 0
		return
	}
	if h.idleTurns++; h.idleTurns > 100 {
		h.w.fail("economy", "%s asked for %d turns in a row and did nothing in them", h.name, h.idleTurns)
	}
}

// speak sends one datagram of the core.
func (h *host) speak(d cluster.Datagram) {
	h.w.said.note(len(d.Data))
	f := &frame{kind: chatGroup, src: int16(h.id), from: h.chat, ttl: 255, data: slices.Clone(d.Data)}
	if !d.To.IsValid() && !h.w.cfg.Unicast {
		h.w.broadcast(f)
		return
	}
	f.kind = chatDirect
	if !d.To.IsValid() {
		h.toPeers(f)
	} else if n, ok := h.w.number[d.To.Addr()]; ok && n >= h.w.vips {
		h.w.send(f, n-h.w.vips)
		h.w.attacker.tap(f)
	}
}

// toPeers sends a datagram to every host that is configured as a peer, which a twin's isn't.
// The stranger sees all that the switch carries.
func (h *host) toPeers(f *frame) {
	for to, peer := range h.w.hosts {
		if to != h.id && peer != h.w.twin && peer.role != gateway {
			h.w.send(f, to)
		}
	}
}

// hold makes the set of groups what the kernel should have, and extends what is there.
func (h *host) hold(r *cluster.Ready) {
	w := h.w
	if !slices.Equal(r.Hold, h.held) {
		for _, g := range h.plan.groups {
			if key := w.groups[g].key; slices.Contains(r.Hold, key) != slices.Contains(h.held, key) {
				h.due[g] = true
			}
		}
		h.held = append(h.held[:0], r.Hold...)
		clear(h.want)
		for _, k := range r.Hold {
			g, ok := w.byKey[k]
			if !ok {
				w.fail("P5", "%s holds a group that no plan has", h.name)
				return
			}
			for _, a := range w.groups[g].addrs {
				h.want[a] = true
			}
		}
		for a, wanted := range h.want {
			h.put[a] = h.put[a] && wanted
		}
	}
	if now := h.clock.at(w.now); r.Announced && now-h.lastExtend >= extendEvery {
		h.lastExtend = now
		h.extend()
		h.extended()
	}
	if h.plumbAt == 0 && h.differs() {
		h.plumbAt = w.now + w.opTime()
		w.queue.push(event{at: h.plumbAt, kind: plumb, host: int16(h.id), gen: h.gen})
	}
}

// differs says whether the kernel has something to be changed, or the core waits to
// hear what it has. An address that was put there and is gone isn't put there again: the
// core has to claim it anew.
func (h *host) differs() bool {
	if slices.Contains(h.due, true) {
		return true
	}
	for a, wanted := range h.want {
		if wanted != h.kernel.has[a] && !(wanted && h.put[a]) {
			return true
		}
	}
	return false
}

// carryOut makes the kernel what the newest Hold wants and has the groups read back.
func (h *host) carryOut() {
	w := h.w
	h.plumbAt = 0
	granted := h.granted() || w.cfg.Bug == BugLateWake
	for _, g := range h.plan.groups {
		touched := h.due[g] // also where nothing is to be done: the core waits for it
		h.due[g] = false
		for _, a := range w.groups[g].addrs {
			switch {
			case h.want[a] && !h.kernel.has[a] && !h.put[a] && granted:
				h.put[a] = true
				h.add(a, "plumbed")
				for _, d := range gratuitousAt {
					w.queue.push(event{at: w.now + int64(d), kind: gratuitous, host: int16(h.id), arg: int16(a), gen: h.gen})
				}
				touched = true
			case !h.want[a] && h.kernel.has[a]:
				h.remove(a, "removed")
				touched = true
			}
		}
		if touched {
			w.queue.push(event{at: w.now + 20_000 + w.upTo(80_000), kind: report,
				host: int16(h.id), arg: int16(g), gen: h.gen})
		}
	}
	for a, has := range h.kernel.has { // of no group of this plan
		if has && !h.want[a] {
			h.remove(a, "removed")
		}
	}
}

// sleep asks for a turn when the core wants one; timers are up to a millisecond late.
func (h *host) sleep(until time.Time) {
	w := h.w
	h.wakeAt = max(h.clock.when(until.UnixNano()), w.now+int64(50*time.Microsecond))
	if h.wakeSet == 0 || h.wakeAt < h.wakeSet {
		h.wakeSet = h.wakeAt + w.upTo(1_000_000)
		w.queue.push(event{at: h.wakeSet, kind: wake, host: int16(h.id), gen: h.gen})
	}
}

// woken takes the turn, or sleeps on where the wish has changed since.
func (h *host) woken() {
	if h.wakeSet != h.w.now {
		return
	}
	h.wakeSet = 0
	if !h.alive() {
		return
	}
	if h.wakeAt > h.w.now {
		h.wakeSet = h.wakeAt
		h.w.queue.push(event{at: h.wakeSet, kind: wake, host: int16(h.id), gen: h.gen})
		return
	}
	if h.late() {
		h.rebirth()
		return
	}
	h.tick()
}

// leave stops the process as SIGTERM does: hand over, see the addresses gone, say
// farewell, end.
func (h *host) leave() {
	if !h.alive() || h.leaving {
		return
	}
	h.leaving = true
	h.w.note(h.id, "leaves", -1)
	h.node.Leave(h.clock.time(h.w.now))
	if h.w.cfg.Bug == BugFarewellFirst {
		gen := h.gen
		h.sayFarewell()
		h.w.after(int64(100*time.Millisecond), func() {
			if h.gen == gen {
				for a := range h.kernel.has {
					h.remove(a, "removed")
				}
				h.bye()
				h.kill("process ends")
			}
		})
		return
	}
	h.turn()
}

// farewell says that this process is over and ends it.
func (h *host) farewell() {
	h.sayFarewell()
	h.bye()
	h.kill("process ends")
	h.fell -= int64(h.w.cfg.Interval) // what it said doesn't stand any more
}

// sayFarewell sends the last datagrams four times, 5 ms apart.
func (h *host) sayFarewell() {
	for _, d := range h.node.Farewell(h.clock.time(h.w.now)) {
		for i := range farewells {
			h.speakLater(d, i)
		}
	}
}

// speakLater sends a datagram after so many times 5 ms, unless the host has gone.
func (h *host) speakLater(d cluster.Datagram, times int) {
	h.w.after(int64(times)*farewellPause, func() { h.speak(d) })
}
