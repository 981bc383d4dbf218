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

// A child is one plugin under the runner, through all its restarts.
type child struct {
	plugin Plugin
	host   *host
	log    *slog.Logger

	ctx    context.Context // ends the plugin: with the runner, or before
	cancel context.CancelFunc
	after  <-chan struct{} // closed when the one that it replaces has ended; nil for none
	done   chan struct{}   // closed when it has ended for good
}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func newChild(ctx context.Context, p Plugin, b *box, log *slog.Logger) *child {
	c := &child{plugin: p, log: log.With("plugin", p.Name()), done: make(chan struct{})}
	c.host = newHost(p.Name(), b, c.log)
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

// live runs the plugin, again and again, until its context ends.
func (c *child) live() {
	defer close(c.done)
	defer c.cancel()
	if c.after != nil {
		<-c.after // two of one name would vote against each other
	}
	pause := time.Duration(0)
	for c.ctx.Err() == nil {
		start, settled := time.Now(), max(pause, firstPause)
		err := c.once(settled)
		if c.ctx.Err() != nil {
			return
		}
		pause = min(max(2*pause, firstPause), lastPause)
		if time.Since(start) >= settled {
			pause = firstPause
		}
		c.log.Warn("plugin ended: this node is barred until it runs again", "err", err, "pause", pause)
		select {
		case <-c.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// errEnded is the end of a plugin that says nothing itself.
var errEnded = errors.New("ended")

// once runs the plugin until it ends and makes that its vote. The vote on an earlier
// end is withdrawn when the plugin votes, or has run for the given time.
func (c *child) once(settled time.Duration) error {
	c.host.box.open(c.host)
	ended := make(chan error, 1)
	go func() {
		err := errors.New("ended its goroutine") // by runtime.Goexit, unless what follows says otherwise
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panicked: %v", p)
				c.log.Error("plugin panicked", "panic", p, "stack", string(debug.Stack()))
			}
			ended <- err
		}()
		if err = c.plugin.Run(c.ctx, c.host); err == nil {
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
		c.host.box.settle(c.host)
		err = <-ended
	}
	if c.ctx.Err() != nil {
		return nil // it was asked to end
	}
	c.host.box.end(c.host, err.Error())
	return err
}
