package netplumb

import (
	"container/heap"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// noticeAgain is when those who are known are told once more: a frame may be lost.
	noticeAgain = time.Second
	// sweepShare is the part of the rate at which hosts are asked for that nobody knows:
	// these frames go to everybody.
	sweepShare = 0.25
	// sweepAnswers is how long answers are waited for after the last question.
	sweepAnswers = 2 * time.Second
	// noticeBatch is how many frames are waited for before the next turn: they are in no hurry.
	noticeBatch = 10
	// maxFound bounds the hosts that answered.
	maxFound = 4096
)

// A target is a host to be told; one whose hardware address is not known is asked by
// broadcast.
type target struct {
	addr netip.Addr
	mac  MAC
}

// A round is whom to tell on one subnet. All addresses that are taken while it lasts share
// it, so that hosts that nobody knows are asked for once, and not once for each address.
type round struct {
	subnet netip.Prefix
	// known are those to tell, of which the first routers are routers.
	known   []target
	routers int
	sweep   sweep
	// begins is when the sweep does, ended when it was through.
	begins, ended time.Duration
	voice         int // whose turn it is to ask, in tours
	tours         []*tour
	// found answered; met has them and the known ones, spared are not asked or heard at all.
	found       []target
	met, spared map[netip.Addr]bool
}

// notices are all tours of one link. The port's reader and the worker share them. All
// instants are CLOCK_BOOTTIME.
type notices struct {
	mu     sync.Mutex
	tours  map[netip.Addr]*tour
	queue  tourHeap
	rounds []*round
	// fresh are tours that have not joined a round.
	fresh []*tour
	pace  bucket // of the sweeps
}

// take begins the tour of an address that was just taken.
func (n *notices) take(now time.Duration, addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(addr)
	if n.tours == nil {
		n.tours = make(map[netip.Addr]*tour)
	}
	t := &tour{addr: addr, taken: now, place: -1}
	n.tours[addr] = t
	n.fresh = append(n.fresh, t)
}

// stop ends the tour of an address.
func (n *notices) stop(addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop(addr)
}

// clear ends all tours.
func (n *notices) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tours, n.queue, n.rounds, n.fresh = nil, nil, nil, nil
}

func (n *notices) drop(addr netip.Addr) {
	t := n.tours[addr]
	if t == nil {
		return
	}
	delete(n.tours, addr)
	if t.place >= 0 {
		heap.Remove(&n.queue, t.place)
	}
	is := func(o *tour) bool { return o == t }
	if t.round == nil {
		n.fresh = slices.DeleteFunc(n.fresh, is)
		return
	}
	t.round.tours = slices.DeleteFunc(t.round.tours, is)
	if len(t.round.tours) == 0 {
		n.rounds = slices.DeleteFunc(n.rounds, func(r *round) bool { return r == t.round })
	}
}

// pending says whether a tour waits to join a round.
func (n *notices) pending() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.fresh) > 0
}

// join lets each fresh tour join the round of its subnet. subnet says which that is, or an
// invalid one where nobody is to be told; begin makes a round that is not there yet.
func (n *notices) join(now time.Duration, subnet func(netip.Addr) netip.Prefix, begin func(netip.Prefix) *round) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, t := range n.fresh {
		s := subnet(t.addr)
		if !s.IsValid() {
			delete(n.tours, t.addr)
			continue
		}
		i := slices.IndexFunc(n.rounds, func(r *round) bool { return r.subnet == s })
		if i < 0 {
			i = len(n.rounds)
			r := begin(s)
			r.subnet, r.begins = s, now+noticeAgain
			r.met = make(map[netip.Addr]bool, len(r.known))
			for _, k := range r.known {
				if k.mac != (MAC{}) {
					r.met[k.addr] = true
				}
			}
			n.rounds = append(n.rounds, r)
		}
		t.round = n.rounds[i]
		t.round.tours = append(t.round.tours, t)
		if len(t.round.known)+len(t.round.found) > 0 {
			heap.Push(&n.queue, t)
		}
	}
	n.fresh = nil
}

// A notice is one frame to send: addr is here, said to a host.
type notice struct {
	addr netip.Addr
	to   target
}

// router returns a notice to a router that was not told yet: it stands for many clients.
func (n *notices) router(now time.Duration, pace *bucket, rate int) (notice, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == 0 || n.queue[0].told >= n.queue[0].round.routers || !pace.take(now, 1, float64(rate)) {
		return notice{}, false
	}
	return n.tell(), true
}

// next returns a notice that is due and may go out: to who is known, else to who may be there.
func (n *notices) next(now time.Duration, pace *bucket, rate int) (notice, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) > 0 && n.queue[0].due() <= now {
		if !pace.take(now, 1, float64(rate)) {
			return notice{}, false
		}
		return n.tell(), true
	}
	for _, r := range slices.Clone(n.rounds) {
		switch {
		case r.sweep.over():
			n.finish(now, r)
		case r.begins > now || pace.when(1, float64(rate)) > now:
		case n.pace.take(now, 1, sweepShare*float64(rate)) && pace.take(now, 1, float64(rate)):
			if to, ok := r.ask(); ok {
				r.voice++
				return notice{r.tours[r.voice%len(r.tours)].addr, to}, true
			}
		}
	}
	return notice{}, false
}

// tell takes the next notice off the queue.
func (n *notices) tell() notice {
	t := n.queue[0]
	r, i := t.round, t.told
	t.told++
	out := notice{addr: t.addr}
	switch known := len(r.known); {
	case i < known:
		out.to = r.known[i]
	case i < 2*known:
		out.to = r.known[i-known]
	default:
		out.to = r.found[i-2*known]
	}
	if t.told < 2*len(r.known)+len(r.found) {
		heap.Fix(&n.queue, 0)
	} else {
		heap.Pop(&n.queue)
	}
	return out
}

// ask returns the next host of the sweep that nobody has met.
func (r *round) ask() (target, bool) {
	for {
		a, ok := r.sweep.next()
		if !ok || !r.met[a] && !r.spared[a] {
			return target{addr: a}, ok
		}
	}
}

// finish ends the round of a sweep that is through, once its answers are in and all was told.
func (n *notices) finish(now time.Duration, r *round) {
	if r.ended == 0 {
		r.ended = now
	}
	if now < r.ended+sweepAnswers {
		return
	}
	if slices.ContainsFunc(r.tours, func(t *tour) bool { return t.place >= 0 }) {
		return
	}
	for _, t := range r.tours {
		delete(n.tours, t.addr)
	}
	n.rounds = slices.DeleteFunc(n.rounds, func(o *round) bool { return o == r })
}

// answered takes in an answer to a notice, and says whether it was one. Who was asked for and
// not known before is told of the other addresses, too.
func (n *notices) answered(h Heard) bool {
	if h.Kind != Answer {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.tours[h.Target]
	if t == nil || t.round == nil || t.round.spared[h.Addr] || !t.round.subnet.Contains(h.Addr) {
		return false
	}
	r := t.round
	if r.met[h.Addr] || len(r.found) >= maxFound {
		return true
	}
	r.met[h.Addr] = true
	r.found = append(r.found, target{h.Addr, h.MAC})
	for _, t := range r.tours {
		if t.place < 0 {
			heap.Push(&n.queue, t)
		}
	}
	return true
}

// wake returns when there may be something to send; false when there is nothing. While
// announcements are late, only routers are told.
func (n *notices) wake(now time.Duration, late bool, pace *bucket, rate int) (at time.Duration, any bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var head *tour
	if len(n.queue) > 0 {
		head = n.queue[0]
	}
	switch {
	case len(n.fresh) > 0:
		return now, true
	case head != nil && head.told < head.round.routers:
		return pace.when(1, float64(rate)), true
	case late:
		return 0, false
	case head != nil && head.due() <= now:
		return pace.when(noticeBatch, float64(rate)), true
	}
	soonest := func(t time.Duration) {
		if !any || t < at {
			at, any = t, true
		}
	}
	if head != nil {
		soonest(head.due())
	}
	for _, r := range n.rounds {
		switch {
		case !r.sweep.over():
			soonest(max(r.begins, n.pace.when(noticeBatch, sweepShare*float64(rate)), pace.when(noticeBatch, float64(rate))))
		case r.ended == 0:
			soonest(now)
		default:
			soonest(max(now+noticeAgain, r.ended+sweepAnswers))
		}
	}
	return at, any
}
