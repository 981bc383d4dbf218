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
	entries chan entry
	dropped atomic.Uint64
	closed  chan struct{}
	once    sync.Once
	done    chan struct{}
	keeps   func(slog.Level) bool
	// sinks has a handler for each severity in use.
	sinks map[config.Severity]slog.Handler
}

type entry struct {
	sink   slog.Handler
	record slog.Record
	// written, where set, is closed in its turn: there is nothing to write.
	written chan struct{}
}

// queueSize holds what a move of all of the largest plan's addresses says at debug.
const queueSize = 4096

// newQueue starts the writer of the queue; close ends it.
func newQueue(h handlers, keeps func(slog.Level) bool) *queue {
	q := &queue{
		entries: make(chan entry, queueSize),
		closed:  make(chan struct{}),
		done:    make(chan struct{}),
		keeps:   keeps,
		sinks:   map[config.Severity]slog.Handler{},
	}
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		s := config.SeverityOf(l)
		q.sinks[s] = h(s)
	}
	go q.write()
	return q
}

// logger returns the logger that feeds the queue.
func (q *queue) logger() *slog.Logger { return slog.New(queueHandler{queue: q, sinks: q.sinks}) }

// flushWithin is how long flush waits for a slow sink.
const flushWithin = 50 * time.Millisecond

// flush waits until what is waiting was written, for a moment at most.
func (q *queue) flush() {
	written := make(chan struct{})
	late := time.NewTimer(flushWithin)
	defer late.Stop()
	select {
	case q.entries <- entry{written: written}:
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
	q.once.Do(func() { close(q.closed) })
	select {
	case <-q.done:
	case <-time.After(time.Second):
		// The sink is stuck; the process is about to end and takes the writer with it.
	}
}

func (q *queue) write() {
	defer close(q.done)
	for {
		select {
		case e := <-q.entries:
			q.put(e)
		case <-q.closed:
			for {
				select {
				case e := <-q.entries:
					q.put(e)
				default:
					return
				}
			}
		}
	}
}

// put writes an entry. A sink that fails has nowhere to complain.
func (q *queue) put(e entry) {
	if e.written != nil {
		close(e.written)
		return
	}
	if n := q.dropped.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines were dropped, since the log is written too slowly", 0)
		r.AddAttrs(slog.Uint64("lines", n))
		_ = q.sinks[config.Warning].Handle(context.Background(), r)
	}
	_ = e.sink.Handle(context.Background(), e.record)
}

// queueHandler is the slog side of a queue, with the attributes that a logger gathered.
type queueHandler struct {
	queue *queue
	sinks map[config.Severity]slog.Handler
}

func (h queueHandler) Enabled(_ context.Context, l slog.Level) bool { return h.queue.keeps(l) }

func (h queueHandler) Handle(_ context.Context, r slog.Record) error {
	select {
	case h.queue.entries <- entry{sink: h.sinks[config.SeverityOf(r.Level)], record: r.Clone()}:
	default:
		h.queue.dropped.Add(1)
	}
	return nil
}

func (h queueHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithAttrs(attrs) })
}

func (h queueHandler) WithGroup(name string) slog.Handler {
	return h.with(func(s slog.Handler) slog.Handler { return s.WithGroup(name) })
}

func (h queueHandler) with(derive func(slog.Handler) slog.Handler) slog.Handler {
	sinks := make(map[config.Severity]slog.Handler, len(h.sinks))
	for s, sink := range h.sinks {
		sinks[s] = derive(sink)
	}
	return queueHandler{queue: h.queue, sinks: sinks}
}
