package multicast

import "net/netip"

// BatchSize is how many datagrams one Read takes from the kernel at most.
const BatchSize = 32

// A Packet is a datagram and what the kernel says about it.
type Packet struct {
	// Data is valid until its Batch is read into again.
	Data []byte
	// From is the sender; its address is 0.0.0.0 where the sender's link had none.
	From netip.AddrPort
	// Link and Index name the link on which it arrived.
	Link  string
	Index int
	// TTL is the hop limit with which it arrived. It is not judged here.
	TTL int
}

// A Batch holds the datagrams of one Read, and the memory they lie in. The zero value
// is ready for use. To read on while a batch is being worked on, take two in turn.
type Batch struct {
	Packets []Packet
	// More says that the kernel had at least BatchSize datagrams, so that more are
	// likely to wait.
	More bool
}
