package sim

import (
	"math/bits"
	"slices"
	"time"
)

// forgotten is how long after it was last heard a holder may still have an address, where
// only a majority may serve: until then nobody else takes it (docs/protocol.md, "When only a majority serves").
func (c *Config) forgotten() time.Duration {
	return c.Stale + c.Lifetime + 1050*time.Millisecond
}

// regained is within what time after a cut a majority has all addresses.
func (c *Config) regained() time.Duration {
	d := c.forgotten()*101/100 + 3*c.Interval + max(c.Interval/2, 50*time.Millisecond) + 20*time.Millisecond
	if c.Loss > 0 {
		d += 10 * c.Interval
	}
	return d
}

// side returns the members on that side of a split that has a majority of the voters, 0
// where none has.
func (w *World) side(split uint32) uint32 {
	voters, need := w.plans[0].plan.Majority()
	all := uint32(1)<<w.cfg.Nodes - 1
	for _, side := range [2]uint32{split, all &^ split} {
		count := 0
		for _, name := range voters {
			count += int(side >> w.host(name).id & 1)
		}
		if count >= need {
			return side
		}
	}
	return 0
}

// majorityServes checks that of a split cluster the side with a majority has every
// address, and that nobody has any where there is none.
func (w *World) majorityServes(split uint32) {
	side := w.side(split)
	nodes := uint32(1)<<(w.cfg.Nodes-w.cfg.Voters) - 1
	for addr := range w.check.owners {
		have := w.check.serving(addr)
		switch {
		case side&nodes == 0 && have != 0:
			w.fail("P1", "%v has an owner, and no majority", w.addrs[addr])
		case side&nodes != 0 && (bits.OnesCount32(have) != 1 || have&side == 0):
			w.fail("P2", "%v after the split %b a majority is at %b, and %v at %b", w.cfg.regained(), split, side, w.addrs[addr], have)
		}
	}
}

// young says whether a process hasn't been there for long enough to know who may have
// something, or is yet to be started again: it objects to claims.
func (w *World) young() bool {
	return slices.ContainsFunc(w.hosts[:w.cfg.Nodes], func(h *host) bool {
		return h.state != running || h.clock.at(w.now)-int64(h.boot) < int64(w.cfg.regained())
	})
}

// majorities cuts the cluster in two, again and again. Left alone, the side with a majority
// has everything in time; with something else amiss no address has two owners.
func (d *director) majorities(n int) {
	w := d.w
	if d.rng.IntN(3) == 0 {
		d.storm(60*time.Second, allFaults)
		return
	}
	for range n {
		cut := &Fault{Kind: Split, Arg: 1 + d.rng.IntN(1<<w.cfg.Nodes-2)}
		lasting := time.Duration(d.rng.Int64N(int64(2 * w.cfg.regained())))
		switch d.rng.IntN(4) {
		case 0:
			if d.onlyOthersKnow(); w.violation != nil {
				return
			}
		case 1:
			if w.young() && w.Run(w.cfg.regained()) != nil {
				return
			}
			w.Begin(cut)
			if w.Run(w.cfg.regained()) != nil {
				return
			}
			if !w.cfg.Attacker { // one that hands on late what the cut has lost prolongs it
				w.majorityServes(uint32(cut.Arg))
			}
			w.Run(lasting / 2)
		default:
			at := time.Duration(d.rng.Int64N(int64(2 * w.cfg.Stale)))
			w.During(at, lasting, cut)
			for range 1 + d.rng.IntN(3) {
				f, long := d.draw(d.with(d.rolling(allFaults, rollingFaults), guardFaults))
				w.During(time.Duration(d.rng.Int64N(int64(at+lasting/2+1))), min(long, 3*time.Second), f)
			}
			w.Run(at + lasting + 3*time.Second)
		}
		w.EndAll()
		if w.Run(w.cfg.Interval) != nil || w.Settle(w.cfg.Bound()) != nil || w.Run(w.cfg.Stale) != nil {
			return
		}
	}
}

// onlyOthersKnow cuts two nodes off from each other until neither knows anything of the
// other. Then one of them stops, with its guard, and all frames to and from it: its kernel
// goes on, and only the rest can tell, unless they are started anew.
func (d *director) onlyOthersKnow() {
	w := d.w
	f, _ := d.draw([]FaultKind{Part})
	w.Begin(f)
	if w.Run(w.cfg.forgotten()+time.Second) != nil {
		return
	}
	w.Begin(&Fault{Kind: FreezeBoth, A: f.A})
	w.Begin(&Fault{Kind: Island, A: f.A})
	if d.rng.IntN(2) == 0 {
		for i := range w.cfg.Nodes {
			if i == f.A || i == f.B {
				continue
			}
			again := &Fault{Kind: KillBoth, A: i}
			w.Begin(again)
			w.Run(time.Duration(1+d.rng.Int64N(int64(w.cfg.Interval))) / 5)
			w.End(again)
		}
	}
	w.Run(w.cfg.regained())
}
