package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A FaultKind is one word of what can go wrong; scripts use the same words.
type FaultKind string

// Faults of a process. A is the node.
const (
	Kill   FaultKind = "kill"   // SIGKILL; ends with a restart
	Leave  FaultKind = "leave"  // SIGTERM; ends with a return
	Hang   FaultKind = "hang"   // SIGSTOP; ends with SIGCONT
	Starve FaultKind = "starve" // no turn for a while, shorter than the grant
	Wrong  FaultKind = "wrong"  // restarted with a mistyped secret; ends with the right one
	Drain  FaultKind = "drain"
	Bar    FaultKind = "bar"     // a node-wide vote
	Worse  FaultKind = "worse"   // a penalty for group Arg
	BarOne FaultKind = "bar-one" // a bar for group Arg
	Adopt  FaultKind = "adopt"   // plan Arg; ends with the first plan
	Forget FaultKind = "forget"  // somebody deletes address Arg by hand
	// Upgrade replaces the program; the next one goes on after Arg ms.
	Upgrade FaultKind = "upgrade"
	// Doze is SIGSTOP until Arg tenths of a millisecond after the guard's deadline.
	Doze FaultKind = "doze"
)

// Faults of a guard, alone and with its daemon. A is the node.
const (
	KillGuard FaultKind = "kill-guard" // SIGKILL
	HangGuard FaultKind = "hang-guard" // SIGSTOP; ends with SIGCONT
	// KillBoth kills the guard, and the daemon Arg ms later; below 0 the daemon first, and
	// the guard -Arg ms later. Ends with a restart.
	KillBoth FaultKind = "kill-both"
	// FreezeBoth stops both; ends with SIGCONT, for the daemon first or, where Arg is 1,
	// for the guard.
	FreezeBoth FaultKind = "freeze-both"
)

// Faults of a host. A is the node.
const (
	Lose   FaultKind = "lose"   // no power
	Freeze FaultKind = "freeze" // nothing runs, clocks go on
	Pause  FaultKind = "pause"  // a virtual machine stands still, with its clock
	Squat  FaultKind = "squat"  // the gateway has address Arg
)

// Faults of links. From A to B where both are named.
const (
	Cut     FaultKind = "cut"      // A to B, everything
	Part    FaultKind = "part"     // A and B, everything
	Island  FaultKind = "island"   // A and everybody, both ways
	Split   FaultKind = "split"    // the nodes in the bits of Arg from the others
	RxDead  FaultKind = "rx-dead"  // A receives nothing
	TxDead  FaultKind = "tx-dead"  // nothing of A arrives
	NoChat  FaultKind = "no-chat"  // A to B, chat only
	Deaf    FaultKind = "deaf"     // A gets no chat
	Mute    FaultKind = "mute"     // A's chat arrives nowhere
	Silence FaultKind = "silence"  // no chat at all
	NoGroup FaultKind = "no-group" // A to B, chat to the group only
	NoMulti FaultKind = "no-multi" // no chat to the group at all
	Blip    FaultKind = "blip"     // no frame at all, between anybody
	Lossy   FaultKind = "lossy"    // Arg of 1000 frames of A are lost, both ways
	Slow    FaultKind = "slow"     // A's frames take up to Arg ms longer
	Twice   FaultKind = "twice"    // Arg of 1000 frames of A come twice
)

// faultKinds are all of them: what a script may say.
var faultKinds = []FaultKind{
	Kill, Leave, Hang, Starve, Wrong, Drain, Bar, Worse, BarOne, Adopt, Forget, Upgrade, Doze,
	KillGuard, HangGuard, KillBoth, FreezeBoth,
	Lose, Freeze, Pause, Squat,
	Cut, Part, Island, Split, RxDead, TxDead, NoChat, Deaf, Mute, Silence, NoGroup, NoMulti, Blip, Lossy, Slow, Twice,
	Twin, Flap, Crawl, Remember, FilterIn, FilterOut, Command, Move, Bump, Retime, Rotate, Disk,
}

// A Fault is something that goes wrong from Begin to End.
type Fault struct {
	Kind FaultKind
	A, B int
	Arg  int
	gen  uint32
	// guard is the guard that it concerns.
	guard uint32
}

func (w *World) describe(f *Fault) string {
	s := string(f.Kind)
	switch f.Kind {
	case Cut, Part, NoChat, NoGroup, Command, Move:
		s += " " + w.hosts[f.A].name + " " + w.hosts[f.B].name
	case Silence, NoMulti, Blip, Squat, Remember, Rotate:
	case Split:
		for i := range w.cfg.Nodes {
			if f.Arg>>i&1 == 1 {
				s += " " + w.hosts[i].name
			}
		}
	default:
		s += " " + w.hosts[f.A].name
	}
	switch f.Kind {
	case Worse, BarOne, Move:
		s += " " + w.groups[f.Arg].name
	case Squat, Forget:
		s += " " + w.addrs[f.Arg].String()
	case Adopt, Bump:
		s += fmt.Sprintf(" %d", f.Arg+1)
	case Lossy, Slow, Twice, Doze, KillBoth, FreezeBoth, Upgrade, Remember, Twin, Crawl, Command, Retime:
		s += fmt.Sprintf(" %d", f.Arg)
	}
	return s
}

// Begin lets a fault begin.
func (w *World) Begin(f *Fault) {
	w.note(-1, "--- "+w.describe(f), -1)
	h := w.hosts[f.A]
	switch f.Kind {
	case Kill:
		h.kill("killed")
	case Leave:
		h.leave()
	case Hang, Starve:
		if h.state != off {
			h.stop()
			f.gen = h.gen
		}
	case Doze:
		if h.state != off {
			h.stop()
			f.gen = h.gen
			w.after(max(1, h.deadline()+int64(f.Arg)*100_000-w.now), func() { w.End(f) })
		}
	case Upgrade:
		h.upgrade(int64(f.Arg) * int64(time.Millisecond))
	case KillGuard:
		h.guard.kill()
	case HangGuard:
		h.guard.stop()
		f.guard = h.guard.gen
	case KillBoth:
		w.killBoth(h, f)
	case FreezeBoth:
		if h.state != off {
			h.stop()
			f.gen = h.gen
		}
		h.guard.stop()
		f.guard = h.guard.gen
	case Twin:
		w.beTwin(f)
	case Flap:
		w.flap(f)
	case Crawl:
		w.crawl(f)
	case Wrong:
		h.rekey(true)
	case Drain:
		if h.alive() {
			h.order(func(now time.Time) { h.node.Drain(now, cluster.Drain{}) })
		}
	case Command, Move:
		w.give(f)
	case Bar:
		h.vote(cluster.Vote{Source: "sim", Bar: true, Strict: w.cfg.Drop, Reason: "sim"})
	case BarOne:
		h.vote(cluster.Vote{Source: "sim", Group: &w.groups[f.Arg].key, Bar: true, Strict: w.cfg.Drop, Reason: "sim"})
	case Worse:
		h.vote(cluster.Vote{Source: "sim", Group: &w.groups[f.Arg].key, Penalty: 10, Reason: "sim"})
	case Adopt:
		h.adopt(f.Arg)
	case Bump:
		h.bump(f.Arg)
	case Retime:
		h.retime(f.Arg)
	case Rotate:
		w.rotate(true)
	case Disk:
		h.lost = true
	case Forget:
		if h.kernel.has[f.Arg] {
			h.remove(f.Arg, "deleted by hand")
			h.look(f.Arg)
		}
	case Lose:
		h.lose()
	case Freeze, Pause:
		if h.running() {
			h.stand(f.Kind == Pause)
		}
	case Squat:
		w.hosts[w.gateway].kernel.has[f.Arg] = true
	}
	w.faults = append(w.faults, f)
	w.rewire()
}

// killBoth kills a guard and so much later its daemon, or the other way round.
func (w *World) killBoth(h *host, f *Fault) {
	apart := int64(f.Arg) * int64(time.Millisecond)
	process, guard := h.process, h.guard.gen
	if apart < 0 {
		h.kill("killed")
		w.after(-apart, func() {
			if h.guard.gen == guard {
				h.guard.kill()
			}
		})
		return
	}
	h.guard.kill()
	w.after(apart, func() {
		if h.process == process && slices.Contains(w.faults, f) {
			h.kill("killed")
		}
	})
}

// deadline is the moment at which the guard acts if the daemon stops now, or would if
// there was a guard.
func (h *host) deadline() int64 {
	if h.guard.alive && h.guard.grant != 0 {
		return h.clock.when(h.guard.grant)
	}
	return h.w.now + int64(h.w.cfg.Lifetime) - guardMargin
}

// End ends a fault that began, once.
func (w *World) End(f *Fault) {
	i := slices.Index(w.faults, f)
	if i < 0 {
		return
	}
	w.note(-1, "--- end of "+w.describe(f), -1)
	w.faults = append(w.faults[:i:i], w.faults[i+1:]...)
	h := w.hosts[f.A]
	switch f.Kind {
	case Kill, Leave, KillBoth:
		if h.leaving && h.state != off {
			h.kill("killed while leaving")
		}
		h.start()
	case Hang, Starve, Doze:
		if h.gen == f.gen {
			h.cont()
		}
	case HangGuard:
		h.contGuard(f)
	case FreezeBoth:
		first := func() {
			if h.gen == f.gen {
				h.cont()
			}
		}
		second := func() { h.contGuard(f) }
		if f.Arg == 1 {
			first, second = second, first
		}
		first()
		w.after(1+w.upTo(2_000_000), second)
	case Twin:
		w.twin.lose()
		w.twin.as = ""
	case Flap:
		h.start()
	case Wrong:
		h.rekey(false)
	case Drain:
		h.order(func(now time.Time) { h.drainAgain(now) })
	case Command:
		w.hosts[f.B].takeBack()
	case Bar:
		h.vote(cluster.Vote{Source: "sim"})
	case BarOne, Worse:
		h.vote(cluster.Vote{Source: "sim", Group: &w.groups[f.Arg].key})
	case Adopt:
		h.adopt(0)
	case Retime:
		h.retime(0)
	case Lose:
		h.power()
	case Freeze, Pause:
		h.thaw()
	case Squat:
		w.hosts[w.gateway].kernel.has[f.Arg] = false
	}
	w.rewire()
}

// EndAll ends whatever is going on, in a random order but the same for each seed.
func (w *World) EndAll() {
	w.quiet = true
	for _, h := range w.hosts {
		h.takeBack()
	}
	for len(w.faults) > 0 {
		w.End(w.faults[w.rng.IntN(len(w.faults))])
	}
}

// contGuard lets the guard go on that a fault stopped, if it is still the same.
func (h *host) contGuard(f *Fault) {
	if h.guard.gen == f.guard {
		h.guard.cont()
	}
}

// During lets a fault begin after a while and last for some time.
func (w *World) During(after, lasting time.Duration, f *Fault) {
	w.after(int64(after), func() { w.Begin(f) })
	w.after(int64(after+lasting), func() { w.End(f) })
}

// rekey restarts the process with the right or a mistyped secret. What the former one
// said doesn't stand for it.
func (h *host) rekey(foreign bool) {
	h.kill("killed")
	h.fell -= int64(h.w.cfg.Interval)
	if h.foreign && !foreign {
		h.rekeyed = h.w.now
	}
	h.foreign = foreign
	h.start()
}

// strangeWithin says whether nobody could talk to it for want of the secret lately.
func (h *host) strangeWithin(d int64) bool {
	return h.foreign || h.rekeyed > 0 && h.w.now-h.rekeyed <= d
}

func (h *host) vote(v cluster.Vote) {
	h.order(func(now time.Time) { h.node.Vote(now, v) })
}

// order tells the process something once it takes turns, what was said first at first; one
// that dies before isn't told.
func (h *host) order(what func(now time.Time)) {
	process := h.process
	if h.toldTo != process {
		h.toldTo, h.toTell = process, nil
	}
	if h.toTell = append(h.toTell, what); len(h.toTell) > 1 {
		return
	}
	var try func()
	try = func() {
		switch {
		case h.process != process || h.state == off:
			if h.toldTo == process {
				h.toTell = nil
			}
		case h.alive():
			tell := h.toTell
			h.toTell = nil
			for _, what := range tell {
				what(h.clock.time(h.w.now))
			}
			h.turn()
		default:
			h.w.after(int64(h.w.cfg.Interval)/4, try)
		}
	}
	try()
}

func (h *host) adopt(plan int) {
	h.file = &h.w.plans[plan]
	h.reload = !h.alive()
	if h.alive() {
		h.node.Adopt(h.clock.time(h.w.now), h.file.plan)
		h.turn()
	}
}

// rewire makes the paths what the faults that are going on say.
func (w *World) rewire() {
	for i := range w.paths {
		for j := range w.paths[i] {
			p := &w.paths[i][j]
			was := *p
			p.link, p.udp, p.group, p.echo = false, false, false, false
			p.loss, p.dup, p.delay, p.jitter = w.cfg.Loss, 0, 0, 0
			for _, f := range w.faults {
				w.spoil(p, f, i, j)
			}
			if was.link {
				p.lastLink = w.now
				if !p.link {
					p.linkSince = w.now
				}
			}
			if was.udp || was.group {
				p.lastUDP = w.now
				if !p.udp && !p.group {
					p.udpSince = w.now
				}
			}
		}
	}
	w.check.dirty = true
}

// spoil does to the path from i to j what a fault does to it.
func (w *World) spoil(p *path, f *Fault, i, j int) {
	to := f.A == i && f.B == j
	pair := to || f.A == j && f.B == i
	nodes := i < w.cfg.Nodes && j < w.cfg.Nodes
	one := i == f.A || j == f.A
	switch f.Kind {
	case Cut:
		p.link = p.link || to
	case Part:
		p.link = p.link || pair
	case Island:
		p.link = p.link || one
	case Split:
		p.link = p.link || nodes && f.Arg>>i&1 != f.Arg>>j&1
	case RxDead:
		p.link = p.link || j == f.A
	case TxDead:
		p.link = p.link || i == f.A
	case Blip:
		p.link = true
	case NoChat:
		p.udp = p.udp || to
	case Deaf:
		p.udp = p.udp || j == f.A
	case Mute:
		p.udp = p.udp || i == f.A
	case FilterIn:
		p.udp, p.echo = p.udp || j == f.A, p.echo || j == f.A
	case FilterOut:
		p.udp, p.echo = p.udp || i == f.A, p.echo || i == f.A
	case Silence:
		p.udp = true
	case NoGroup:
		p.group = p.group || to
	case NoMulti:
		p.group = true
	case Lossy:
		if one {
			p.loss = max(p.loss, f.Arg)
		}
	case Slow:
		if i == f.A {
			p.jitter = max(p.jitter, int64(f.Arg)*int64(time.Millisecond))
		}
	case Twice:
		if one {
			p.dup = max(p.dup, f.Arg)
		}
	}
}
