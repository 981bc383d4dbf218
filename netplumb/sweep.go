package netplumb

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// maxSweep bounds the hosts of one subnet that are asked for although nobody knows that they
// are there: those of a /16.
const maxSweep = 1 << 16

// A sweep goes through the IPv4 addresses of networks without having a list of them.
type sweep struct {
	spans []span
	left  int // how many may follow
}

// A span is the addresses from first to last.
type span struct{ first, last uint32 }

// newSweep goes through what networks have of a subnet, each address once, but neither the
// subnet's own address nor its broadcast address. IPv6 has none: its subnets are too large
// to go through.
func newSweep(subnet netip.Prefix, networks []netip.Prefix) sweep {
	s := sweep{left: maxSweep}
	if !subnet.Addr().Is4() {
		return s
	}
	all := spanOf(subnet)
	if subnet.Bits() < 31 {
		all.first++
		all.last--
	}
	for _, n := range networks {
		if !n.Addr().Is4() || !n.Overlaps(subnet) {
			continue
		}
		x := spanOf(n)
		x.first, x.last = max(x.first, all.first), min(x.last, all.last)
		if x.first <= x.last {
			s.spans = append(s.spans, x)
		}
	}
	slices.SortFunc(s.spans, func(a, b span) int { return int(int64(a.first) - int64(b.first)) })
	merged := s.spans[:0]
	for _, x := range s.spans {
		if last := len(merged) - 1; last >= 0 && x.first <= merged[last].last {
			merged[last].last = max(merged[last].last, x.last)
			continue
		}
		merged = append(merged, x)
	}
	s.spans = merged
	return s
}

func spanOf(p netip.Prefix) span {
	a := p.Masked().Addr().As4()
	first := binary.BigEndian.Uint32(a[:])
	return span{first, first | uint32(uint64(1)<<(32-p.Bits())-1)}
}

// next returns the next address.
func (s *sweep) next() (netip.Addr, bool) {
	if s.over() {
		return netip.Addr{}, false
	}
	x := &s.spans[0]
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], x.first)
	if x.first == x.last {
		s.spans = s.spans[1:]
	} else {
		x.first++
	}
	s.left--
	return netip.AddrFrom4(a), true
}

func (s *sweep) over() bool { return s.left <= 0 || len(s.spans) == 0 }
