package sim

import (
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A role says what a host is to the cluster.
type role uint8

const (
	// member hosts run the daemon.
	member role = iota
	// gateway answers for its own address and broadcasts now and then.
	gateway
	// stranger is on the wire without the secret.
	stranger
)

// A state is how far a host's process is.
type state uint8

const (
	// off: there is no process.
	off state = iota
	// starting: left-overs are being removed; its socket is open already.
	starting
	// running: it takes turns.
	running
	// upgrading: the program is replaced by another, which will go on.
	upgrading
)

// A host is a kernel, a clock, at most one process of the daemon and one of its guard.
type host struct {
	w      *World
	id     int
	name   string // in the story
	as     string // in the plan
	role   role
	addr   int // the number of its own address
	chat   netip.AddrPort
	clock  clock
	kernel kernel

	// down: no power. frozen: nothing runs, but the clock goes on. paused: nothing
	// runs and the clock stands still, as for a suspended virtual machine.
	down, frozen, paused bool
	stoodSince           int64
	// wentOn is the world time at which it last went on after it stood still; awoke is when
	// its clock had stood still as well.
	wentOn, awoke int64

	// The process.
	node  *cluster.Node
	gen   uint32 // grows with each process and each end of one
	state state
	boot  uint64    // of the last process; the state directory keeps it
	plan  *planning // the one that rules in the process
	file  *planning // the one that it was told, and that a new process starts with
	// regrouped is the world time at which other nodes came into its plan, or left it.
	regrouped int64
	// following: a plan of a higher version is being kept; lost: the state directory was.
	following, lost bool
	timing          cluster.Timing // its own
	foreign         bool           // it has another secret
	rekeyed         int64          // world time at which it last got the right one again
	reload          bool           // it was told so while it didn't run
	// process counts the processes, ends the times that one was ended or kept from starting.
	process, ends uint32
	guarded       uint32 // the process for which a guard was started
	waiting       bool   // for the guard of the former process, to start the next
	// stopped counts who stopped it (SIGSTOP, starvation).
	stopped int
	leaving bool
	// toTell is what the process toldTo is told as soon as it takes turns.
	toTell []func(now time.Time)
	toldTo uint32
	// drainedUntil, on its own clock, is kept in the state directory.
	drainedUntil int64
	speaks       int64 // world time since which it has a say; a quick restart is no break, as what it said
	// stands with the others for stale - T
	idle    int64 // world time at which it was last dead or hung
	fell    int64 // world time at which it last ceased to take turns
	forsook int64 // world time at which neither daemon nor guard last looked after its addresses

	inbox   []recorded // what waits in its sockets
	want    []bool     // by address: the kernel should have it
	put     []bool     // by address: it was put there since it was last unwanted
	due     []bool     // by group: Hold changed for it and no report followed yet
	held    []vipgroup.Key
	plumbAt int64  // a plumb event is under way
	known   []bool // by host: its hardware address is known to be a plan node's

	guard   guard
	left    handover           // of the program that was replaced
	term    int64              // on its own clock: until then its last turn lets addresses live
	grant   int64              // on its own clock: until then they may be added and extended
	told    int64              // the newest grant that the guard was told
	will    []cluster.Datagram // the newest that it was told
	willDue int64              // on its own clock

	busy       uint32 // the process that is yet to take a turn for what it has read
	lastTurn   int64  // on its own clock
	lastExtend int64
	lastShare  int64
	lastFrame  int64
	wakeAt     int64 // world time of the turn that it wants
	idleTurns  int   // turns in a row that did nothing and asked for another
	wakeSet    int64 // world time of the earliest wake event under way
}

// running says whether the host and its kernel run at all.
func (h *host) running() bool { return !h.down && !h.frozen && !h.paused }

// alive says whether its process takes turns.
func (h *host) alive() bool { return h.running() && h.state == running && h.stopped == 0 }

// start begins a process: it removes what is left over, then makes a Node.
func (h *host) start() {
	if h.down || h.state != off {
		return
	}
	if h.guard.alive {
		h.waiting = true // it shares the lock of the state directory
		return
	}
	h.gen++
	h.process++
	h.forsake()
	h.state = starting
	h.following = false
	if h.lost {
		h.lost, h.file = false, &h.w.plans[0]
	}
	h.stopped, h.leaving = 0, false
	h.told, h.will = 0, nil
	h.inbox = h.inbox[:0]
	h.w.note(h.id, "process starts", -1)
	h.begin()
}

// begin does what every process does first. It is also the way of one that woke up
// late: it takes a new boot id, and its socket stays as it is.
func (h *host) begin() {
	h.state = starting
	gen := h.gen
	h.w.after(h.w.opTime(), func() {
		if h.gen != gen || !h.running() || h.stopped > 0 {
			return // killed, or cont or thaw begins anew
		}
		for a := range h.kernel.has {
			h.forsake()
			h.remove(a, "removed a left-over")
		}
		h.boot = max(h.boot+1, uint64(h.clock.at(h.w.now)))
		boot := h.boot
		if h.w.cfg.Bug == BugOldBoot {
			boot = 1<<40 - h.boot>>24
		}
		h.planned(h.file)
		now := h.clock.time(h.w.now)
		h.node = cluster.New(now, cluster.Options{Name: h.as, Cluster: "sim", Boot: boot,
			Keys: h.keys(), Plan: h.plan.plan, Timing: h.timing})
		if h.w.cfg.Gateway {
			h.node.Witness(now, []netip.Addr{h.w.addrs[h.w.hosts[h.w.gateway].addr]})
		}
		h.drainAgain(now)
		h.state = running
		h.held = h.held[:0]
		clear(h.want)
		clear(h.put)
		clear(h.due)
		h.plumbAt, h.wakeAt, h.wakeSet = 0, 0, 0
		h.term, h.grant, h.willDue = 0, 0, 0
		if !h.w.cfg.NoGuard && h.guarded != h.process {
			h.guarded = h.process
			h.guard.begin()
		}
		if h.w.now-h.fell > int64(h.w.cfg.Interval)/4 || h.slowed() {
			h.speaks = h.w.now
		}
		h.lastTurn, h.lastExtend, h.lastFrame = h.clock.at(h.w.now), 0, 0
		h.resume()
	})
}

// kill ends the process; the kernel goes on.
func (h *host) kill(why string) {
	h.waiting = false
	h.ends++
	if h.state == off {
		return
	}
	h.w.check.unreached()
	if h.alive() {
		h.fell = h.w.now
	}
	h.gen++
	h.state, h.node, h.inbox = off, nil, nil
	h.idle = h.w.now
	h.w.note(h.id, why, -1)
	h.forsake()
	h.guard.orphaned()
}

// stop keeps the process from running until cont.
func (h *host) stop() {
	if h.alive() {
		h.fell = h.w.now
	}
	h.stopped++
	h.idle = h.w.now
	h.forsake()
	h.plumbAt = 0 // it checks again before any system call
}

func (h *host) cont() {
	if h.stopped == 0 {
		return
	}
	h.forsake()
	if h.stopped--; h.stopped > 0 || !h.running() {
		return
	}
	h.idle, h.speaks = h.w.now, h.w.now
	switch h.state {
	case starting:
		h.begin()
	case running:
		h.resume()
	}
}

// stand freezes or pauses the whole host.
func (h *host) stand(pause bool) {
	h.w.check.unreached()
	h.stoodSince = h.w.now
	h.frozen, h.paused = !pause, pause
	h.forsake()
	h.plumbAt = 0
	h.w.check.dirty = true
}

// slowed says whether what this host says comes late: then it doesn't stand for long enough to
// bridge even a quick restart.
func (h *host) slowed() bool {
	for k := range h.w.cfg.Nodes {
		if k != h.id && h.w.slowest(h.id, k) > int64(h.w.cfg.Interval)/4 {
			return true
		}
	}
	return false
}

// thaw lets a frozen or paused host go on.
func (h *host) thaw() {
	if !h.frozen && !h.paused {
		return
	}
	w := h.w
	if h.paused {
		d := w.now - h.stoodSince
		h.clock.lost += d
		for a := range h.kernel.expires {
			h.kernel.expires[a] += d
		}
	}
	h.forsake()
	h.wentOn = w.now
	if h.paused {
		h.awoke = w.now
	}
	h.frozen, h.paused = false, false
	h.speaks = w.now
	w.check.reachedAgain(h.id)
	for a := range h.kernel.has {
		if h.kernel.has[a] && !h.kernel.armed[a] {
			h.kernel.armed[a] = true
			w.queue.push(event{at: max(h.kernel.expires[a], w.now), kind: expire, host: int16(h.id), arg: int16(a)})
		}
	}
	h.guard.stir(300_000)
	gen := h.gen
	w.after(1+w.upTo(300_000), func() {
		if h.gen != gen || !h.running() {
			return
		}
		if h.state == starting {
			h.begin()
		} else if h.alive() {
			h.resume()
		}
	})
}

// lose takes the host's power away, with everything that its kernel held.
func (h *host) lose() {
	if h.down {
		return
	}
	h.guard.die("")
	h.kill("host lost")
	h.frozen, h.paused, h.stopped = false, false, 0
	for a := range h.kernel.has {
		h.remove(a, "gone with its host")
	}
	h.down = true
	h.w.check.dirty = true
}

// power brings a lost host back, with an empty kernel and a new process.
func (h *host) power() {
	if !h.down || h.as == "" {
		return
	}
	h.down = false
	h.w.check.reachedAgain(h.id)
	h.start()
}
