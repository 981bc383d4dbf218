package plugin

import (
	"context"
	"log/slog"
)

// A Runner keeps plugins running and carries their votes and events. Make one with
// NewRunner, call Run once.
type Runner struct{}

// NewRunner returns a runner without plugins. Nil discards the log.
func NewRunner(log *slog.Logger) *Runner { return &Runner{} }

// Set makes plugins the whole set that runs, now and also before Run. A plugin that
// equals (reflect.DeepEqual) the running one of its name goes on untouched. One that
// differs takes its place: the votes stand until the new one has voted. The votes of
// one that is gone are withdrawn. Names must be unique.
func (r *Runner) Set(plugins []Plugin) error { return nil }

// Run runs the plugins until ctx is cancelled, and returns when all of them have
// returned.
func (r *Runner) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Votes carries the votes as they are cast. A vote that nobody has received yet is
// replaced by a later one of the same plugin about the same thing, so that memory is
// bounded and the last one counts. It is never closed.
func (r *Runner) Votes() <-chan Ballot { return nil }

// Emit tells all plugins what happened. It never waits.
func (r *Runner) Emit(e Event) {}
