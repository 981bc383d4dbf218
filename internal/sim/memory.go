package sim

import "time"

// Faults around what a switch remembers. Those of a filter concern a host, A.
const (
	// Remember lets the switch answer ARP for each address as whoever announced it last,
	// dead or alive; where Arg is 1 it also keeps the question to itself (ARP suppression).
	Remember FaultKind = "memory"
	// FilterIn and FilterOut are a host's firewall that drops chat and echo in one
	// direction, and lets ARP pass.
	FilterIn  FaultKind = "filter-in"
	FilterOut FaultKind = "filter-out"
)

// remind lets the switch answer a question from memory where it does, and says whether it
// keeps the question to itself. It sits where the stranger is connected.
func (w *World) remind(f *frame) (kept bool) {
	if int(f.addr) >= w.vips || !w.usable(int(f.src), w.stranger) || !w.usable(w.stranger, int(f.src)) {
		return false
	}
	switch f.kind {
	case arpAnnounce:
		w.recalls[f.addr] = f.src
	case arpAsk:
		for _, x := range w.faults {
			if owner := w.recalls[f.addr]; x.Kind == Remember && owner >= 0 && owner != f.src {
				w.transmit(&frame{kind: arpAnswer, src: owner, addr: f.addr}, int(f.src), &w.paths[w.stranger][f.src])
				return x.Arg == 1
			}
		}
	}
	return false
}

// memories lets hosts fall silent, be filtered or come back while a switch remembers, and
// foreign hosts answer for themselves.
func (d *director) memories(n int) {
	w := d.w
	bound := w.cfg.Bound() + w.cfg.Lifetime + time.Duration(sweepMax)
	for range n {
		switch part := d.rng.IntN(4); {
		case part == 0:
			d.filtered()
		case part == 1 && w.cfg.Gateway && w.cfg.Loss == 0: // five lost replies look like none
			d.squatted()
		case part == 2 && w.cfg.Loss == 0:
			d.returned()
		default:
			d.recalled(bound)
		}
		w.check.foreign = 0
		w.EndAll()
		if w.Settle(bound) != nil || w.Run(bound) != nil {
			return
		}
	}
}

// remember begins a memory of either kind.
func (d *director) remember() { d.w.Begin(&Fault{Kind: Remember, Arg: d.rng.IntN(2)}) }

// filter closes a host to chat and echo, one way or both.
func (d *director) filter(host int) {
	ways := 1 + d.rng.IntN(3)
	if ways&1 != 0 {
		d.w.Begin(&Fault{Kind: FilterIn, A: host})
	}
	if ways&2 != 0 {
		d.w.Begin(&Fault{Kind: FilterOut, A: host})
	}
}

// patience is how long the answers of a memory are believed.
func (c *Config) patience() time.Duration { return c.Lifetime + 1050*time.Millisecond + c.Stale }

// filtered closes a living host, which moves nothing (P3). It has only ARP to hear that others
// live, and where a fifth of all frames is lost, the seven answers of stale - T once are, too:
// then it claims, and who hears that it is deaf gives way.
func (d *director) filtered() {
	if d.w.cfg.Loss <= 50 {
		d.w.Calm("P3", 0)
	}
	if d.rng.IntN(2) == 0 {
		d.remember()
	}
	d.filter(d.rng.IntN(d.w.cfg.Nodes))
	d.w.Run(2 * d.w.cfg.patience())
	d.w.EndAll()
	d.w.Run(d.w.cfg.Stale)
	d.w.Restless()
}

// recalled lets a host fall silent whose addresses are still answered for: they are taken,
// neither too early nor too late.
func (d *director) recalled(bound time.Duration) {
	w := d.w
	d.remember()
	f, _ := d.draw(d.with([]FaultKind{Lose, Lose, Freeze, Kill, Hang}, []FaultKind{KillBoth, FreezeBoth, FreezeBoth}))
	// What a filter keeps from the others, an attacker could hand on one by one: a slow wire, and
	// a third fault.
	filtered := d.rng.IntN(2) == 0 && !w.cfg.Attacker
	if filtered {
		d.filter(f.A)
		w.Run(2 * w.cfg.Stale)
	}
	w.check.gap = 0
	w.Begin(f)
	if w.Run(w.cfg.Interval) != nil || w.Settle(bound) != nil {
		return
	}
	least, gap := w.cfg.patience(), time.Duration(w.check.gap)
	most := least*101/100 + 3*w.cfg.Interval + 20*time.Millisecond
	// What it acknowledged last, which proves that it lived, may be two intervals older.
	least = least*99/100 - 2*w.cfg.Interval
	if f.Kind == Lose && gap > 0 && !filtered && w.cfg.Loss == 0 && !w.cfg.Attacker && (gap < least || gap > most) {
		w.fail("P2", "%s, which a switch remembers, left an address without an owner for %v, not %v to %v", w.describe(f), gap, least, most)
	}
}

// returned closes a host that left in good order, and lets it come back: it must not take
// what others have by now (P1).
func (d *director) returned() {
	w := d.w
	f := &Fault{Kind: Leave, A: d.rng.IntN(w.cfg.Nodes)}
	w.Begin(f)
	if w.Run(w.cfg.Bound()) != nil || w.Settle(w.cfg.Bound()) != nil {
		return
	}
	d.remember()
	w.Begin(&Fault{Kind: FilterIn, A: f.A})
	w.Begin(&Fault{Kind: FilterOut, A: f.A})
	w.End(f)
	w.Run(3 * w.cfg.patience())
}

// squatted gives an address to a foreign host as well and takes its holder away: nobody may
// take what answers for itself, however long.
func (d *director) squatted() {
	w := d.w
	addr := d.rng.IntN(w.vips)
	owner := w.check.last[addr]
	if owner < 0 {
		return
	}
	w.Begin(&Fault{Kind: Squat, Arg: addr})
	w.Begin(&Fault{Kind: Lose, A: owner})
	w.check.foreign = 1 << addr
	w.Run(3 * w.cfg.patience())
}
