package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// management is the control socket, which a reload may move.
type management struct {
	mu sync.Mutex
	// on is the listener in use, nil where there is none, and end ends its server.
	on  net.Listener
	end func()
}

// serve answers on another listener, and returns what ends the server before: it waits until
// nobody answers there any more.
func (l *loop) serve(on net.Listener) (retire func()) {
	ctx, cancel := context.WithCancel(l.life)
	done := make(chan struct{})
	m := &l.management
	m.mu.Lock()
	defer m.mu.Unlock()
	retire = m.end
	m.on, m.end = on, func() { cancel(); <-done }
	l.helpers.Go(func() error {
		defer close(done)
		defer cancel()
		if err := ctlsocket.Serve(ctx, on, l); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("management: %w", err)
		}
		return nil
	})
	return retire
}

// file returns a copy of the socket for another program.
func (m *management) file() (*os.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on.(*net.UnixListener).File()
}
