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
// extend without creating, so each is seen in the kernel right before: in a dump after
// which no address was reported gone.
func (w *worker) extend() {
	x := &w.extension
	if len(x.queue) == 0 {
		now := Boottime()
		if now < x.at || len(w.held) == 0 {
			return
		}
		x.at = now + extendEvery
		x.deletions = w.events.deletions.Load() - 1 // so that addresses are read first
		x.queue = slices.SortedFunc(maps.Keys(w.held), func(a, b place) int { return a.addr.Compare(b.addr) })
	}
	for range min(batch, len(x.queue)) {
		if w.events.deletions.Load() != x.deletions && !w.lookAtHeld() {
			x.queue, x.at = nil, Boottime()+extendEvery/5 // unseen, so not extended
			return
		}
		at := x.queue[0]
		x.queue = x.queue[1:]
		if h := w.held[at]; h != nil {
			w.extendOne(at, h)
		}
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

func (w *worker) extendOne(at place, h *holding) {
	now := Boottime()
	if now >= w.want.GrantUntil {
		w.extension.skipped = true
		return
	}
	if h.extended != 0 && now-h.extended >= h.op.Lifetime-extendMargin {
		w.fault(fmt.Errorf("extend %s on %s: %v late: released, to be claimed anew", h.op.Address, h.op.Link, now-h.extended-extendEvery))
		w.lose(at)
		return
	}
	op := h.op
	op.Lifetime = w.lifetime()
	if err := w.k.add(op); err != nil {
		w.suspect = true
		w.fault(fmt.Errorf("extend %s on %s: %w", op.Address, op.Link, err))
		return
	}
	h.op, h.extended = op, now
}
