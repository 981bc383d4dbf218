package netplumb

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A census reads which hosts this kernel speaks with, and lets the kernel ask anew for those that
// it couldn't reach while a link was down. It has a netlink handle and a goroutine of its own: a
// dump of a large table must not keep addresses from being extended.
type census struct {
	hosts hosts
	// readings carries what was read, the newest first; nobody has to receive it.
	readings chan []Neighbour
	// returned are links that came back, by index (see unresolved).
	returned chan int

	mu      sync.Mutex
	every   time.Duration // 0: never
	managed []vipgroup.VIP
}

func newCensus() *census {
	return &census{readings: make(chan []Neighbour, 1), returned: make(chan int, 16)}
}

// censusTick is how often the census looks whether there is something to do.
const censusTick = time.Second

// run reads every so often, and keeps the collective table merged.
func (c *census) run(ctx context.Context, h *netlink.Handle) {
	tick := time.NewTicker(censusTick)
	defer tick.Stop()
	var last time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case link := <-c.returned:
			unresolved(h, link)
			continue
		case <-tick.C:
		}
		now := Boottime()
		c.mu.Lock()
		every, managed := c.every, c.managed
		c.mu.Unlock()
		if every > 0 && len(managed) > 0 && (last == 0 || now-last >= every) {
			last = now
			c.read(h, now, managed)
		}
		c.hosts.merge(now)
	}
}

// read takes one reading. A failed one is made up for by the next.
func (c *census) read(h *netlink.Handle, now time.Duration, managed []vipgroup.VIP) {
	links, vips := make(map[int]string), make(map[netip.Addr]bool, len(managed))
	seen := make(map[string]bool)
	for _, v := range managed {
		vips[v.Address.Addr()] = true
		if seen[v.Interface] {
			continue
		}
		seen[v.Interface] = true
		if l, err := h.LinkByName(v.Interface); err == nil {
			links[l.Attrs().Index] = v.Interface
		}
	}
	var confirmed []contact
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := h.NeighList(0, family)
		if err != nil {
			continue
		}
		for _, n := range list {
			if who, ok := confirmedHost(n, now); ok && links[n.LinkIndex] != "" && !vips[who.addr] {
				who.link = links[n.LinkIndex]
				confirmed = append(confirmed, who)
			}
		}
	}
	var out []Neighbour
	for _, o := range c.hosts.read(now, confirmed) {
		out = append(out, Neighbour{o.addr, o.mac, now - o.seen})
	}
	select {
	case <-c.readings: // nobody took the former one
	default:
	}
	c.readings <- out
}

// linkReturned says that frames can pass on a link again. It doesn't wait.
func (c *census) linkReturned(index int) {
	select {
	case c.returned <- index:
	default: // so many are waiting that this one can't be in a hurry
	}
}

// unresolved makes the kernel forget whom it asked for in vain while a link was down. It would
// ask for them again within retrans_time, a second (arp(7)), and until then no answer of ours
// would leave for a client or a gateway: the first packet of an address that comes back would
// have to wait for that. Of what is forgotten the next packet asks at once. What another program
// has entered, and looks after, stays.
func unresolved(h *netlink.Handle, link int) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := h.NeighList(link, family)
		if err != nil {
			continue // the link is gone again, or it takes the second
		}
		for _, n := range list {
			others := n.Flags&netlink.NTF_EXT_LEARNED != 0 || n.FlagsExt&netlink.NTF_EXT_MANAGED != 0
			if n.State&(unix.NUD_INCOMPLETE|unix.NUD_FAILED) != 0 && !others {
				_ = h.NeighDel(&n) // it may be gone, or known by now
			}
		}
	}
}

// ticksPerSecond is USER_HZ, in which the kernel tells ages of neighbours on every
// architecture that Go runs on.
const ticksPerSecond = 100

// confirmedHost says whether the kernel knows that a neighbour is there: it answered, or a
// connection with it makes progress (NUD_REACHABLE). What is only remembered (NUD_STALE) may
// be what anybody announced.
func confirmedHost(n netlink.Neigh, now time.Duration) (contact, bool) {
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok || n.State&unix.NUD_REACHABLE == 0 || len(n.HardwareAddr) != len(MAC{}) {
		return contact{}, false
	}
	mac, addr := MAC(n.HardwareAddr), addr.Unmap()
	if mac == (MAC{}) || mac[0]&1 != 0 || addr.IsMulticast() || addr.IsUnspecified() {
		return contact{}, false
	}
	age := time.Duration(n.Confirmed) * time.Second / ticksPerSecond
	return contact{addr: addr, mac: mac, seen: now - age, router: n.Flags&netlink.NTF_ROUTER != 0}, true
}

// manage says which addresses are virtual: they are nobody's neighbours, and only on their
// links it matters who is.
func (c *census) manage(managed []vipgroup.VIP) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.managed = slices.Clone(managed)
}

// pace says how often to read.
func (c *census) pace(every time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.every = every
}

// openCensus opens the handle in the network namespace of the calling thread.
func openCensus() (*netlink.Handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h.RetryInterrupted(), nil
}
