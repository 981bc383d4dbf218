package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// again is the shortest time between two questions to a daemon that hangs up. The first is
// repeated at once: a dead daemon's socket says so, and nothing else does as soon. If there
// is another program in the same process (vippyctl upgrade), what was granted still holds.
const again = 20 * time.Millisecond

// followTenure calls f with whether this node has the group, until f fails, ctx ends, or
// the daemon does or hangs when it is asked.
func (a *app) followTenure(ctx context.Context, group string, f func(ctlsocket.Tenure) error) error {
	for {
		var stop error
		pause := time.After(again)
		asked, cancel := context.WithCancel(ctx)
		hung := time.AfterFunc(askTime, cancel) // unless it says something
		err := a.client.Tenure(asked, group, func(t ctlsocket.Tenure) error {
			hung.Stop()
			stop = f(t)
			return stop
		})
		hung.Stop()
		silent := asked.Err() != nil
		cancel()
		var refused *ctlsocket.Error
		switch {
		case stop != nil:
			return stop
		case ctx.Err() != nil:
			return ctx.Err()
		case silent:
			return &ctlsocket.NoAnswer{Socket: a.client.Socket, Err: context.DeadlineExceeded}
		case errors.As(err, &refused), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			return err
		}
		select {
		case <-pause:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
