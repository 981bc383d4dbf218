package app

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vippy-ha/vippy/internal/config"
)

// A queue is a log that never makes its caller wait: a slow terminal or a stuck syslog
// daemon must not delay the loop that extends addresses. What doesn't fit is counted,
// and the count is logged.
type queue struct {
	dropped atomic.Uint64
	// out is where the lines go; a reload may change it.
	out atomic.Pointer[outlet]
}

// An outlet is where a log goes, which of its lines do, and those that wait.
type outlet struct {
	keeps func(slog.Level) bool
	// sinks has a handler for each severity in use.
	sinks map[config.Severity]slog.Handler
	// close, where set, gives up what was opened for it.
	close func() error

	entries chan entry
	leave   func() // ends the writer once nothing waits; may be called again
	left    <-chan struct{}
	done    chan struct{} // closed once the writer has ended
}

func newOutlet(h handlers, keeps func(slog.Level) bool) *outlet {
	o := &outlet{keeps: keeps, sinks: map[config.Severity]slog.Handler{}, entries: make(chan entry, queueSize), done: make(chan struct{})}
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		s := config.SeverityOf(l)
		o.sinks[s] = h(s)
	}
	left := make(chan struct{})
	o.left, o.leave = left, sync.OnceFunc(func() { close(left) })
	return o
}

// giveUp closes what was opened. Only who writes may call it: a writer of log/syslog that is
// stuck can't be closed.
func (o *outlet) giveUp() {
	if o.close != nil {
		_ = o.close() // nothing is left to say to it
	}
}

type entry struct {
	record slog.Record
	// derive, where set, adds what a logger gathered.
	derive derivation
	// written, where set, is closed in its turn: there is nothing to write.
	written chan struct{}
}

// queueSize holds what a move of all of the largest plan's addresses says at debug.
const queueSize = 4096

// newQueue starts the writer of the queue; close ends it.
func newQueue(o *outlet) *queue {
	q := &queue{}
	q.out.Store(o)
	go q.write(o)
	return q
}

// settle sends what is not yet written, and all that follows, to another outlet, or gives
// that up. It doesn't wait: the old one may be stuck, which may be why it is changed.
func (q *queue) settle(o *outlet, use bool) {
	if !use {
		o.giveUp()
		return
	}
	go q.write(o)
	old := q.out.Swap(o)
	q.move(old, o)
	old.leave()
}

// move sends what waits at one outlet to another.
func (q *queue) move(from, to *outlet) {
	for {
		select {
		case e := <-from.entries:
			q.add(to, e)
		default:
			return
		}
	}
}

// add lets an entry wait, or counts it where there is no room.
func (q *queue) add(o *outlet, e entry) {
	select {
	case o.entries <- e:
	default:
		q.dropped.Add(1)
	}
}

// logger returns the logger that feeds the queue.
func (q *queue) logger() *slog.Logger { return slog.New(queueHandler{queue: q}) }

// flushWithin is how long flush waits for a slow sink.
const flushWithin = 50 * time.Millisecond

// flush waits until what is waiting was written, for a moment at most.
func (q *queue) flush() {
	written := make(chan struct{})
	late := time.NewTimer(flushWithin)
	defer late.Stop()
	select {
	case q.out.Load().entries <- entry{written: written}:
	case <-late.C:
		return
	}
	select {
	case <-written:
	case <-late.C:
	}
}

// close writes what is waiting, for at most a second, and ends the writer.
func (q *queue) close() {
	o := q.out.Load()
	o.leave()
	select {
	case <-o.done:
	case <-time.After(time.Second):
		// The sink is stuck; the process is about to end and takes the writer with it.
	}
}

// write writes what comes to an outlet until it is left and nothing waits.
func (q *queue) write(o *outlet) {
	defer close(o.done)
	defer o.giveUp()
	for {
		select {
		case e := <-o.entries:
			q.put(o, e)
		case <-o.left:
			for {
				select {
				case e := <-o.entries:
					q.put(o, e)
				default:
					return
				}
			}
		}
	}
}

// put writes an entry. A sink that fails has nowhere to complain.
func (q *queue) put(o *outlet, e entry) {
	if e.written != nil {
		close(e.written)
		return
	}
	if n := q.dropped.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped, since the log is written too slowly", 0)
		r.AddAttrs(slog.Uint64("lines", n))
		_ = o.sinks[config.Warning].Handle(context.Background(), r)
	}
	sink := o.sinks[config.SeverityOf(e.record.Level)]
	if e.derive != nil {
		sink = e.derive(sink)
	}
	_ = sink.Handle(context.Background(), e.record)
}

// queueHandler is the slog side of a queue, with the attributes that a logger gathered.
type queueHandler struct {
	queue  *queue
	derive derivation
}

// A derivation makes of an outlet's handler that of a logger with attributes or a group.
type derivation func(slog.Handler) slog.Handler

func (h queueHandler) Enabled(_ context.Context, l slog.Level) bool {
	return h.queue.out.Load().keeps(l)
}

func (h queueHandler) Handle(_ context.Context, r slog.Record) error {
	q := h.queue
	o := q.out.Load()
	q.add(o, entry{record: r.Clone(), derive: h.derive})
	if now := q.out.Load(); now != o {
		q.move(o, now) // it was left in between
	}
	return nil
}

func (h queueHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

func (h queueHandler) WithGroup(name string) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h queueHandler) with(next derivation) slog.Handler {
	before := h.derive
	if before == nil {
		return queueHandler{queue: h.queue, derive: next}
	}
	return queueHandler{queue: h.queue, derive: func(s slog.Handler) slog.Handler { return next(before(s)) }}
}
