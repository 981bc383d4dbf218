package netplumb

import (
	"cmp"
	"net/netip"
	"time"
)

// A tour tells the targets of its round of one address.
type tour struct {
	addr  netip.Addr
	round *round // nil before it has joined one
	taken time.Duration
	told  int // how many notices were sent
	place int // in the queue, or -1 when all that can be told now was told
}

// due is when a tour's next notice is.
func (t *tour) due() time.Duration {
	if t.told < len(t.round.known) {
		return t.taken
	}
	return t.taken + noticeAgain
}

// tourHeap has first who has told the fewest of those to be told at once, and then those who
// have told all of them, in the order in which they are due again (container/heap).
type tourHeap []*tour

func (h tourHeap) Len() int { return len(h) }
func (h tourHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	first := func(t *tour) int {
		if t.told < len(t.round.known) {
			return 0
		}
		return 1
	}
	by := cmp.Or(cmp.Compare(first(a), first(b)), a.addr.Compare(b.addr))
	if first(a) == 0 && first(b) == 0 {
		by = cmp.Or(cmp.Compare(a.told, b.told), a.addr.Compare(b.addr))
	} else if first(a) == first(b) {
		by = cmp.Or(cmp.Compare(a.due(), b.due()), a.addr.Compare(b.addr))
	}
	return by < 0
}
func (h tourHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *tourHeap) Push(x any) {
	t := x.(*tour)
	t.place = len(*h)
	*h = append(*h, t)
}
func (h *tourHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.place = -1
	return t
}
