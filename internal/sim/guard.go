package sim

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A guard is the second process of a member host: what internal/guard and its keeper do,
// as the cluster sees it (docs/architecture.md, "The guard"). It knows only what the daemon told it.
type guard struct {
	h     *host
	gen   uint32 // grows with each guard and each end of one
	alive bool
	born  int64
	// stopped counts who stopped it.
	stopped int
	line    []message // what waits while it doesn't run
	eof     bool      // the daemon has ended
	will    []cluster.Datagram
	grant   int64 // on its host's clock; 0: nothing is held
	stage   stage
	said    int
	due     int64 // world time of its next step; 0: none
}

// A stage is how far a guard is.
type stage uint8

const (
	// watching: the daemon writes.
	watching stage = iota
	// ending: it has made up its mind to kill the daemon.
	ending
	// clearing: the daemon has ended; from here on the guard writes.
	clearing
	// saying: nothing is left to remove.
	saying
)

// A message is what the daemon says to its guard: a will or, without one, a grant.
type message struct {
	will  []cluster.Datagram
	grant int64
	at    int64 // world time
}

const (
	// guardMargin is how long before the kernel may drop an address its guard acts.
	guardMargin = int64(50 * time.Millisecond)
	// willEvery is how often the guard gets a new will.
	willEvery = int64(time.Second)
	// deafAfter is how long a guard may leave messages unread before it is replaced.
	deafAfter = int64(1500 * time.Millisecond)
	// farewells are said this often, farewellPause apart.
	farewells     = 4
	farewellPause = int64(5 * time.Millisecond)
	// reviveAfter is when the service manager starts a daemon again that its guard killed.
	reviveAfter = int64(500 * time.Millisecond)
)

// begin makes a guard for the process of its host and tells it what any guard must know.
func (g *guard) begin() {
	h := g.h
	*g = guard{h: h, gen: g.gen + 1, alive: true, born: h.w.now}
	if h.will != nil {
		g.tell(message{will: h.will})
		g.tell(message{grant: h.told})
	}
}

// runs says whether it can do anything.
func (g *guard) runs() bool { return g.alive && g.stopped == 0 && g.h.running() }

// tell passes a message on. It is false where the guard takes none: that one is ended.
func (g *guard) tell(m message) bool {
	m.at = g.h.w.now
	switch {
	case !g.alive:
		return true
	case g.runs() && g.stage == watching && len(g.line) == 0:
		g.take(m)
		g.arm()
		return true
	case len(g.line) > 0 && m.at-g.line[0].at > deafAfter:
		g.die("guard killed: it is deaf")
		g.replace()
		return false
	}
	g.line = append(g.line, m)
	return true
}

func (g *guard) take(m message) {
	if m.will != nil {
		g.will = m.will
		return
	}
	g.grant = m.grant
}

// arm has the guard look again when the grant runs out. A timer that is early is left as
// it is.
func (g *guard) arm() {
	if g.grant == 0 {
		return
	}
	at := max(g.h.clock.when(g.grant), g.h.w.now)
	if g.due == 0 || at < g.due {
		g.in(at - g.h.w.now + g.h.w.upTo(int64(time.Millisecond)))
	}
}

// in has the guard go on after so many ns.
func (g *guard) in(ns int64) {
	g.due = g.h.w.now + ns
	due, gen := g.due, g.gen
	g.h.w.after(ns, func() {
		if g.gen == gen && g.due == due {
			g.due = 0
			g.step()
		}
	})
}

// step goes on, unless it is stopped: cont and thaw wake it again.
func (g *guard) step() {
	if !g.runs() {
		return
	}
	h, w := g.h, g.h.w
	switch g.stage {
	case watching:
		g.watch()
	case ending:
		// The signal ends a stopped process too, and one that just woke up.
		if h.state != off && w.cfg.Bug != BugGuardSpares {
			h.kill("killed by its guard")
			h.revive()
		}
		g.act(100_000 + w.upTo(1_900_000))
	case clearing:
		for a := range h.kernel.has {
			h.remove(a, "removed by the guard")
		}
		if g.stage = saying; w.cfg.Bug == BugGuardFarewellFirst {
			g.die("guard ends")
			return
		}
		g.in(w.opTime())
	case saying:
		if g.said == 0 { // what the daemon said doesn't stand any more
			h.fell -= int64(w.cfg.Interval)
		}
		for _, d := range g.will {
			h.speak(d)
		}
		switch g.said++; {
		case g.said < farewells:
			g.in(farewellPause)
		case w.cfg.Bug == BugGuardFarewellFirst:
			g.stage = clearing
			g.in(w.opTime())
		default:
			g.die("guard ends")
		}
	}
}

// watch reads what waits, and acts where the daemon has ended or its grant ran out.
func (g *guard) watch() {
	h, w := g.h, g.h.w
	for _, m := range g.line {
		g.take(m)
	}
	g.line = g.line[:0]
	switch {
	case g.eof && g.will == nil:
		g.die("guard ends")
	case g.eof:
		g.act(w.opTime())
	case g.grant != 0 && h.clock.at(w.now) >= g.grant:
		w.note(h.id, "guard: the grant ran out", -1)
		g.stage = ending
		g.in(20_000 + w.upTo(180_000))
	default:
		g.arm()
	}
}

// act begins with what a guard is for, so many ns from now.
func (g *guard) act(ns int64) {
	g.stage = clearing
	if g.h.w.cfg.Bug == BugGuardFarewellFirst {
		g.stage = saying
	}
	g.in(ns)
}

// orphaned tells the guard that the daemon has ended.
func (g *guard) orphaned() {
	if !g.alive {
		return
	}
	g.eof = true
	if g.stage == watching && g.runs() {
		g.in(500_000 + g.h.w.upTo(4_500_000))
	}
}

// die ends the guard, with a word in the story if there is one, and lets in a new daemon that waited for that.
func (g *guard) die(why string) {
	if !g.alive {
		return
	}
	h := g.h
	g.alive, g.line, g.due = false, nil, 0
	g.gen++
	h.forsake()
	if why != "" {
		h.w.note(h.id, why, -1)
	}
	if !h.waiting {
		return
	}
	h.waiting = false
	ends := h.ends
	h.w.after(1+h.w.upTo(10_000_000), func() { // it tries the lock every 10 ms
		if h.ends == ends {
			h.start()
		}
	})
}

// kill ends the guard from outside; a daemon that lives starts another.
func (g *guard) kill() {
	if g.alive {
		g.die("guard killed")
		g.replace()
	}
}

// replace starts another guard after a moment: at once, unless the last one lived for less
// than a second.
func (g *guard) replace() {
	h, w := g.h, g.h.w
	process := h.process
	var again func()
	again = func() {
		switch {
		case h.process != process || h.state == off || g.alive:
		case !h.running() || h.stopped > 0:
			w.after(int64(5*time.Millisecond), again)
		default:
			g.begin()
			w.note(h.id, "guard starts", -1)
		}
	}
	w.after(max(5_000_000+w.upTo(25_000_000), g.born+int64(time.Second)-w.now), again)
}

// stop keeps the guard from running until cont.
func (g *guard) stop() {
	g.stopped++
	g.h.forsake()
}

func (g *guard) cont() {
	g.h.forsake()
	if g.stopped > 0 {
		g.stopped--
	}
	g.stir(200_000)
}

// forsaken says whether its kernel has addresses that neither daemon nor guard looks
// after.
func (h *host) forsaken() bool {
	return !h.alive() && !h.guard.runs() && slices.Contains(h.kernel.has, true)
}

// forsake is called where that may begin or end, and remembers when it last was so.
func (h *host) forsake() {
	if h.forsaken() {
		h.forsook = h.w.now
	}
}

// stir has a guard look around that didn't run, within so many ns.
func (g *guard) stir(within int64) {
	if g.runs() {
		g.in(1 + g.h.w.upTo(within))
	}
}

// The daemon's side.

// instruct tells the guard what it would have to say, once a second and at once after a
// new boot id, plan or key.
func (h *host) instruct() {
	now := h.clock.at(h.w.now)
	if h.w.cfg.NoGuard || now < h.willDue {
		return
	}
	h.willDue = now + willEvery
	h.will = h.node.Will(h.clock.time(h.w.now))
	for i := range h.will {
		h.will[i].Data = slices.Clone(h.will[i].Data)
	}
	h.guard.tell(message{will: h.will})
}

// extendGrant grants the addresses another lifetime, if this turn's announcement went out
// and the guard was told. With nothing held, now or after this turn, the guard is told of
// no grant.
func (h *host) extendGrant(r *cluster.Ready) {
	now, lifetime := h.clock.at(h.w.now), int64(h.w.cfg.Lifetime)
	term := h.term
	if until := now + lifetime; r.Announced && until-term > lifetime/20 {
		term = until
	}
	next := term
	if !r.Lapse.IsZero() {
		next = min(next, r.Lapse.UnixNano())
	}
	until := h.actBy(term, next)
	switch {
	case len(r.Hold) == 0 && len(h.held) == 0 && !slices.Contains(h.kernel.has, true):
		until = 0
	case next <= now:
		return
	}
	if h.tellGrant(until) {
		h.term, h.grant = term, next
	}
}

// actBy returns when the guard must act for a grant: before the kernel drops anything
// that was extended last.
func (h *host) actBy(term, grant int64) int64 {
	end := term
	if h.lastExtend != 0 && slices.Contains(h.kernel.has, true) {
		end = min(end, h.lastExtend+int64(h.w.cfg.Lifetime))
	}
	end -= guardMargin
	if grant < term {
		end = min(end, grant+guardMargin)
	}
	return end
}

// tellGrant tells the guard until when it has to wait, and returns false if that failed.
func (h *host) tellGrant(until int64) bool {
	// A planted daemon tells the first grant after none, and counts the rest all the same.
	if until == h.told || h.w.cfg.Bug == BugUntoldGrant && h.told != 0 && until != 0 {
		return true
	}
	if !h.guard.tell(message{grant: until}) {
		return false
	}
	h.told = until
	return true
}

// extended tells the guard, a moment after the addresses were extended, that the kernel
// has them for longer now.
func (h *host) extended() {
	process := h.process
	h.w.after(int64(time.Millisecond), func() {
		if h.process == process && h.alive() && len(h.held) > 0 && h.granted() {
			h.tellGrant(h.actBy(h.term, h.grant))
		}
	})
}

// granted says whether the process may write addresses; and it is a fault of the world if
// it does so beside its guard.
func (h *host) granted() bool {
	if g := &h.guard; g.alive && g.stage > ending {
		h.w.fail("one writer", "the daemon of %s writes addresses while its guard does", h.name)
	}
	return h.clock.at(h.w.now) < h.grant
}

// bye lets the guard end with a process that has nothing and said so.
func (h *host) bye() { h.guard.die("") }

// revive has the service manager start the process again that was just killed, unless it
// is killed or started otherwise before.
func (h *host) revive() {
	if h.leaving {
		return
	}
	ends := h.ends
	h.w.after(reviveAfter, func() {
		if h.ends == ends {
			h.start()
		}
	})
}
