package netplumb

import (
	"container/heap"
	"net/netip"
	"time"
)

// announceAt are the moments after taking an address at which it is announced: often at
// first, since one lost frame must not leave a client dark, and then every
// announceEvery, for those that were not there.
var announceAt = []time.Duration{0, 20 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond,
	time.Second, 3 * time.Second, 10 * time.Second}

const announceEvery = 60 * time.Second

// nextAnnouncement returns the first moment of the schedule later than elapsed, both
// counted from taking the address.
func nextAnnouncement(elapsed time.Duration) time.Duration {
	for _, at := range announceAt {
		if at > elapsed {
			return at
		}
	}
	last := announceAt[len(announceAt)-1]
	return last + ((elapsed-last)/announceEvery+1)*announceEvery
}

// A course is the announcing of one address since it was taken.
type course struct {
	addr   netip.Addr
	frames [][]byte
	taken  time.Duration // all instants are CLOCK_BOOTTIME
	due    time.Duration
	place  int // in the heap
}

// A schedule says what to announce next on one link. The zero value announces nothing.
type schedule struct {
	courses map[netip.Addr]*course
	queue   courseHeap
	pace    bucket
}

// take begins to announce an address whose first announcement has just been sent.
func (s *schedule) take(now time.Duration, addr netip.Addr, frames [][]byte) {
	s.stop(addr)
	if s.courses == nil {
		s.courses = make(map[netip.Addr]*course)
	}
	c := &course{addr: addr, frames: frames, taken: now, due: now + nextAnnouncement(0)}
	s.courses[addr] = c
	heap.Push(&s.queue, c)
}

// frames are the forms but the first in which an address is announced; none once it is
// stopped.
func (s *schedule) frames(addr netip.Addr) [][]byte {
	if c := s.courses[addr]; c != nil {
		return c.frames[1:]
	}
	return nil
}

// stop ends announcing an address.
func (s *schedule) stop(addr netip.Addr) {
	if c := s.courses[addr]; c != nil {
		heap.Remove(&s.queue, c.place)
		delete(s.courses, addr)
	}
}

// again makes an address due now and leaves its later announcements where they are.
func (s *schedule) again(now time.Duration, addr netip.Addr) {
	if c := s.courses[addr]; c != nil && c.due > now {
		c.due = now
		heap.Fix(&s.queue, c.place)
	}
}

// restart begins all courses anew, for a link that came up.
func (s *schedule) restart(now time.Duration) {
	for _, c := range s.courses {
		c.taken, c.due = now, now
	}
	heap.Init(&s.queue)
}

// next returns the frames of the announcement that is due now and may go out at rate
// frames a second, the most overdue one first; nil where there is none. An address that
// had to wait skips the announcements that it missed.
func (s *schedule) next(now time.Duration, rate int) [][]byte {
	if len(s.queue) == 0 || s.queue[0].due > now {
		return nil
	}
	c := s.queue[0]
	if !s.pace.take(now, len(c.frames), float64(rate)) {
		return nil
	}
	c.due = c.taken + nextAnnouncement(now-c.taken)
	heap.Fix(&s.queue, 0)
	return c.frames
}

// late says whether an announcement is due, which only the rate can hold back.
func (s *schedule) late(now time.Duration) bool { return len(s.queue) > 0 && s.queue[0].due <= now }

// wake returns when next should be called again; false when nothing is announced.
func (s *schedule) wake(now time.Duration, rate int) (time.Duration, bool) {
	if len(s.queue) == 0 {
		return 0, false
	}
	c := s.queue[0]
	if c.due > now {
		return c.due, true
	}
	return s.pace.when(len(c.frames), float64(rate)), true
}

// courseHeap orders courses by when they are due (container/heap).
type courseHeap []*course

func (h courseHeap) Len() int { return len(h) }
func (h courseHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].addr.Less(h[j].addr)
}
func (h courseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *courseHeap) Push(x any) {
	c := x.(*course)
	c.place = len(*h)
	*h = append(*h, c)
}
func (h *courseHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return c
}
