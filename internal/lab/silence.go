package lab

import "time"

// answerLimit is how late an answer may be and still count. It bears a stalled lab, and
// is shorter than the second that the kernel's ARP queue may hold back a packet for an
// address that nobody has.
const answerLimit = 100 * time.Millisecond

// A record is what became of the probes of one VIP, in the order in which they were sent.
type record struct {
	sent     []instant
	answered []bool
}

// send notes a probe and returns its number.
func (r *record) send(at instant) int {
	r.sent, r.answered = append(r.sent, at), append(r.answered, false)
	return len(r.sent) - 1
}

// answer notes the answer to a probe; one that is too late doesn't count.
func (r *record) answer(num int, at instant) (counts bool) {
	if num < 0 || num >= len(r.sent) || at.sub(r.sent[num]) > answerLimit {
		return false
	}
	r.answered[num] = true
	return true
}

// silence is the longest time between two neighbouring answered probes, by when they were
// sent: an answer that is late because the lab was slow is no silence, and answers may
// come out of order. The address counts as answered at the start of the record, and the
// record ends at end, answered or not.
func (r *record) silence(start, end instant) time.Duration {
	last, longest := start, time.Duration(0)
	for i, at := range r.sent {
		if at > end {
			break
		}
		if r.answered[i] {
			longest = max(longest, at.sub(last))
			last = at
		}
	}
	return max(longest, end.sub(last))
}
