package multicast

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// All chooses every link that is up, can do multicast, is not the loopback and not a
// port of a bridge, bond or team.
const All = "all"

// A choice says which links to chat on.
type choice struct {
	all   bool
	names []string
	addrs []netip.Addr
}

func newChoice(words []string) (choice, error) {
	var c choice
	var errs []error
	for _, w := range words {
		addr, err := netip.ParseAddr(w)
		switch {
		case w == All:
			c.all = true
		case err == nil && addr.Is4():
			c.addrs = append(c.addrs, addr)
		case err == nil:
			errs = append(errs, fmt.Errorf("interface %s: chat is IPv4, name the link or one of its IPv4 addresses", w))
		case w == "":
			errs = append(errs, errors.New("an interface without a name"))
		default:
			c.names = append(c.names, w)
		}
	}
	c.all = c.all || len(words) == 0
	return c, errors.Join(errs...)
}

// has says whether a link is chosen.
func (c choice) has(i iface) bool {
	if c.all && !i.port && i.flags&unix.IFF_MULTICAST != 0 && i.flags&unix.IFF_LOOPBACK == 0 {
		return true
	}
	if slices.Contains(c.names, i.name) {
		return true
	}
	if len(c.addrs) == 0 {
		return false
	}
	addrs, err := (&net.Interface{Index: i.index}).Addrs()
	if err != nil {
		return false // it went away since the list was made
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		addr, _ := netip.AddrFromSlice(n.IP)
		return slices.Contains(c.addrs, addr.Unmap())
	})
}

// A link is one that takes part: where there is a group, it was joined there. Lists of
// links are never changed, only replaced.
type link struct {
	name  string
	index int
	mtu   int
	// oob makes a datagram leave by this link (IP_PKTINFO, ip(7)).
	oob   []byte
	count *linkCounters
}

type linkCounters struct{ sent, failed atomic.Uint64 }

// Rescan joins chosen links that appeared and leaves those that are gone or down. It
// costs one look at the list of links when nothing changed. The error joins one for
// each link that could not be joined (*LinkError); the others are served all the same,
// and the next Rescan tries again.
//
// A link that went and came back with the same index between two calls is not noticed:
// the kernel tells nobody that it forgot the membership.
func (c *Conn) Rescan() error {
	c.rescan.Lock()
	defer c.rescan.Unlock()

	want, err := ifaces()
	if err != nil {
		return fmt.Errorf("chat %s: list the links: %w", c.group, err)
	}
	want = slices.DeleteFunc(want, func(i iface) bool { return !c.choice.has(i) })
	old := *c.links.Load()
	chosen := func(l link) bool {
		return slices.ContainsFunc(want, func(i iface) bool { return i.index == l.index })
	}

	// Leave first: a host allows a socket few memberships. The kernel forgets the
	// membership in a link that is gone only when told to, by its old index.
	group := &net.UDPAddr{IP: c.group.Addr().AsSlice()}
	for _, l := range old {
		if chosen(l) {
			continue
		}
		c.log.Info("chat link left: it is down, gone or not chosen any more", "link", l.name, "index", l.index)
		if !c.grouped() {
			continue
		}
		if err := c.pc.LeaveGroup(&net.Interface{Index: l.index}, group); err != nil {
			c.log.Debug("chat link left with an error", "link", l.name, "err", err)
		}
	}

	var errs []error
	links := make([]link, 0, len(want))
	for _, w := range want {
		l := link{name: w.name, index: w.index, mtu: w.mtu}
		if i := slices.IndexFunc(old, func(o link) bool { return o.index == w.index }); i >= 0 {
			l.oob, l.count = old[i].oob, old[i].count
			links = append(links, l)
			continue
		}
		if c.grouped() {
			if err := c.pc.JoinGroup(&net.Interface{Index: w.index}, group); err != nil {
				errs = append(errs, &LinkError{Link: w.name, Err: c.joinError(err)})
				continue
			}
		}
		l.oob = (&ipv4.ControlMessage{IfIndex: w.index}).Marshal()
		l.count = new(linkCounters)
		links = append(links, l)
		c.log.Info("chat link joined", "link", l.name, "index", l.index, "group", c.group)
	}
	slices.SortFunc(links, func(a, b link) int { return cmp.Compare(a.index, b.index) })
	c.links.Store(&links)
	return errors.Join(errs...)
}

func (c *Conn) joinError(err error) error {
	err = fmt.Errorf("join %s: %w", c.group.Addr(), err)
	if errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("%w (too many links for net.ipv4.igmp_max_memberships: raise it, or name fewer in chat_interface)", err)
	}
	return err
}

// String returns the choice as it was configured.
func (c choice) String() string {
	words := slices.Clone(c.names)
	for _, a := range c.addrs {
		words = append(words, a.String())
	}
	if c.all {
		words = append(words, All)
	}
	return strings.Join(words, ", ")
}
