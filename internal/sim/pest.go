package sim

import (
	"slices"
	"time"
)

// Pests are neighbours that behave badly without being broken: the world has them where
// Config.Pests is set.
const (
	// Twin is a further host whose process has the name of A, as a clone of its machine
	// would; with Arg 1 its clock is behind, so that its boot ids are the lower ones.
	// Scripts call that host "twin".
	Twin FaultKind = "twin"
	// Flap is a process that is killed and restarted every second.
	Flap FaultKind = "flap"
	// Crawl is a process that is starved for up to Arg ms, again and again, and hardly
	// runs in between.
	Crawl FaultKind = "crawl"
)

// pestFaults join the other faults of a world with pests.
var pestFaults = []FaultKind{Twin, Twin, Twin, Flap, Crawl}

// quietPests move nothing at all; one that flaps loses its own.
var quietPests = []FaultKind{Twin, Twin, Crawl}

// flapEvery is the life of a process that flaps.
const flapEvery = int64(time.Second)

// flap kills the process and has the service manager start it again, for as long as the
// fault goes on.
func (w *World) flap(f *Fault) {
	h := w.hosts[f.A]
	h.kill("killed")
	ends := h.ends
	w.after(1+w.upTo(20_000_000), func() {
		if h.ends == ends {
			h.start()
		}
	})
	w.after(flapEvery, func() {
		if slices.Contains(w.faults, f) {
			w.flap(f)
		}
	})
}

// crawl stops the process for a while and lets it run for a moment, for as long as the
// fault goes on.
func (w *World) crawl(f *Fault) {
	h := w.hosts[f.A]
	most := int64(f.Arg) * int64(time.Millisecond)
	pause := most/2 + w.upTo(most/2+1)
	if h.state != off {
		h.stop()
		gen := h.gen
		w.after(pause, func() {
			if h.gen == gen {
				h.cont()
			}
		})
	}
	w.after(pause+int64(w.cfg.Interval)+w.upTo(30_000_000), func() { // time to tell the guard
		if slices.Contains(w.faults, f) {
			w.crawl(f)
		}
	})
}

// beTwin gives the spare host the name of a node and starts a process there, on a machine
// that was never seen before.
func (w *World) beTwin(f *Fault) {
	h := w.twin
	if h == nil || !h.down {
		return
	}
	h.as, h.boot, h.file = w.hosts[f.A].as, 0, w.hosts[f.A].file
	h.clock.base = int64(2_000_000_000) * int64(time.Second)
	if f.Arg == 1 {
		h.clock.base = int64(1_000_000_000) * int64(time.Second)
	}
	h.fell = w.now // it has never spoken
	h.power()
}

// spare says whether nobody uses the host: the twin's, while there is none.
func (h *host) spare() bool { return h.down && h == h.w.twin }

// pester has a twin of every node in turn, or one that flaps or crawls, while other faults
// come and go one by one.
func (d *director) pester(n int) {
	w := d.w
	for range n {
		pest, _ := d.draw(pestFaults)
		start := time.Duration(d.rng.Int64N(int64(4 * w.cfg.Stale)))
		f, lasting := d.draw(d.with(d.rolling(allFaults, rollingFaults), guardFaults))
		if d.rng.IntN(2) == 0 || w.cfg.Nodes == 2 && pest.Kind == Flap { // else nobody would be left
			f.A = pest.A
		}
		if d.rng.IntN(4) == 0 && w.twin != nil && pest.Kind == Twin && slices.Contains(twinFaults, f.Kind) {
			f.A = w.twin.id
		}
		// The pest comes before the other fault, or in the middle of it.
		if d.rng.IntN(2) == 0 {
			w.Begin(pest)
			w.During(start, lasting, f)
		} else {
			w.Begin(f)
			w.after(int64(lasting), func() { w.End(f) })
			w.Run(start)
			w.Begin(pest)
		}
		if w.Run(start+lasting+time.Second) != nil || w.Settle(w.cfg.Bound()) != nil {
			return
		}
		w.End(pest)
		w.EndAll()
		if w.Settle(w.cfg.Bound()) != nil || w.Run(w.cfg.Bound()) != nil {
			return
		}
	}
}

// twinFaults may befall a twin as well.
var twinFaults = []FaultKind{Kill, Hang, Starve, Freeze, Pause, Lose, Deaf, Mute, RxDead, TxDead, Lossy, Slow}
