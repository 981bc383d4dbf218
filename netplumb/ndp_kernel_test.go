package netplumb

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// add6 puts an IPv6 address there by hand that answers at once.
func (n *namespace) add6(addr, link string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(addr)
	n.must(err)
	a.Flags = unix.IFA_F_NODAD
	n.must(n.h.AddrReplace(n.link(link), a))
}

// sysctl6 sets one of eth0's values under net.ipv6.conf.
func (n *namespace) sysctl6(name, value string) {
	n.t.Helper()
	err := n.enter(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/"+name, []byte(value), 0) })
	if errors.Is(err, unix.EROFS) {
		n.t.Skip("/proc/sys can't be written here")
	}
	n.must(err)
}

// answered asks for addresses, of which the last one is there, as often as the daemon does
// until one is answered. The kernel joins the group of an address's solicitations a moment
// after the address was added, in a worker.
func (r *running) answered(addrs ...netip.Addr) Heard {
	r.t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		r.Ask(addrs...)
		select {
		case h := <-r.Heard():
			if h.Kind == Answer {
				return h
			}
		case <-tick.C:
		case <-late:
			r.t.Fatal("never heard an answer")
		}
	}
}

func TestAskIPv6IsAnsweredByTheOtherKernel(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "2001:db8::3/128 on eth0", "2001:db8::4/128 on eth0")
	there, absent := plan[0].Address.Addr(), plan[1].Address.Addr()
	p.reach(granted(nil, plan))
	net.b.add6("2001:db8::3/128", "eth0")
	h := p.answered(absent, there)
	if h.Addr != there || h.MAC != them || h.Link != "eth0" || h.At.IsZero() {
		t.Errorf("heard %+v", h)
	}
	if m, ok := p.MAC(there); !ok || m != them {
		t.Errorf("learned %v, %v", m, ok)
	}
}

// A daemon that asks is answered by the kernel where another daemon plumbed the address,
// and doesn't disturb it.
func TestAskIPv6IsAnsweredWhereItIsPlumbed(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	q, _ := net.b.start()
	plan := vips(t, "2001:db8::3/64 on eth0")
	p.reach(granted(nil, plan))
	q.reach(granted(plan, plan))
	p.answered(plan[0].Address.Addr())
	for range 20 {
		p.Ask(plan[0].Address.Addr())
		p.hears("an answer", func(h Heard) bool { return h.Kind == Answer && h.MAC == them })
	}
	q.read()
	if len(q.last.Lost) > 0 || len(q.last.Present) != 1 {
		t.Errorf("the holder has %v, lost %v", q.last.Present, q.last.Lost)
	}
}

// Taking an address moves a neighbour's fresh entry, and the neighbour's daemon hears it:
// by the schedule, on demand, and not once it is gone.
func TestAdvertisementMovesTheNeighbour(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "2001:db8::3/128 on eth0")
	addr := plan[0].Address.Addr()
	old := MAC{2, 0, 0, 0, 0, 9}
	net.b.must(net.b.h.NeighSet(&netlink.Neigh{LinkIndex: net.b.link("eth0").Attrs().Index, IP: addr.AsSlice(),
		HardwareAddr: old[:], State: netlink.NUD_REACHABLE}))
	p, _ := net.a.start()
	q, _ := net.b.start()
	q.reach(granted(nil, plan))
	p.reach(granted(plan, plan))
	announced := func(h Heard) bool { return h.Kind == Announcement && h.Addr == addr && h.MAC == us }
	q.hears("an announcement", announced)
	if n := net.b.neighbour(addr); n == nil || MAC(n.HardwareAddr) != us {
		t.Errorf("the neighbour has %v", n)
	}
	for range 3 { // the rest of the first 100 ms
		q.hears("the schedule", announced)
	}
	for range 20 {
		p.Announce(addr)
		q.hears("an announcement on demand", announced)
	}
	p.reach(granted(nil, plan))
	q.follow(p)
	for range 20 { // one alone may be held back by the rate
		p.Announce(addr)
		if n := q.follow(p); n > 0 {
			t.Fatalf("%d announcements after it was removed", n)
		}
	}
}

// Two that have one address hear of each other, and neither kernel gives way.
func TestIPv6ConflictIsHeard(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "2001:db8::3/128 on eth0")
	addr := plan[0].Address.Addr()
	p, _ := net.a.start()
	q, _ := net.b.start()
	p.reach(granted(plan, plan))
	q.reach(granted(plan, plan))
	p.hears("the other", func(h Heard) bool { return h.Kind == Announcement && h.Addr == addr && h.MAC == them })
	p.Announce(addr)
	q.hears("the first", func(h Heard) bool { return h.Kind == Announcement && h.Addr == addr && h.MAC == us })
	for _, r := range []*running{p, q} {
		r.read()
		if len(r.last.Present) != 1 || len(r.last.Lost) > 0 {
			t.Errorf("present %v, lost %v", r.last.Present, r.last.Lost)
		}
	}
}

// What the host begins by itself doesn't come from a VIP.
func TestIPv6VIPIsNoSource(t *testing.T) {
	net := newLAN(t)
	net.a.add6("2001:db8::1/64", "eth0")
	p, _ := net.a.start()
	plan := vips(t, "2001:db8::ff03/64 on eth0")
	p.reach(granted(plan, plan))
	// By RFC 6724 the VIP would be the better one: it has more bits in common.
	routes, err := net.a.h.RouteGet(netip.MustParseAddr("2001:db8::ff02").AsSlice())
	net.a.must(err)
	if got, _ := netip.AddrFromSlice(routes[0].Src); got != netip.MustParseAddr("2001:db8::1") {
		t.Errorf("the source is %v", got)
	}
}

func TestLinkSaysWhatItDoesWithIPv6(t *testing.T) {
	net := newLAN(t)
	x := func() (f linkFacts) {
		t.Helper()
		net.a.must(net.a.enter(func() error {
			x, err := openRequester()
			if err != nil {
				return err
			}
			defer x.close()
			f, _, err = x.link("eth0")
			return err
		}))
		return f
	}
	if f := x(); f.router || f.noIPv6 {
		t.Errorf("a host: %+v", f)
	}
	net.a.sysctl6("forwarding", "1")
	if f := x(); !f.router || f.noIPv6 {
		t.Errorf("a router: %+v", f)
	}

	// Where it is disabled, VIPs can be neither had nor asked for, and that is told.
	p, _ := net.a.start()
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0", "2001:db8::3/64 on eth0")))
	p.until("able", func(r Report) bool { return r.Links[0].Deaf == nil })
	net.a.sysctl6("disable_ipv6", "1")
	r := p.until("deaf", func(r Report) bool { return r.Links[0].Deaf != nil })
	if got, want := r.Links[0].Deaf.Error(), "IPv6 is disabled (sysctl net.ipv6.conf.eth0.disable_ipv6)"; got != want {
		t.Errorf("deaf for %q, want %q", got, want)
	}
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0"))) // which doesn't matter without IPv6 VIPs
	p.until("able without IPv6", func(r Report) bool { return r.Links[0].Deaf == nil })
}
