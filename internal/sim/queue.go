package sim

// A kind says what an event does when its time comes.
type kind uint8

const (
	// call runs fn.
	call kind = iota
	// deliver brings frame to host.
	deliver
	// wake lets the shell of host take a turn.
	wake
	// plumb carries out what the shell of host wanted of group arg.
	plumb
	// report tells the shell of host what its kernel holds of group arg.
	report
	// expire looks whether the lifetime of address arg on host has ended.
	expire
	// gratuitous announces address arg of host by ARP, on the schedule that follows adding it.
	gratuitous
)

// An event is something that will happen at a moment. It is a plain value, so that the
// queue allocates nothing per event.
type event struct {
	at    int64 // ns of world time
	seq   uint64
	frame *frame
	fn    func()
	gen   uint32 // the process that wanted it; a later process of the host ignores it
	host  int16
	arg   int16
	kind  kind
}

// A queue is a binary heap of events in the order of (time, sequence): events of one
// moment happen in the order in which they were pushed.
type queue struct {
	heap []event
	seq  uint64
}

func (a *event) before(b *event) bool {
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

// pop takes the earliest event; the queue must not be empty.
func (q *queue) pop() event {
	top := q.heap[0]
	n := len(q.heap) - 1
	last := q.heap[n]
	q.heap[n] = event{}
	q.heap = q.heap[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if r := down + 1; r < n && q.heap[r].before(&q.heap[down]) {
			down = r
		}
		if !q.heap[down].before(&last) {
			break
		}
		q.heap[i] = q.heap[down]
		i = down
	}
	q.heap[i] = last
	return top
}
