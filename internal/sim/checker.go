package sim

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A checker reads the kernels' address tables after every event.
type checker struct {
	w *World
	// owners has a bit for each member whose kernel holds the address.
	owners []uint32
	last   []int   // the latest single owner, -1: never one
	bare   []int64 // since when no running kernel has it, -1: one has
	halved []int64 // when one of two that had it behind a cut last lost it
	dirty  bool
	// added is when an address came into the kernel of a member.
	added [][]int64
	// calm has a bit for each address that may not move or lapse now; why says which
	// promise wants it.
	calm uint64
	why  string
	// foreign has a bit for each address that a foreign host has and answers for: no node
	// may take it.
	foreign  uint64
	overlaps []overlap
	// moves counts changes of owner, and gap is the longest time without one, both since
	// they were last reset.
	moves   int
	gap     int64
	refused map[cluster.Refusal]int
	excused map[string]int64 // ns of excused overlap, by reason
}

// An overlap is two kernels that both have an address.
type overlap struct {
	addr, a, b int
	why        string // the excuse at the latest look
	since      int64  // since when that excuse runs; -1: nothing that ends
	seen       int64  // the latest look at it
	most       int64  // the bound of that excuse
	bound      int64  // when that was last so
	parted     bool   // a full cut excused it, or one of one way beside another fault
}

func (c *checker) init(w *World) {
	*c = checker{w: w, owners: make([]uint32, w.vips), last: make([]int, w.vips), bare: make([]int64, w.vips), halved: make([]int64, w.vips),
		refused: map[cluster.Refusal]int{}, excused: map[string]int64{}}
	for a := range c.last {
		c.last[a], c.halved[a] = -1, never
		c.added = append(c.added, make([]int64, len(w.hosts)))
	}
}

// changed hears of every change of every kernel's table.
func (c *checker) changed(host, addr int, has bool) {
	if c.w.hosts[host].role != member {
		return
	}
	c.owners[addr] ^= 1 << host
	if has {
		c.added[addr][host] = c.w.now
		if c.foreign>>addr&1 == 1 {
			c.w.fail("P1", "%s took %v, which a foreign host has and answers for", c.w.hosts[host].name, c.w.addrs[addr])
		}
	}
	c.dirty = true
}

// serving is which running kernels have an address: a frozen one answers nobody.
func (c *checker) serving(addr int) uint32 {
	m := c.owners[addr]
	for s := m; s != 0; s &= s - 1 {
		if h := bits.TrailingZeros32(s); !c.w.hosts[h].running() {
			m &^= 1 << h
		}
	}
	return m
}

// after looks at the tables once an event is over.
func (c *checker) after() {
	if c.dirty {
		c.dirty = false
		c.look()
	}
	for i := range c.overlaps {
		c.judge(&c.overlaps[i])
	}
}

func (c *checker) look() {
	old := c.overlaps
	c.overlaps = nil
	for _, o := range old {
		if both := uint32(1<<o.a | 1<<o.b); o.parted && c.serving(o.addr)&both != both {
			c.halved[o.addr] = c.w.now
		}
	}
	for addr := range c.owners {
		m := c.serving(addr)
		switch n := bits.OnesCount32(m); {
		case n == 0 && c.bare[addr] < 0:
			c.bare[addr] = c.w.now
			c.disturbed(addr, "has no owner any more")
		case n > 0 && c.bare[addr] >= 0:
			c.gap = max(c.gap, c.w.now-c.bare[addr])
			c.bare[addr] = -1
		}
		if bits.OnesCount32(m) == 1 {
			if h := bits.TrailingZeros32(m); h != c.last[addr] {
				if c.last[addr] >= 0 {
					c.moves++
					c.disturbed(addr, "moved to "+c.w.hosts[h].name)
				}
				c.last[addr] = h
			}
			continue
		}
		for s := m; s != 0; s &= s - 1 {
			a := bits.TrailingZeros32(s)
			for t := s & (s - 1); t != 0; t &= t - 1 {
				o := overlap{addr: addr, a: a, b: bits.TrailingZeros32(t), since: -1, seen: c.w.now}
				for _, was := range old {
					if was.addr == addr && was.a == o.a && was.b == o.b {
						o = was
					}
				}
				c.overlaps = append(c.overlaps, o)
			}
		}
	}
}

// disturbed is called where an address moves or lapses.
func (c *checker) disturbed(addr int, what string) {
	if c.calm>>addr&1 == 1 {
		c.w.fail(c.why, "%v %s although nothing asked for it", c.w.addrs[addr], what)
	}
}

// judge applies P1 to an overlap, with the exceptions of excuse.
func (c *checker) judge(o *overlap) {
	e := c.excuse(o)
	now := c.w.now
	defer func() { o.seen = now }()
	if e.endless {
		o.since, o.parted = -1, o.parted || e.why == "full cut"
		return
	}
	o.parted = o.parted || strings.HasPrefix(e.why, "one-way link and a ")
	if o.since < 0 || o.why != e.why {
		o.since, o.why, o.most = now, e.why, 0
		if e.most > 0 {
			c.w.note(o.b, "excused, also on "+c.w.hosts[o.a].name+" ("+e.why+"):", o.addr)
		}
	}
	if e.why != "" {
		c.excused[e.why] += now - o.seen
	}
	// A bound that shrinks, as one hears the other again, stands until both have acted on that.
	if e.most > 0 && e.most < o.most && now-o.bound <= 2*int64(c.w.cfg.Interval) {
		e.most = o.most
	} else {
		o.most, o.bound = e.most, now
	}
	if now-o.since > e.most || e.most == 0 {
		detail := "no excuse"
		if e.why != "" {
			detail = fmt.Sprintf("%s excuses %v, not %v", e.why, time.Duration(e.most), time.Duration(now-o.since))
		}
		c.w.fail("P1", "%v is in the kernels of %s and %s: %s", c.w.addrs[o.addr],
			c.w.hosts[o.a].name, c.w.hosts[o.b].name, detail)
	}
}

// believed hears what every process made of every datagram.
func (c *checker) believed(h *host, f *frame, r cluster.Refusal) {
	c.refused[r]++
	if f.forged && r == "" {
		c.w.fail("P4", "%s believed a datagram that nobody with the secret sent to it", h.name)
	}
}

// Calm begins a time in which nothing may move, but what those nodes own that are in
// the bits of except; why names the promise. Restless ends it.
func (w *World) Calm(why string, except uint32) {
	w.check.calm, w.check.why = 0, why
	if w.cfg.Attacker && w.reticent() {
		// Who says nothing since its own plan lacks it is like a dead node to processes that
		// never heard it: recordings of it are news to them, and they give way.
		return
	}
	for addr, m := range w.check.owners {
		if m&except == 0 {
			w.check.calm |= 1 << addr
		}
	}
}

// Restless ends a Calm.
func (w *World) Restless() { w.check.calm = 0 }

// unsettled lists the addresses that don't have exactly one owner.
func (c *checker) unsettled() string {
	var out []string
	for addr := range c.owners {
		if n := bits.OnesCount32(c.serving(addr)); n != 1 {
			out = append(out, fmt.Sprintf("%v has %d owners", c.w.addrs[addr], n))
		}
	}
	return strings.Join(out, ", ")
}

// Settle runs until every address has exactly one owner; P2 is broken where that takes
// longer than within, once an operator has done his part, and no plan waits for a disk.
func (w *World) Settle(within time.Duration) *Violation {
	end, mediated := w.now+int64(within), false
	step := max(time.Millisecond, w.cfg.Interval/10)
	for {
		if w.violation != nil {
			return w.violation
		}
		left := w.check.unsettled()
		if left == "" {
			return nil
		}
		if w.now >= end && !mediated && w.mediate() {
			end, mediated = w.now+int64(within), true
		}
		if w.now >= end && !w.follows(within) {
			w.fail("P2", "%v after the last fault ended: %s", within, left)
			return w.violation
		}
		w.Run(step)
	}
}
