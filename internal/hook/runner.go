package hook

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
)

// A Hook is a program that is told of one kind of event.
type Hook struct {
	// Event is the kind.
	Event string
	// Command is the program and its arguments; no shell is involved.
	Command []string
	// Timeout is how long it may take before it is killed with its children.
	Timeout time.Duration
	// User is who it runs as; "" means nobody where the daemon is root, else the daemon's
	// own user.
	User string
}

// Check says why the hook could not run now.
func (h Hook) Check() error {
	if err := (child.Spec{Command: h.Command, User: h.User}).Check(); err != nil {
		return fmt.Errorf("hook %s: %w", h.Event, err)
	}
	return nil
}

const (
	// atOnce is how many hooks run at the same time: a thousand groups that move must not
	// take the processor from the protocol.
	atOnce = 8
	// waiting is how many events of one group wait for their hooks. Where there are more,
	// the oldest are lost: the newest say how it ended.
	waiting = 16
	// failureAgain is the shortest time between two lines in the log about hooks of one
	// event that fail alike.
	failureAgain = time.Minute
)

// A Runner runs hooks: those of one group one after the other, in the order of the events,
// and those of others beside that. Make one with NewRunner, call Run once.
type Runner struct {
	log *slog.Logger

	mu    sync.Mutex
	work  *sync.Cond // there is something to run, or an end to it
	hooks map[string]Hook
	// queues has one for each group that had an event, and one for the node.
	queues map[string]*queue
	ready  []*queue // those with events, of which none is being run
	active int      // how many run
	// ending: what waits is run, and then no more; ended: nothing is run any more.
	ending, ended bool
	said          map[string]time.Time // when each failure was last logged
}

// A queue is the events of one group, or of the node, that wait for their hooks.
type queue struct {
	node   bool
	events []Event
	lost   uint64
	busy   bool // a hook of it runs
	slot   child.Slot
}

// NewRunner returns a runner without hooks.
func NewRunner(log *slog.Logger) *Runner {
	r := &Runner{log: log, queues: map[string]*queue{}, said: map[string]time.Time{}}
	r.work = sync.NewCond(&r.mu)
	return r
}

// Set makes hooks the whole set. What runs goes on; what waits runs by the new set.
func (r *Runner) Set(hooks []Hook) {
	all := make(map[string]Hook, len(hooks))
	for _, h := range hooks {
		if err := h.Check(); err != nil {
			r.log.Warn("a hook can't run as things are", "err", err)
		}
		all[h.Event] = h
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = all
}

// Emit has the hook of an event run, if there is one. It never waits.
func (r *Runner) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.hooks[e.Kind]; !ok || r.ending || r.ended {
		return
	}
	q := r.queues[e.Key]
	if q == nil {
		q = &queue{node: e.Key == ""}
		r.queues[e.Key] = q
	}
	if len(q.events) == waiting {
		q.events = q.events[1:]
		q.lost++
	}
	q.events = append(q.events, e)
	if len(q.events) == 1 && !q.busy {
		r.enqueue(q)
	}
}

// enqueue lets a queue be run. What happens to the node goes before what happens to groups:
// that the daemon stops must not wait for a thousand of them.
func (r *Runner) enqueue(q *queue) {
	if q.node {
		r.ready = slices.Insert(r.ready, 0, q)
	} else {
		r.ready = append(r.ready, q)
	}
	r.work.Signal()
}

// Busy says whether a hook runs or waits to be run.
func (r *Runner) Busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active+len(r.ready) > 0
}

// Run runs hooks until Finish was called and all that waited was run, or until ctx ends,
// which ends what runs.
func (r *Runner) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended, r.ready = true, nil
		r.work.Broadcast()
	})
	defer stop()
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for q, h, e := r.next(); q != nil; q, h, e = r.next() {
				r.run(ctx, q, h, e)
			}
		})
	}
	workers.Wait()
}

// Finish takes no more events.
func (r *Runner) Finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ending = true
	r.work.Broadcast()
}

// next waits for something to run; nil when there will be nothing.
func (r *Runner) next() (*queue, Hook, Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for len(r.ready) == 0 {
			if r.ending || r.ended {
				return nil, Hook{}, Event{}
			}
			r.work.Wait()
		}
		q := r.ready[0]
		r.ready = r.ready[1:]
		e := q.events[0]
		q.events = q.events[1:]
		h, ok := r.hooks[e.Kind]
		if !ok { // not since a reload
			if len(q.events) > 0 {
				r.enqueue(q)
			}
			continue
		}
		e.Lost, q.lost = q.lost, 0
		q.busy = true
		r.active++
		return q, h, e
	}
}

// run runs a hook, and lets its queue go on.
func (r *Runner) run(ctx context.Context, q *queue, h Hook, e Event) {
	began := time.Now()
	res := q.slot.Run(ctx, child.Spec{Command: h.Command, Env: e.Environment(), User: h.User}, e.document(), h.Timeout)
	took := time.Since(began).Round(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(e, res, took)
	r.active--
	q.busy = false
	if len(q.events) > 0 && !r.ended {
		r.enqueue(q)
	}
}

// tell logs how a hook ended: each kind of failure once in a while.
func (r *Runner) tell(e Event, res child.Result, took time.Duration) {
	log := r.log.With("event", e.Kind, "group", e.Group)
	if res.Err == nil {
		log.Debug("hook done", "took", took)
		return
	}
	text := res.Err.Error()
	now, key := time.Now(), e.Kind+" "+text
	if res.Stderr != "" {
		text += ": " + res.Stderr
	}
	if said, ok := r.said[key]; ok && now.Sub(said) < failureAgain {
		log.Debug("hook failed", "err", text, "took", took)
		return
	}
	maps.DeleteFunc(r.said, func(_ string, said time.Time) bool { return now.Sub(said) >= failureAgain })
	r.said[key] = now
	log.Warn("hook failed", "err", text, "took", took)
}
