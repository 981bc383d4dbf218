package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// shareEvery is how often a host shares its neighbours: far more often than daemons do, so
// that the datagrams meet every fault.
const shareEvery = int64(700 * time.Millisecond)

// shared is how many neighbours a host shares: more than one datagram has room for.
const shared = 150

func (h *host) neighbours() []cluster.Neighbour {
	out := make([]cluster.Neighbour, shared)
	for i := range out {
		out[i] = h.neighbour(byte(i))
	}
	return out
}

func (h *host) neighbour(i byte) cluster.Neighbour {
	return cluster.Neighbour{Addr: netip.AddrFrom4([4]byte{192, 168, byte(h.id), i}), MAC: [6]byte{2, 1, byte(h.id), 0, 0, i},
		Age: time.Duration(i) * time.Second}
}

// shares says whether n is one of the neighbours.
func (h *host) shares(n cluster.Neighbour) bool {
	i := n.MAC[5]
	return i < shared && n == h.neighbour(i)
}

// share gives them to the others now and then.
func (h *host) share() {
	now := h.clock.at(h.w.now)
	if !h.w.cfg.Share || now-h.lastShare < shareEvery {
		return
	}
	h.lastShare = now
	h.node.Share(h.clock.time(h.w.now), h.neighbours())
}

// learn checks what others shared: a recording would be no harm, but what nobody shared is.
func (h *host) learn(parts []cluster.NeighbourPart) {
	for _, p := range parts {
		i := slices.IndexFunc(h.w.hosts, func(o *host) bool { return o.role == member && o.as == p.Node })
		if i < 0 || p.Node == h.as {
			h.w.fail("P4", "%s was told the neighbours of %q", h.name, p.Node)
			return
		}
		for _, n := range p.Hosts {
			if !slices.ContainsFunc(h.w.hosts, func(o *host) bool { return (o.as == p.Node || o == h.w.twin) && o.shares(n) }) {
				h.w.fail("P4", "%s was told of %v, which %s didn't share", h.name, n, p.Node)
				return
			}
		}
	}
}
