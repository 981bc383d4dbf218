package netplumb

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// extendEvery leaves a starved daemon more than half of a lifetime of a second.
	extendEvery = 250 * time.Millisecond
	// extendMargin is how long before the end of a lifetime an address is given up. The
	// kernel may drop it 20 ms early, and the system call takes its time.
	extendMargin = 100 * time.Millisecond
)

// extension is the running round of extensions.
type extension struct {
	at        time.Duration // when the next round begins
	queue     []place       // what is left of this one
	deletions uint64        // events.deletions before addresses were last read
	skipped   bool          // for want of a grant
}

// granted lets a round that lacked the grant be made up for at once.
func (x *extension) granted() {
	if x.skipped {
		x.at, x.skipped = 0, false
	}
}

// wake returns when extend should be called again.
func (x *extension) wake() time.Duration {
	if len(x.queue) > 0 {
		return 0
	}
	return x.at
}

// extend gives the next batch of held addresses a full lifetime again. Netlink can't
// extend without creating, so all are seen in the kernel right before: in a dump after
// which no address was reported gone.
func (w *worker) extend() {
	x := &w.extension
	if len(x.queue) == 0 {
		now := Boottime()
		if len(w.held) == 0 {
			w.reports.expires.Store(0)
		}
		if now < x.at || len(w.held) == 0 {
			return
		}
		x.at = now + extendEvery
		x.deletions = w.events.deletions.Load() - 1 // so that addresses are read first
		x.queue = slices.SortedFunc(maps.Keys(w.held), func(a, b place) int { return a.addr.Compare(b.addr) })
	}
	if w.events.deletions.Load() != x.deletions && !w.lookAtHeld() {
		x.queue, x.at = nil, Boottime()+extendEvery/5 // unseen, so not extended
		return
	}
	now := Boottime()
	if now >= w.want.GrantUntil {
		x.queue, x.skipped = nil, true
		return
	}
	defer w.tellExpiry()
	next := x.queue[:min(batch, len(x.queue))]
	x.queue = x.queue[len(next):]
	var due []*holding
	var ops []Op
	for _, at := range next {
		if op, ok := w.extensionOf(at, now); ok {
			due, ops = append(due, w.held[at]), append(ops, op)
		}
	}
	if len(ops) == 0 {
		return
	}
	for i, err := range w.k.change(ops) {
		if err != nil {
			w.suspect = true
			w.fault(fmt.Errorf("extend %s on %s: %w", ops[i].Address, ops[i].Link, err))
			continue
		}
		due[i].op, due[i].expires = ops[i], now+ops[i].Lifetime
	}
}

// tellExpiry publishes when the kernel drops the first address. Whoever counts on it hears
// of it at the end of each round: it may not run for long.
func (w *worker) tellExpiry() {
	first := time.Duration(0)
	for _, h := range w.held {
		if h.expires != 0 && (first == 0 || h.expires < first) {
			first = h.expires
		}
	}
	if w.reports.expires.Swap(int64(first)) != int64(first) && len(w.extension.queue) == 0 {
		signal(w.reports.changed)
	}
}

// lookAtHeld reads the addresses of all links that carry held addresses.
func (w *worker) lookAtHeld() bool {
	w.extension.deletions = w.events.deletions.Load()
	links := make(map[int]bool)
	for _, h := range w.held {
		links[h.op.Index] = true
	}
	differs := w.differs
	for index := range links {
		if !w.lookAtLink(index) {
			return false
		}
	}
	// What others added meanwhile is told by events.
	w.differs = differs || len(w.lost) > 0
	return true
}

// extensionOf returns what extends a held address. One that comes too late is given up:
// the kernel may be dropping it right now.
func (w *worker) extensionOf(at place, now time.Duration) (Op, bool) {
	h := w.held[at]
	if h == nil {
		return Op{}, false
	}
	if left := h.expires - now; h.expires != 0 && left <= extendMargin {
		w.fault(fmt.Errorf("extend %s on %s: %v late: released, to be claimed anew", h.op.Address, h.op.Link, h.op.Lifetime-left-extendEvery))
		w.lose(at)
		return Op{}, false
	}
	op := h.op
	op.Lifetime = w.lifetime()
	return op, true
}
