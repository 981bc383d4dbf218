package multicast

import (
	"log/slog"
	"net/netip"
	"time"
)

// All chooses every link that is up, can do multicast and is not the loopback.
const All = "all"

// Config says where to chat.
type Config struct {
	// Group is the IPv4 multicast address and port.
	Group netip.AddrPort
	// Interfaces chooses the links: All, names of links, or IPv4 addresses that a link
	// has. What doesn't exist yet is joined by Rescan once it does.
	Interfaces []string
	// Log is told which links are joined and left. Nil discards that.
	Log *slog.Logger
}

// Conn is the chat socket. Read belongs to one goroutine, Send to one other; Rescan,
// Stats and Close may be called from any.
type Conn struct{}

// Open binds the port and joins the group on the chosen links that there are. It fails
// when the port is taken or a socket option is refused, not for want of a link.
func Open(c Config) (*Conn, error) { return &Conn{}, nil }

// Close leaves the group and ends a waiting Read with net.ErrClosed.
func (c *Conn) Close() error { return nil }

// SetReadDeadline ends a Read that waits at t with os.ErrDeadlineExceeded; the zero
// time lets it wait for ever.
func (c *Conn) SetReadDeadline(t time.Time) error { return nil }

// Rescan joins chosen links that appeared and leaves those that are gone or down. It
// costs one look at the list of links when nothing changed. The error joins one for
// each link that could not be joined; the others are served all the same, and the next
// Rescan tries again.
func (c *Conn) Rescan() error { return nil }

// Send sends data to the address, or, where that is not valid, to the group on every
// joined link. It never waits: what a link doesn't take is lost, as on the wire. The
// error joins one for each link that failed (as *LinkError), after all were served.
func (c *Conn) Send(data []byte, to netip.AddrPort) error { return nil }

// Read waits for datagrams and fills b with those that wait, in the order of their
// arrival. It may return none, when all that waited were dropped.
func (c *Conn) Read(b *Batch) error { return nil }

// Stats returns what was counted so far.
func (c *Conn) Stats() Stats { return Stats{} }
