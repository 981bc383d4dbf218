package ctlsocket

import (
	"context"
	"errors"
	"net"
)

// Daemon is what Serve speaks for. Its methods are called concurrently.
type Daemon interface {
	// Status returns the latest status at once; Serve doesn't change it.
	Status() Status
	// Do makes a change and returns a sentence for the person who asked. It returns
	// early when ctx ends. An *Error chooses how a failure is answered.
	Do(ctx context.Context, c Command) (string, error)
}

// Serve answers on l until ctx ends, and returns when every request has ended.
func Serve(ctx context.Context, l net.Listener, d Daemon) error { return errors.ErrUnsupported }
