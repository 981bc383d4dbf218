package netplumb

import (
	"net/netip"
	"slices"
)

// joinRounds finds out who is to be told of what was just taken.
func (w *worker) joinRounds() {
	for id, p := range w.speaker.ports {
		if !p.notices.pending() {
			continue
		}
		own := w.subnets(id)
		p.notices.join(Boottime(),
			func(vip netip.Addr) netip.Prefix { return subnetOf(w.prefixOf[vip], own) },
			func(subnet netip.Prefix) *round { return w.begin(p, subnet) })
	}
}

// subnets are those of this host on a link, in the family of a port.
func (w *worker) subnets(id portID) (out []netip.Prefix) {
	for _, o := range w.have {
		if o.Link == id.link && o.Address.Addr().Is6() == id.six && !o.Address.IsSingleIP() && !w.plan[o.place()] {
			out = append(out, o.Address.Masked())
		}
	}
	return out
}

// subnetOf returns the subnet of a VIP: by its own prefix, or where it has none that of this
// host which it belongs to. Invalid where there is none: nobody is on such a link directly.
func subnetOf(vip netip.Prefix, own []netip.Prefix) netip.Prefix {
	if vip.IsValid() && !vip.IsSingleIP() {
		return vip.Masked()
	}
	var best netip.Prefix
	for _, s := range own {
		if s.Contains(vip.Addr()) && (!best.IsValid() || s.Bits() > best.Bits()) {
			best = s
		}
	}
	return best
}

// begin makes a round: the routers of a subnet first, then the hosts as they were last seen,
// and those that nobody knows.
func (w *worker) begin(p *port, subnet netip.Prefix) *round {
	notify, networks := w.speaker.notify, w.speaker.notify.on(p.link)
	r := &round{spared: w.spared(p.portID)}
	wanted := func(a netip.Addr) bool {
		return !r.spared[a] && (notify.Known || slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) }))
	}
	list, macs := w.census.hosts.list(), make(map[netip.Addr]MAC)
	var rest []target
	for _, h := range list {
		// A router's address may be the link's own (fe80::/10), which is on no subnet.
		beside := h.router && h.link == p.link && h.addr.Is6() == p.six
		if !wanted(h.addr) || h.mac == p.mac || !subnet.Contains(h.addr) && !beside {
			continue
		}
		macs[h.addr] = h.mac
		if beside {
			r.known = append(r.known, target{h.addr, h.mac})
		} else if !slices.Contains(w.gateways, h.addr) {
			rest = append(rest, target{h.addr, h.mac})
		}
	}
	for _, g := range w.gateways {
		if !subnet.Contains(g) || !wanted(g) {
			continue
		}
		mac, known := macs[g]
		if !known {
			mac, _ = w.speaker.neighbours.mac(g)
		}
		r.known = append(r.known, target{g, mac})
	}
	r.routers = len(r.known)
	r.known = append(r.known, rest...)
	r.sweep = newSweep(subnet, networks)
	return r
}

// spared are the addresses of a port's family that are no hosts to tell: virtual ones, and
// this host's own.
func (w *worker) spared(id portID) map[netip.Addr]bool {
	out := make(map[netip.Addr]bool, len(w.linkOf))
	for a := range w.linkOf {
		if a.Is6() == id.six {
			out[a] = true
		}
	}
	for _, o := range w.have {
		if a := o.Address.Addr(); a.Is6() == id.six {
			out[a] = true
		}
	}
	return out
}
