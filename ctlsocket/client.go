package ctlsocket

import (
	"context"
	"encoding/json"
	"errors"
	"net"
)

// Client asks a daemon. The zero value asks the one at DefaultSocket.
type Client struct {
	// Socket is the path of the socket, DefaultSocket if "".
	Socket string
	// Dial replaces the connection to Socket.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Get returns the JSON that the daemon has for a path.
func (c *Client) Get(ctx context.Context, path string) (json.RawMessage, error) {
	return nil, errors.ErrUnsupported
}

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return Status{}, errors.ErrUnsupported
}

// Peers asks for the peers.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) { return nil, errors.ErrUnsupported }

// Explain asks for one group, by name, key or address.
func (c *Client) Explain(ctx context.Context, group string) (Explanation, error) {
	return Explanation{}, errors.ErrUnsupported
}

// Do asks for a change and returns the daemon's sentence about it.
func (c *Client) Do(ctx context.Context, cmd Command) (string, error) {
	return "", errors.ErrUnsupported
}
