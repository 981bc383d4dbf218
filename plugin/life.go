package plugin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// A plugin that ended is started again after firstPause, then after twice as long each
// time, up to lastPause. Running as long as the pause before it makes up for the past.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// A life is one plugin under the runner, through all its restarts.
type life struct {
	plugin Plugin
	host   *host
	log    *slog.Logger

	ctx    context.Context // ends the plugin: with the runner, or before
	cancel context.CancelFunc
	after  <-chan struct{} // closed when the one that it replaces has ended; nil for none
	done   chan struct{}   // closed when it has ended for good
}

func (l *life) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func newLife(ctx context.Context, p Plugin, b *box, log *slog.Logger, status func() Status) *life {
	l := &life{plugin: p, log: log.With("plugin", p.Name()), done: make(chan struct{})}
	l.host = newHost(p.Name(), b, l.log, status)
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

// live runs the plugin, again and again, until its context ends.
func (l *life) live() {
	defer close(l.done)
	defer l.cancel()
	if l.after != nil {
		<-l.after // two of one name would vote against each other
	}
	pause := time.Duration(0)
	for l.ctx.Err() == nil {
		start, settled := time.Now(), max(pause, firstPause)
		err := l.once(settled)
		if l.ctx.Err() != nil {
			return
		}
		pause = min(max(2*pause, firstPause), lastPause)
		if time.Since(start) >= settled {
			pause = firstPause
		}
		l.host.state.ended(err)
		l.log.Warn("plugin ended, and is started again after a pause", "err", err, "pause", pause)
		select {
		case <-l.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// errEnded is the end of a plugin that says nothing itself.
var errEnded = errors.New("ended")

// once runs the plugin until it ends and makes that its vote. The vote on an earlier
// end is withdrawn when the plugin votes, or has run for the given time.
func (l *life) once(settled time.Duration) error {
	l.host.box.open(l.host)
	l.host.state.began()
	ended := make(chan error, 1)
	go func() {
		err := errors.New("ended its goroutine") // by runtime.Goexit, unless what follows says otherwise
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panicked: %v", p)
				l.log.Error("plugin panicked", "panic", p, "stack", string(debug.Stack()))
			}
			ended <- err
		}()
		if err = l.plugin.Run(l.ctx, l.host); err == nil {
			err = errEnded
		} else {
			err = fmt.Errorf("%w: %w", errEnded, err)
		}
	}()

	timer := time.NewTimer(settled)
	defer timer.Stop()
	var err error
	select {
	case err = <-ended:
	case <-timer.C:
		l.host.box.settle(l.host)
		err = <-ended
	}
	if l.ctx.Err() != nil {
		return nil // it was asked to end
	}
	votes := []Vote{{Bar: true, Reason: err.Error()}}
	if e, ok := l.plugin.(Ender); ok {
		votes = e.Ended(err.Error())
	}
	l.host.box.end(l.host, votes)
	return err
}
