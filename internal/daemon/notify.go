package daemon

import (
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/netplumb"
)

// notifyOf is who is told directly of an address that is taken here.
func notifyOf(c *config.Config) netplumb.Notify {
	n := netplumb.Notify{Every: c.ArpCache}
	for _, t := range c.Notify {
		if t.ArpCache {
			n.Known = true
		} else {
			n.Networks = append(n.Networks, netplumb.Network{Link: t.Interface, Prefix: t.Network})
		}
	}
	return n
}

// sameNotify says whether a reload leaves who is told as it was.
func sameNotify(a, b *config.Config) bool {
	return a.ArpCache == b.ArpCache && slices.Equal(a.Notify, b.Notify)
}

// share gives the others what this kernel's neighbours were found to be.
func (l *loop) share(now time.Time, list []netplumb.Neighbour) {
	out := make([]cluster.Neighbour, len(list))
	for i, n := range list {
		out[i] = cluster.Neighbour{Addr: n.Addr, MAC: n.MAC, Age: n.Age}
	}
	l.node.Share(now, out)
}

// befriend passes on what others shared.
func (l *loop) befriend(parts []cluster.NeighbourPart) {
	for _, p := range parts {
		out := make([]netplumb.Neighbour, len(p.Hosts))
		for i, n := range p.Hosts {
			out[i] = netplumb.Neighbour{Addr: n.Addr, MAC: n.MAC, Age: n.Age}
		}
		l.kernel.Learn(p.Node, p.Part, p.Of, out)
	}
}
