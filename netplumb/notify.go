package netplumb

import (
	"net/netip"
	"time"
)

// Notify says who is told directly, beside everybody at once, that an address is here now:
// by an ARP request in its name, which also hosts heed that pass over gratuitous ARP, or by an
// unsolicited neighbour advertisement.
type Notify struct {
	// Known: the hosts of the collective table, and the gateways, that are on the address's
	// subnet.
	Known bool
	// Networks adds the hosts of these, as far as they are on the address's subnet. Of IPv6
	// only those that are known are told.
	Networks []Network
	// Every is the time between two readings of this kernel's neighbours; 0 means never.
	Every time.Duration
}

// A Network is all hosts of a network on a link.
type Network struct {
	Link   string
	Prefix netip.Prefix
}

// on returns the networks on a link.
func (n Notify) on(link string) (networks []netip.Prefix) {
	for _, w := range n.Networks {
		if w.Link == link {
			networks = append(networks, w.Prefix)
		}
	}
	return networks
}
