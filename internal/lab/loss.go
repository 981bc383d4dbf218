package lab

import "time"

// A loss is what the unanswered probes of a time tell.
type loss struct {
	// probes were not answered.
	probes int
	// gap is the longest time between two answered probes that has an unanswered one in it:
	// unlike a silence, it is never a probe that was late.
	gap time.Duration
	// last is when the last of them was sent, 0 for none.
	last instant
}

// lost looks at the probes from number first on, sent from start to end. What is not
// answered at the end lasts until then.
func (r *record) lost(first int64, start, end instant) (out loss) {
	next := r.next.Load()
	first = max(first, next-int64(len(r.sent))+1)
	last, missing := start, false
	for num := first; num < next; num++ {
		at := r.at(num)
		if at > end {
			break
		}
		if r.answered[r.slot(num)].Load() != num+1 {
			out.probes, out.last, missing = out.probes+1, at, true
			continue
		}
		if missing {
			out.gap = max(out.gap, at.sub(last))
		}
		last, missing = at, false
	}
	if missing {
		out.gap = max(out.gap, end.sub(last))
	}
	return out
}
