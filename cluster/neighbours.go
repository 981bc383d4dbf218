package cluster

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// A Neighbour is a host that a kernel of the cluster speaks with.
type Neighbour struct {
	Addr netip.Addr
	// MAC is its hardware address: one host's, never a group's.
	MAC [6]byte
	// Age is how long ago the host was confirmed to be there.
	Age time.Duration
}

// shareable says whether a neighbour means the same to every node: the address of one
// host, whatever the link on which it is asked.
func (h Neighbour) shareable() bool {
	a := h.Addr
	switch {
	case !a.IsValid(), a.Is4In6(), a.Zone() != "", a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a.IsLinkLocalUnicast():
		return false
	case a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240): // RFC 6890
		return false
	}
	return h.MAC != [6]byte{} && h.MAC[0]&1 == 0
}

// A NeighbourPart is some of the neighbours that a node shares. The parts of one table
// come in datagrams of their own, any of which may be lost: a newer part takes the place
// of the older one with its number, and a table has no part from Of on.
type NeighbourPart struct {
	Node     string
	Part, Of int
	Hosts    []Neighbour
}

// MaxNeighbours bounds what one node shares.
const MaxNeighbours = 1024

const (
	// maxParts is enough for MaxNeighbours of IPv6.
	maxParts = 32
	// maxPartHosts is more than a datagram of partSize has room for.
	maxPartHosts = 128
	maxAge       = 24 * time.Hour
	// maxParted bounds the parts that one turn takes in: what is dropped comes again.
	maxParted = 4 * maxParts
)

// Share gives the neighbours of this node to the others, with its next announcement at
// the latest: the first MaxNeighbours of those that mean something to others.
func (n *Node) Share(now time.Time, hosts []Neighbour) {
	n.arrive(now)
	n.sharing = partsOf(hosts)
}

// partsOf writes the messages for a table; an empty table is one empty part.
func partsOf(hosts []Neighbour) (parts [][]byte) {
	var part []byte
	inPart, all := 0, 0
	for _, h := range hosts {
		if !h.shareable() || all == MaxNeighbours {
			continue
		}
		b := h.append(nil)
		if len(part)+len(b) > partSize || inPart == maxPartHosts {
			parts, part, inPart = append(parts, part), nil, 0
		}
		part = append(part, b...)
		inPart++
		all++
	}
	return append(parts, part)
}

func (h Neighbour) append(b []byte) []byte {
	a := h.Addr.AsSlice()
	b = append(append(append(b, byte(len(a))), a...), h.MAC[:]...)
	return binary.AppendUvarint(b, uint64(min(max(h.Age, 0), maxAge)/time.Second))
}

// tellNeighbours adds what is to be shared to what is sent.
func (n *Node) tellNeighbours(now time.Time, out *Ready) {
	if len(n.sharing) == 0 || !n.speaks(now) {
		return
	}
	for i, part := range n.sharing {
		out.Send = append(out.Send, Datagram{Data: n.sealed(kindNeighbours, func(b []byte) []byte {
			return appendPart(b, i, len(n.sharing), part)
		})})
	}
	n.sharing = nil
}

func appendPart(b []byte, part, of int, hosts []byte) []byte {
	return append(append(b, byte(part), byte(of)), hosts...)
}

// takeNeighbours keeps a part for the next Ready.
func (n *Node) takeNeighbours(p NeighbourPart) {
	if len(n.parted) < maxParted {
		n.parted = append(n.parted, p)
	}
}

// neighbours reads a part; a neighbour that nobody should share makes it malformed.
func (r *reader) neighbours() (p NeighbourPart, ok bool) {
	p.Part, p.Of = int(r.byte()), int(r.byte())
	if p.Of > maxParts || p.Part >= p.Of {
		return p, false
	}
	for len(r.b) > 0 && len(p.Hosts) < maxPartHosts {
		var h Neighbour
		if size := r.byte(); size == 4 || size == 16 {
			h.Addr, _ = netip.AddrFromSlice(r.take(int(size)))
		}
		copy(h.MAC[:], r.take(len(h.MAC)))
		age := r.uvarint()
		if r.bad || age > uint64(maxAge/time.Second) || !h.shareable() {
			return p, false
		}
		h.Age = time.Duration(age) * time.Second
		p.Hosts = append(p.Hosts, h)
	}
	return p, !r.bad && len(r.b) == 0
}
