package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// subnet is the lab's network: hosts in 10.99.0.0/24, VIPs from 10.99.1.1 on.
var subnet = netip.MustParsePrefix("10.99.0.0/16")

// linkName is what every host calls its link.
const linkName = "eth0"

// A port is one host on the wire.
type port struct {
	space *space
	wire  *wire
	// addr is the host's own address.
	addr netip.Addr
	mac  net.HardwareAddr
	// inside is a netlink handle in the host's namespace. link is the host's end of the
	// cable, plug the switch's.
	inside     *netlink.Handle
	link, plug netlink.Link
}

// A wire is a switch with a cable to each host: a Linux bridge in a namespace of its own.
// Faults of a whole port are flags of the bridge port (cable.go); those between two hosts, or
// of the chat alone, are nftables rules (filter.go). Both work in a user namespace too.
type wire struct {
	space  *space
	handle *netlink.Handle
	bridge netlink.Link
	ports  []*port
}

// newWire makes a switch with a host for each name.
func newWire(names []string) (_ *wire, err error) {
	w := &wire{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.space, err = newSpace("switch"); err != nil {
		return nil, err
	}
	if w.handle, err = w.space.handle(); err != nil {
		return nil, err
	}
	if err := w.space.do(hush); err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "bridge"
	// Without snooping multicast is flooded, as a switch does with 224.0.0.0/24 anyway.
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := w.handle.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("switch: make a bridge: %w", err)
	}
	if err := w.handle.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("switch: %w", err)
	}
	w.bridge = bridge
	for i, name := range names {
		p, err := w.plugIn(bridge, i+1, name)
		if p != nil {
			w.ports = append(w.ports, p)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return w, nil
}

// hush makes the links of this namespace say nothing of their own accord. A switch does
// not either: its router solicitations and group reports would pass even ports that
// flood nothing, and a host that is cut off would hear a frame.
func hush() error {
	return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
}

// handle opens a netlink socket in the namespace.
func (s *space) handle() (h *netlink.Handle, err error) {
	err = s.do(func() error {
		h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	return h, err
}

// plugIn makes a host and its cable.
func (w *wire) plugIn(bridge netlink.Link, num int, name string) (*port, error) {
	space, err := newSpace(name)
	if err != nil {
		return nil, err
	}
	p := &port{space: space, wire: w,
		addr: netip.AddrFrom4([4]byte{10, 99, 0, byte(num)}),
		mac:  net.HardwareAddr{0x02, 0x99, 0, 0, 0, byte(num)}}
	if p.inside, err = space.handle(); err != nil {
		return p, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MasterIndex = bridge.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: linkName, PeerHardwareAddr: p.mac,
		PeerNamespace: netlink.NsFd(space.ns.Fd())}
	if err := w.handle.LinkAdd(veth); err != nil {
		return p, fmt.Errorf("make its cable: %w", err)
	}
	if p.plug, err = w.handle.LinkByName(name); err != nil {
		return p, err
	}
	if err := w.handle.LinkSetUp(p.plug); err != nil {
		return p, err
	}
	lo, err := p.inside.LinkByName("lo")
	if err != nil {
		return p, err
	}
	if err := p.inside.LinkSetUp(lo); err != nil {
		return p, err
	}
	if p.link, err = p.inside.LinkByName(linkName); err != nil {
		return p, err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.addr.AsSlice(), Mask: net.CIDRMask(subnet.Bits(), 32)}}
	if err := p.inside.AddrAdd(p.link, addr); err != nil {
		return p, fmt.Errorf("give it %v: %w", p.addr, err)
	}
	return p, p.inside.LinkSetUp(p.link)
}

// close takes the wire down; the namespaces end when their processes did.
func (w *wire) close() {
	for _, p := range w.ports {
		if p.inside != nil {
			p.inside.Close()
		}
		p.space.close()
	}
	if w.handle != nil {
		w.handle.Close()
	}
	if w.space != nil {
		w.space.close()
	}
}

// table returns the VIPs in the host's kernel.
func (p *port) table() (map[netip.Addr]bool, error) {
	for {
		addrs, err := p.inside.AddrList(p.link, unix.AF_INET)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue // it changed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("%s: list addresses: %w", p.space.name, err)
		}
		out := map[netip.Addr]bool{}
		for _, a := range addrs {
			if addr, ok := netip.AddrFromSlice(a.IP.To4()); ok && isVIP(addr) {
				out[addr] = true
			}
		}
		return out, nil
	}
}

// isVIP says whether an address is one of the lab's VIPs rather than a host's own.
func isVIP(addr netip.Addr) bool { return subnet.Contains(addr) && addr.As4()[2] > 0 }
