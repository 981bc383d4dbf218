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
	end context.CancelFunc
}

// serve answers on another listener, and returns what ends the server before.
func (l *loop) serve(on net.Listener) (retire func()) {
	ctx, end := context.WithCancel(l.life)
	m := &l.management
	m.mu.Lock()
	defer m.mu.Unlock()
	retire = m.end
	m.on, m.end = on, end
	l.helpers.Go(func() error {
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
