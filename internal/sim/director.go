package sim

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A director draws faults for a world. Its source is its own, so that what it plans
// doesn't depend on what the nodes do.
type director struct {
	w   *World
	rng *rand.Rand
	// bumped is the highest plan that an operator thought of.
	bumped int
}

// The faults of each kind of storm, the frequent ones more than once.
var (
	// quietFaults move nothing (P3).
	quietFaults = []FaultKind{NoChat, Deaf, Mute, Silence, NoGroup, NoMulti, Starve, Slow, Twice, Lossy}
	// chatFaults leave every link alone.
	chatFaults = []FaultKind{NoChat, NoChat, Deaf, Mute, Silence, NoGroup, NoMulti, Wrong, Kill, Kill, Hang, Hang,
		Starve, Freeze, Lose, Drain, Leave, Lossy, Twice, Forget}
	linkFaults = []FaultKind{Cut, Cut, Part, Part, Island, Split, RxDead, TxDead, Kill, Lose, Drain, Leave, Slow, Blip, Forget}
	allFaults  = []FaultKind{Cut, Part, Island, Split, RxDead, TxDead, NoChat, Deaf, Mute, Silence, NoGroup, NoMulti,
		Blip, Lossy, Slow, Twice, Kill, Kill, Leave, Leave, Hang, Hang, Starve, Wrong, Drain, Drain, Bar, BarOne,
		Worse, Forget, Lose, Freeze, Pause, Adopt, Adopt}
	singleFaults = []FaultKind{Cut, Part, Island, Split, RxDead, TxDead, NoChat, Deaf, Mute, Silence, NoGroup, NoMulti,
		Blip, Lossy, Slow, Twice, Kill, Leave, Hang, Starve, Wrong, Drain, Bar, BarOne,
		Worse, Forget, Lose, Freeze, Pause, Adopt}
	// guardFaults join each of these, and quietGuardFaults the quiet ones, where there are
	// guards.
	guardFaults      = []FaultKind{KillGuard, HangGuard, KillBoth, KillBoth, FreezeBoth, FreezeBoth, Doze, Doze, Hang, Kill}
	quietGuardFaults = []FaultKind{KillGuard, HangGuard}
	// upgradeFaults join all where programs are replaced.
	upgradeFaults = []FaultKind{Upgrade, Upgrade}
)

// with adds the faults that only some worlds know: guardly ones where there are guards.
func (d *director) with(kinds, guardly []FaultKind) []FaultKind {
	if !d.w.cfg.NoGuard {
		kinds = slices.Concat(kinds, guardly)
	}
	if d.w.cfg.Upgrades {
		kinds = slices.Concat(kinds, upgradeFaults)
	}
	return kinds
}

// ordering adds orders, where any are given.
func (d *director) ordering(kinds []FaultKind) []FaultKind {
	if !d.w.cfg.Orders {
		return kinds
	}
	return slices.Concat(kinds, orderFaults)
}

// pestering adds those of pests, where there are any.
func (d *director) pestering(kinds, pests []FaultKind) []FaultKind {
	if !d.w.cfg.Pests {
		return kinds
	}
	return slices.Concat(kinds, pests)
}

// draw makes a fault of one of the kinds and how long it lasts.
func (d *director) draw(kinds []FaultKind) (*Fault, time.Duration) {
	n := d.w.cfg.Nodes
	f := &Fault{Kind: kinds[d.rng.IntN(len(kinds))]}
	f.A = d.rng.IntN(n)
	f.B = (f.A + 1 + d.rng.IntN(n-1)) % n
	// Most faults last from a tenth of a second to eight seconds, short ones often.
	lasting := time.Duration(float64(100*time.Millisecond) * (1 + 80*d.rng.Float64()*d.rng.Float64()))
	switch f.Kind {
	case Starve:
		most := d.w.cfg.Lifetime - 400*time.Millisecond
		lasting = time.Duration(d.rng.Int64N(int64(most)))
	case Upgrade: // mostly as long as a program takes to start
		f.Arg = 5 + d.rng.IntN(60)
		if d.rng.IntN(4) == 0 {
			f.Arg = d.rng.IntN(int((d.w.cfg.Lifetime - 400*time.Millisecond) / time.Millisecond))
		}
	case Blip:
		lasting = time.Duration(d.rng.Int64N(int64(2 * d.w.cfg.Stale)))
	case Forget:
		f.Arg = d.rng.IntN(d.w.vips)
		lasting = time.Millisecond
	case Command:
		f.Arg = 1 + d.rng.IntN(4)
		f.B = d.rng.IntN(n)
	case Move:
		f.B = d.rng.IntN(n)
		f.Arg = d.w.plans[0].groups[d.rng.IntN(len(d.w.plans[0].groups))]
	case Worse, BarOne:
		f.Arg = d.w.plans[0].groups[d.rng.IntN(len(d.w.plans[0].groups))]
	case Adopt:
		f.Arg = 1
	case Bump:
		f.Arg = d.nextPlan()
		lasting = time.Millisecond
	case Rotate, Disk:
		lasting = time.Millisecond
	case Retime:
		f.Arg = 1 + d.rng.IntN(50)
	case Split:
		f.Arg = 1 + d.rng.IntN(1<<n-2)
	case Doze: // mostly around the moment in which the guard acts
		f.Arg = d.rng.IntN(41) - 5
		if d.rng.IntN(3) == 0 {
			f.Arg = d.rng.IntN(1200) - 600
		}
	case KillBoth:
		f.Arg = d.rng.IntN(101) - 50
		if d.rng.IntN(2) == 0 {
			f.Arg /= 10
		}
	case FreezeBoth, Twin:
		f.Arg = d.rng.IntN(2)
	case Crawl:
		f.Arg = 100 + d.rng.IntN(int(d.w.cfg.Lifetime/time.Millisecond)-500)
	case Lossy:
		f.Arg = 20 + d.rng.IntN(180)
	case Slow:
		f.Arg = 1 + d.rng.IntN(int(d.w.cfg.Interval/time.Millisecond)/2)
	case Twice:
		f.Arg = 50 + d.rng.IntN(500)
	}
	return f, lasting
}

// storm lets faults come and overlap for a time.
func (d *director) storm(long time.Duration, kinds []FaultKind) {
	kinds = d.ordering(d.pestering(d.with(d.rolling(kinds, rollingFaults), guardFaults), pestFaults))
	d.operate(long)
	pause := time.Duration(500+d.rng.IntN(3000)) * time.Millisecond
	for at := time.Duration(0); at < long; at += time.Duration(d.rng.ExpFloat64() * float64(pause)) {
		f, lasting := d.draw(kinds)
		d.w.During(at, lasting, f)
	}
	d.w.Run(long)
}

// calm lets through only what may not move anything, one at a time, and checks that
// nothing moves.
func (d *director) calm(long time.Duration) {
	why := "P3"
	if d.w.cfg.Attacker {
		why = "P3 or P4"
	}
	d.w.Calm(why, 0)
	for at := 2 * time.Second; at < long-10*time.Second; at += 4 * time.Second {
		f, lasting := d.draw(d.pestering(d.with(d.rolling(quietFaults, quietRolling), quietGuardFaults), quietPests))
		lasting = min(lasting, 3*time.Second)
		d.w.During(at, lasting, f)
		if d.w.cfg.Upgrades && f.Kind != Upgrade { // nor does it when something is amiss already
			g, _ := d.draw(upgradeFaults)
			if f.Kind == Twin { // whose turn it is once the first is silent for long
				g.Arg = min(g.Arg, int(d.w.cfg.Stale/4/time.Millisecond))
			}
			if f.Kind == Crawl { // the two pauses must not use up the grant together
				g.Arg = min(g.Arg, int(d.w.cfg.Lifetime/time.Millisecond)-400-f.Arg)
			}
			d.w.During(at+lasting/2, 0, g)
		}
	}
	d.w.Run(long)
	d.w.Restless()
}

// ownFaults concern one node: what the others own stays where it is (P3).
var ownFaults = []FaultKind{Kill, Leave, Hang, Wrong, Drain, Bar, Lose, Freeze, TxDead, RxDead,
	KillBoth, FreezeBoth, Doze, Flap}

// mayMove is which nodes' addresses a fault may move; ok is false where it is any's.
func (d *director) mayMove(f *Fault) (nodes uint32, ok bool) {
	switch {
	case f.Kind == Twin && d.w.cfg.Loss > 0:
		return 0, false // three packets of the first lost in a row, and its twin speaks
	case f.Kind == Retime, f.Kind == Rotate, f.Kind == Disk, f.Kind == Upgrade, slices.Contains(quietFaults, f.Kind), slices.Contains(quietGuardFaults, f.Kind), slices.Contains(quietPests, f.Kind):
		return 0, true
	case f.Kind == RxDead && !d.w.cfg.Gateway && d.w.cfg.Nodes == 2:
		return 0, false // nothing can tell it that it is the deaf one
	case d.w.cfg.Attacker && !d.w.cfg.Gateway && d.w.cfg.Nodes == 2 && slices.Contains(ownFaults, f.Kind):
		// The survivor hears nobody but a stranger who stops when he likes: silence where a
		// stranger was always heard is what deafness looks like.
		return 0, false
	case slices.Contains(ownFaults, f.Kind):
		return 1 << f.A, true
	case f.Kind == Command:
		return 1 << f.B, true
	case f.Kind == Move: // and its group's
		return 0, true
	}
	return 0, false
}

// singles lets one fault after the other happen, each alone in a settled cluster.
func (d *director) singles(n int) {
	w := d.w
	for range n {
		f, lasting := d.draw(d.ordering(d.pestering(d.with(d.rolling(singleFaults, rollingFaults), guardFaults), pestFaults)))
		if nodes, ok := d.mayMove(f); ok {
			w.Calm("P3", nodes)
			if f.Kind == Move {
				for _, a := range w.groups[f.Arg].addrs {
					w.check.calm &^= 1 << a
				}
			}
		}
		w.check.gap = 0
		begun := w.now
		w.Begin(f)
		if w.Run(lasting) != nil {
			return
		}
		w.End(f)
		w.Run(w.cfg.Stale)
		w.Restless()
		if w.Settle(w.cfg.Bound()) != nil || w.Run(w.cfg.Bound()) != nil {
			return
		}
		most, gap := w.cfg.promised(f, lasting), time.Duration(w.check.gap)
		if most > 0 && w.reticent() {
			most += max(w.cfg.Interval/2, 50*time.Millisecond) + w.cfg.Interval/4
		}
		if w.followed > begun {
			continue // a node without its plan, on a slow disk: until it follows, nobody may take what a plan joins
		}
		if most > 0 && gap > most {
			w.fail("P2", "%s left an address without an owner for %v, more than %v", w.describe(f), gap, most)
			return
		}
	}
}

// promised is the longest time without an owner that is allowed for a fault that comes
// alone, 0 where nothing is promised or packets are lost as well. A process that
// returns in the middle of a take-over is a second event and may add stale.
func (c *Config) promised(f *Fault, lasting time.Duration) time.Duration {
	t := max(c.Interval/2, 50*time.Millisecond)
	const late = 20 * time.Millisecond    // wires, timers, the kernel's work
	const guarded = 50 * time.Millisecond // the guard's farewell, with all others live
	if c.Loss > 0 || c.Attacker {
		// An attacker that hands on late what a cut has lost is a slow wire, and a second
		// fault: the lost holder seems to speak for as much longer. So is a stranger that
		// speaks now and then where nobody can be asked: a survivor of two must wait for
		// a frame before it trusts its own ears.
		return 0
	}
	again := time.Duration(0)
	if lasting < c.Lifetime+time.Duration(sweepMax)+2*c.Stale {
		again = c.Stale
	}
	switch f.Kind {
	case Command, Move, Leave, Drain, Bar, BarOne, Worse, Forget:
		return 12*time.Millisecond + c.Interval/4
	case Kill, Hang, Wrong, Doze:
		if !c.NoGuard {
			return guarded
		}
		return c.Stale + t + c.Interval + late + again
	case KillBoth, FreezeBoth:
		return c.Stale + t + c.Interval + late + again
	case Lose, Freeze:
		return c.Stale + 2*c.Interval + late + again
	case RxDead:
		if c.Gateway || c.Nodes > 2 {
			return c.Stale + 2*c.Interval + late
		}
	case TxDead, Cut:
		if lasting > 2*c.Stale+2*c.Interval*time.Duration(c.Nodes) { // else the next in rank may just claim it
			again = 0
		}
		return t + 50*time.Millisecond + late + again + again/4
	}
	return 0
}

// reticent says whether a node says nothing since its own plan lacks it: what the others know
// of a release isn't complete then, so they ask before they take.
func (w *World) reticent() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.node != nil && w.lacks(h.id, h.id) })
}

// doubles impairs chat, lets a holder fail meanwhile, and wants its addresses owned
// again before anything is mended.
func (d *director) doubles(n int) {
	w := d.w
	if w.cfg.Nodes < 3 {
		d.singles(n)
		return
	}
	chat := []FaultKind{Deaf, Mute, NoChat, NoGroup, NoMulti, Silence, Wrong}
	fail := d.with([]FaultKind{Kill, Lose, Hang, Freeze, Leave}, []FaultKind{Kill, Hang, KillBoth, FreezeBoth})
	for range n {
		f, _ := d.draw(chat)
		g, _ := d.draw(fail)
		if f.Kind == Wrong && g.A == f.A {
			g.A = f.B
		}
		w.Begin(f)
		if w.Run(w.cfg.Bound()) != nil {
			return
		}
		w.Begin(g)
		if w.Run(w.cfg.Interval) != nil || w.Settle(w.cfg.Bound()) != nil {
			return
		}
		w.EndAll()
		if w.Run(w.cfg.Interval) != nil || w.Settle(w.cfg.Bound()) != nil || w.Run(w.cfg.Bound()) != nil {
			return
		}
	}
}

// plans keeps two versions of the plan in the cluster while holders come and go.
func (d *director) plans(long time.Duration) {
	w := d.w
	for i := range w.cfg.Nodes {
		if d.rng.IntN(2) == 0 && !w.cfg.Rolling {
			w.Begin(&Fault{Kind: Adopt, A: i, Arg: 1})
		}
	}
	d.operate(long)
	come := d.ordering(d.with(d.rolling([]FaultKind{Leave, Lose, Kill, Drain, Bar, BarOne, Forget, Freeze}, rollingFaults),
		[]FaultKind{Kill, Hang, KillBoth, FreezeBoth, Doze}))
	for at := time.Second; at < long-5*time.Second; at += time.Duration(500+d.rng.IntN(2000)) * time.Millisecond {
		f, lasting := d.draw(come)
		d.w.During(at, lasting, f)
	}
	d.w.Run(long)
}

// thirds cuts a pair and restarts the third, so that what it objected to is forgotten. A
// guard's farewell tells the pair, and so does the silence where there is none.
func (d *director) thirds(n int) {
	w := d.w
	for range n {
		f, _ := d.draw([]FaultKind{Part})
		w.Begin(f)
		k := 3 - f.A - f.B
		slow := max(1, int(w.cfg.Interval/time.Millisecond)/2)
		late := []*Fault{{Kind: Slow, A: f.A, Arg: slow}, {Kind: Slow, A: f.B, Arg: slow}}
		for _, l := range late {
			w.Begin(l)
		}
		for range 3 {
			if w.Run(w.cfg.Stale+time.Duration(d.rng.Int64N(int64(2*w.cfg.Stale)))) != nil {
				return
			}
			g := &Fault{Kind: Kill, A: k}
			if !w.cfg.NoGuard && d.rng.IntN(4) > 0 {
				g.Kind = KillBoth
			}
			if w.cfg.Upgrades && d.rng.IntN(2) == 0 {
				g = &Fault{Kind: Upgrade, A: k, Arg: 1 + d.rng.IntN(60)}
			}
			w.Begin(g)
			w.Run(time.Duration(d.rng.Int64N(int64(w.cfg.Interval / 5))))
			w.End(g)
		}
		if w.Run(w.cfg.Bound()) != nil {
			return
		}
		w.EndAll()
		if w.Run(w.cfg.Interval) != nil || w.Settle(w.cfg.Bound()) != nil || w.Run(w.cfg.Bound()) != nil {
			return
		}
	}
}
