package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"
)

// A Runner keeps plugins running and carries their votes and events. Make one with
// NewRunner, call Run once.
type Runner struct {
	log   *slog.Logger
	box   *box
	votes chan Ballot
	// status is what Host.Status tells.
	status func() Status

	mu      sync.Mutex
	want    []Plugin
	changed chan struct{} // holds a token while want was not looked at
	live    []*life       // who hears events, in the order of Set
}

// NewRunner returns a runner without plugins. Nil discards the log. Plugins that ask for
// the status get what the function returns, called from any goroutine; nil says nothing.
func NewRunner(log *slog.Logger, status func() Status) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if status == nil {
		status = func() Status { return Status{} }
	}
	return &Runner{log: log, box: newBox(), status: status, votes: make(chan Ballot), changed: make(chan struct{}, 1)}
}

// Set makes plugins the whole set that runs, now and also before Run. A plugin that
// equals (reflect.DeepEqual) the running one of its name goes on untouched. One that
// differs takes its place: the votes stand until the new one has voted. The votes of
// one that is gone are withdrawn. Set changes nothing when a name is empty or used
// twice.
func (r *Runner) Set(plugins []Plugin) error {
	seen := map[string]bool{}
	var errs []error
	for i, p := range plugins {
		switch name := p.Name(); {
		case name == "":
			errs = append(errs, fmt.Errorf("plugins[%d]: a plugin needs a name", i))
		case seen[name]:
			errs = append(errs, fmt.Errorf("plugins[%d]: the name %q is used twice", i, name))
		default:
			seen[name] = true
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	r.mu.Lock()
	r.want = slices.Clone(plugins)
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default: // Run is yet to look, and will find the newest set
	}
	return nil
}

// Inherit makes votes that plugins cast in another process stand until those of the same
// names have voted here. It returns the ones of plugins that there are; the others are
// void. It is for between Set and Run.
func (r *Runner) Inherit(votes []Ballot) (stand []Ballot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range votes {
		if slices.ContainsFunc(r.want, func(p Plugin) bool { return sourceOf(p.Name()) == b.Source }) {
			stand = append(stand, b)
		}
	}
	r.box.inherit(stand)
	return stand
}

// Votes carries the votes as they are cast, those that change something. A vote that
// nobody has received yet is replaced by a later one of the same plugin about the same
// thing, so that memory is bounded and the last one counts. It is never closed.
func (r *Runner) Votes() <-chan Ballot { return r.votes }

// Emit tells all plugins what happened. It never waits.
func (r *Runner) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.live {
		c.host.emit(e)
	}
}

// patience is how long plugins may take to return once told to.
const patience = 2 * time.Second

// Run runs the plugins until ctx is cancelled, and returns nil when all of them have
// returned. It doesn't wait for ever: the error names those that were told to end and
// did not. Votes that were not received by then are forgotten.
func (r *Runner) Run(ctx context.Context) error {
	var carrier sync.WaitGroup
	defer carrier.Wait()
	carrier.Go(func() { r.box.deliver(ctx, r.votes) })

	var all []*life // those that were replaced or removed, too, until they have ended
	running := map[string]*life{}
	for {
		select {
		case <-ctx.Done():
			return await(all)
		case <-r.changed:
			all = slices.DeleteFunc(all, (*life).ended)
			all = r.apply(ctx, running, all)
		}
	}
}

// await waits for all to have ended.
func await(all []*life) error {
	late, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, c := range all {
		select {
		case <-c.done:
		case <-late.Done():
			if !c.ended() {
				errs = append(errs, fmt.Errorf("plugin %s: told to end, still runs after %v", c.plugin.Name(), patience))
			}
		}
	}
	return errors.Join(errs...)
}

// apply makes running what Set wants, and adds what it started to all.
func (r *Runner) apply(ctx context.Context, running map[string]*life, all []*life) []*life {
	r.mu.Lock()
	want := r.want
	r.mu.Unlock()

	wanted := map[string]bool{}
	for _, p := range want {
		wanted[p.Name()] = true
	}
	for name, c := range running {
		if !wanted[name] {
			c.cancel()
			r.box.remove(c.host)
			delete(running, name)
		}
	}
	var begin []*life
	for _, p := range want {
		old := running[p.Name()]
		if old != nil && reflect.DeepEqual(old.plugin, p) {
			continue
		}
		c := newLife(ctx, p, r.box, r.log, r.status)
		if old != nil {
			old.cancel()
			r.box.replace(old.host, c.host)
		} else {
			r.box.add(c.host)
		}
		for _, o := range all { // the last one of the name waits for those before it
			if o.plugin.Name() == p.Name() {
				c.after = o.done
			}
		}
		running[p.Name()] = c
		all, begin = append(all, c), append(begin, c)
	}

	live := make([]*life, 0, len(running))
	for _, p := range want {
		live = append(live, running[p.Name()])
	}
	r.mu.Lock()
	r.live = live
	r.mu.Unlock()
	for _, c := range begin { // who votes hears what comes of it
		go c.live()
	}
	return all
}
