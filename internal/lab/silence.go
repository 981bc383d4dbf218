package lab

import (
	"sync/atomic"
	"time"
)

// answerLimit is how late an answer may be and still count. It bears a lab that others keep
// from running: a fault of an address loses packets, it doesn't delay them. (Only the
// kernel's ARP queue does, for a client that gave up its neighbour entry after seconds.)
const answerLimit = 300 * time.Millisecond

// A record remembers two minutes of probes at one a millisecond, or, where many records
// share recordMemory, less: but never less than the longest watch of a drill takes. Both are
// powers of two, as they are sizes of rings.
const (
	recordSize      = 1 << 17
	recordSizeLeast = 1 << 14
	recordMemory    = 64 << 20 // bytes for all records
	probeMemory     = 16       // bytes for each probe of one
)

// sizeOfRecords is how many probes each of so many records remembers.
func sizeOfRecords(records int) int {
	size := recordSize
	for size > recordSizeLeast && records*size*probeMemory > recordMemory {
		size /= 2
	}
	return size
}

// A record is what became of the probes of one VIP. One goroutine sends, another answers,
// a third judges, and none of them ever waits for another: the sender has the highest
// priority and must not stand behind a lock.
type record struct {
	// next is the number of the next probe. A probe's slot is its number modulo the size.
	next atomic.Int64
	// sent is when the probe in a slot was sent, an instant.
	sent []atomic.Int64
	// answered is 1 + the number of the last probe of the slot that was answered; negative
	// where the answer was too late to count.
	answered []atomic.Int64
}

func newRecord(size int) *record {
	return &record{sent: make([]atomic.Int64, size), answered: make([]atomic.Int64, size)}
}

func (r *record) slot(num int64) int64 { return num & int64(len(r.sent)-1) }

// at is when a probe was sent.
func (r *record) at(num int64) instant { return instant(r.sent[r.slot(num)].Load()) }

// send notes a probe and returns its number.
func (r *record) send(at instant) int64 {
	num := r.next.Load()
	r.sent[r.slot(num)].Store(int64(at))
	r.next.Store(num + 1)
	return num
}

// answer notes the answer to a probe; one that is too late doesn't count.
func (r *record) answer(num int64, at instant) (counts bool) {
	if next := r.next.Load(); num < 0 || num >= next || num < next-int64(len(r.sent)) {
		return false
	}
	if at.sub(r.at(num)) > answerLimit {
		if slot := &r.answered[r.slot(num)]; slot.Load() != num+1 { // one goroutine answers
			slot.Store(-num - 1)
		}
		return false
	}
	r.answered[r.slot(num)].Store(num + 1)
	return true
}

// silence is the longest time between two neighbouring answered probes from number first
// on, by when they were sent: an answer that is late because the lab was slow is no
// silence, and answers may come out of order. The address counts as answered at start, and
// what is judged ends at end, answered or not.
func (r *record) silence(first int64, start, end instant) time.Duration {
	next := r.next.Load()
	first = max(first, next-int64(len(r.sent))+1) // the sender may be at the oldest slot
	last, longest := start, time.Duration(0)
	for num := first; num < next; num++ {
		at := r.at(num)
		if at > end {
			break
		}
		if r.answered[r.slot(num)].Load() == num+1 {
			longest = max(longest, at.sub(last))
			last = at
		}
	}
	return max(longest, end.sub(last))
}

// open says whether a probe that was sent up to end may still be answered: the newest of
// them was not. What was lost before it stays lost, as answers hardly overtake each other.
func (r *record) open(end instant) bool {
	num := r.next.Load() - 1
	for num > 0 && r.at(num) > end {
		num--
	}
	return num >= 0 && r.answered[r.slot(num)].Load() != num+1
}

// unanswered is how many probes from number first on that were sent up to end got no answer,
// however late: one that comes did not come from nobody.
func (r *record) unanswered(first int64, end instant) (count int) {
	next := r.next.Load()
	for num := max(first, next-int64(len(r.sent))+1); num < next && r.at(num) <= end; num++ {
		if got := r.answered[r.slot(num)].Load(); got != num+1 && got != -num-1 {
			count++
		}
	}
	return count
}
