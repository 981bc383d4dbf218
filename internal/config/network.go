package config

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vippy-ha/vippy/vipgroup"
)

// noGroup is what `chat` has for an address where the nodes talk by unicast only.
const noGroup = "none"

func (w *walker) chat(n node) {
	s, ok := w.text(n, "ADDRESS:PORT")
	if !ok {
		return
	}
	text := s
	host, port, _ := strings.Cut(s, ":")
	if host == noGroup {
		if s == noGroup {
			port = strconv.Itoa(int(w.cfg.Chat.Port()))
		}
		text = netip.IPv4Unspecified().String() + ":" + port
		w.later = append(w.later, func() {
			if len(w.cfg.Peers) == 0 && !w.faulty("peers") {
				w.fault(n, "there is no multicast group, so peers must list the hosts of all nodes")
			}
		})
	}
	ap, err := netip.ParseAddrPort(text)
	switch {
	case err != nil:
		w.fault(n, `%s is not ADDRESS:PORT such as "224.0.0.254:5007", none or none:PORT`, quote(s))
	case host != noGroup && (!ap.Addr().Is4() || !ap.Addr().IsMulticast()):
		w.fault(n, "%s is not an IPv4 multicast address (224.0.0.0 to 239.255.255.255)", quote(s))
	case ap.Port() == 0:
		w.fault(n, "%s: the port is out of range; expected 1 to 65535", quote(s))
	default:
		w.cfg.Chat = ap
	}
}

func (w *walker) chatInterface(n node) {
	var all *node
	w.oneOrMore(n, func(e node) {
		s, ok := w.text(e, `"all", an interface's name or an address`)
		switch {
		case !ok:
		case s == "all":
			all = &e
		default:
			if addr, err := netip.ParseAddr(s); err == nil {
				if err := ipv4Host(addr); err != nil {
					w.fault(e, "%s %v", quote(s), err)
				}
			} else if dotted(s) {
				w.fault(e, "%s is not an address%s", quote(s), insteadOf(s))
			} else if err := vipgroup.InterfaceName(s); err != nil {
				w.fault(e, "%s %v", quote(s), err)
			}
			w.cfg.ChatInterfaces = append(w.cfg.ChatInterfaces, s)
		}
	})
	if all != nil && len(w.cfg.ChatInterfaces) > 0 {
		w.fault(*all, `"all" stands alone: remove it or the others`)
	}
}

// ipv4Host is vipgroup.HostAddress for what is spoken to by IPv4 or ARP.
func ipv4Host(addr netip.Addr) error {
	if err := vipgroup.HostAddress(addr); err != nil {
		return err
	}
	if !addr.Is4() {
		return errors.New("is an IPv6 address; chat and witnesses speak IPv4")
	}
	return nil
}

// address returns the IPv4 address of one host, without prefix.
func (w *walker) address(n node) (netip.Addr, bool) {
	s, ok := w.text(n, "an address")
	if !ok {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		w.fault(n, "%s is not an address%s", quote(s), insteadOf(s))
		return addr, false
	}
	if err := ipv4Host(addr); err != nil {
		w.fault(n, "%s %v", quote(s), err)
		return addr, false
	}
	return addr, true
}

// prefix returns an address with its prefix length; without one it is a host's own.
func (w *walker) prefix(n node) (p netip.Prefix, written string, ok bool) {
	s, ok := w.text(n, "an address such as 10.8.3.195/24")
	if !ok {
		return p, s, false
	}
	p, err := netip.ParsePrefix(s)
	if addr, aerr := netip.ParseAddr(s); err != nil && aerr == nil {
		p, err = netip.PrefixFrom(addr.WithZone(""), addr.BitLen()), nil
		if addr.Zone() != "" {
			w.fault(n, "%s %v", quote(s), vipgroup.HostAddress(addr))
			return p, s, false
		}
	}
	if err != nil {
		text, length, _ := strings.Cut(s, "/")
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			w.fault(n, "%s: its length %s is out of range; expected a number from 1 to %d%s", quote(s), quote(length), addr.BitLen(), insteadOf(s))
			return p, s, false
		}
		w.fault(n, "%s is not an address%s", quote(s), insteadOf(s))
		return p, s, false
	}
	return p, s, true
}

func (w *walker) witness(n node) {
	w.oneOrMore(n, func(e node) {
		if a, ok := w.address(e); ok {
			w.cfg.Witness = append(w.cfg.Witness, a)
			w.later = append(w.later, func() {
				if w.isVIP(a) {
					w.notice("witness: %v is one of vips, which may be on this host itself, and so says nothing: name a host that always answers", a)
				}
			})
		}
	})
}

// maxPeers is twice as many as there may be nodes: hosts are replaced one by one.
const maxPeers = 2 * vipgroup.MaxNodes

// peers are addresses, or addresses with a port other than chat's.
func (w *walker) peers(n node) {
	w.oneOrMore(n, func(e node) {
		if p, ok := w.peer(e); ok {
			i := len(w.cfg.Peers)
			w.cfg.Peers = append(w.cfg.Peers, p)
			w.later = append(w.later, func() { w.checkPeer(e, i) })
		}
	})
	if len(w.cfg.Peers) > maxPeers {
		w.fault(n, "%d peers; there may be %d", len(w.cfg.Peers), maxPeers)
	}
}

// peer returns an address, with port 0 where it has none.
func (w *walker) peer(n node) (netip.AddrPort, bool) {
	if s, ok := scalarText(n.ast); ok {
		if p, err := netip.ParseAddrPort(s); err == nil {
			if err := ipv4Host(p.Addr()); err != nil {
				w.fault(n, "%s %v", quote(s), err)
				return p, false
			}
			if p.Port() == 0 {
				w.fault(n, "%s: the port is out of range; expected 1 to 65535", quote(s))
			}
			return p, p.Port() != 0
		}
		if host, _, found := strings.Cut(s, ":"); found {
			if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
				w.fault(n, "%s: the port is out of range; expected 1 to 65535", quote(s))
				return netip.AddrPort{}, false
			}
		}
	}
	a, ok := w.address(n)
	return netip.AddrPortFrom(a, 0), ok
}

// checkPeer gives a peer its port and checks it when the whole file is read.
func (w *walker) checkPeer(n node, i int) {
	p := &w.cfg.Peers[i]
	if p.Port() == 0 {
		*p = netip.AddrPortFrom(p.Addr(), w.cfg.Chat.Port())
	}
	if slices.Contains(w.cfg.Peers[:i], *p) {
		w.fault(n, "%v is listed twice", *p)
	}
	if w.isVIP(p.Addr()) {
		w.fault(n, "%v is one of vips, which moves from host to host: name a host's own address", p.Addr())
	}
}

// isVIP says whether an address is one of vips, once the whole file is read.
func (w *walker) isVIP(a netip.Addr) bool {
	return slices.ContainsFunc(w.plan.Groups, func(g vipgroup.Group) bool {
		return slices.ContainsFunc(g.VIPs, func(v vipgroup.VIP) bool { return v.Address.Addr() == a })
	})
}

// notify is a list of "arp-cache" and networks.
func (w *walker) notify(n node) {
	w.list(n, `"arp-cache" and { interface, ip }`, func(e node) {
		if s, ok := scalarText(e.ast); ok {
			if s != "arp-cache" {
				w.fault(e, `%s is neither "arp-cache" nor an object with interface, ip%s`, quote(s), nearOnly(s, []string{"arp-cache"}))
			}
			w.cfg.Notify = append(w.cfg.Notify, Notify{ArpCache: true})
			return
		}
		var t Notify
		w.complete(e, w.object(e, w.notifyFields(&t)), "interface", "ip")
		w.cfg.Notify = append(w.cfg.Notify, t)
	})
}

// notifyFields are the keys of an object in `notify`.
func (w *walker) notifyFields(t *Notify) fields {
	return fields{
		{"interface", func(n node) { t.Interface, _ = w.link(n) }},
		{"ip", func(n node) {
			if p, s, ok := w.prefix(n); ok {
				if err := vipgroup.HostAddress(p.Addr()); err != nil {
					w.fault(n, "%s %v", quote(s), err)
				}
				t.Network = p.Masked()
				if p.Addr().Is4() && p.Bits() < 16 {
					w.notice("%s: of %s at most 65536 hosts that nobody knows are asked for at a time", n.path, t.Network)
				}
			}
		}},
	}
}

// link returns an interface's name.
func (w *walker) link(n node) (string, bool) {
	s, ok := w.text(n, "an interface's name")
	if !ok {
		return "", false
	}
	if err := vipgroup.InterfaceName(s); err != nil {
		hint := ""
		if name, _, alias := strings.Cut(s, ":"); alias && name != "" {
			hint = "; an address needs no alias, write " + printable(name)
		}
		w.fault(n, "%s %v%s", quote(s), err, hint)
		return "", false
	}
	return s, true
}

// complete notes each key that an object should have and has not. given is nil when the
// object was none, which has been said.
func (w *walker) complete(n node, given map[string]node, keys ...string) {
	for _, key := range keys {
		if _, ok := given[key]; !ok && given != nil {
			w.fault(n, "%s is missing", key)
		}
	}
}
