package netplumb

import (
	"net"
	"net/netip"
	"time"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String returns the address as "02:00:00:00:00:01".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// HeardKind says what an ARP frame means.
type HeardKind int

// The kinds.
const (
	// Answer is a reply to somebody's request: the host with MAC has Addr.
	Answer HeardKind = iota
	// Announcement is a request for the sender's own address or an unasked reply
	// (RFC 5227 section 3): the host with MAC says that it has Addr.
	Announcement
	// Other is an ordinary request or a probe. Addr is the host that asks (0.0.0.0 in
	// a probe).
	Other
)

// String returns the kind's name.
func (k HeardKind) String() string { return [...]string{"answer", "announcement", "other"}[k] }

// Heard is one ARP frame of another host.
type Heard struct {
	// Link is the interface it came in on.
	Link string
	Kind HeardKind
	// Addr is the sender's protocol address (SPA), MAC the sender's hardware address.
	Addr netip.Addr
	MAC  MAC
	// Target is the target protocol address (TPA).
	Target netip.Addr
	// At is when it was read.
	At time.Time
}
