package ctlsocket

import (
	"errors"
	"net"
)

// DefaultSocket is where a daemon listens unless its config says otherwise.
const DefaultSocket = "/var/run/vippy.socket"

// Listen opens the socket for Serve.
func Listen(path string) (net.Listener, error) { return nil, errors.ErrUnsupported }
