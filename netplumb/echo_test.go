package netplumb

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// echoed asks again and again until the addresses that should reply did, and fails when
// another does. Requests may be lost while the kernels find each other.
func (r *running) echoed(replies []netip.Addr, silent ...netip.Addr) {
	r.t.Helper()
	late := time.After(patience)
	for missing := slices.Clone(replies); len(missing) > 0; {
		r.Echo(slices.Concat(silent, missing)...)
		pause := time.After(100 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case h := <-r.Heard():
				if h.Kind != Echo {
					continue
				}
				if slices.Contains(silent, h.Addr) {
					r.t.Fatalf("what nobody has replied: %+v", h)
				}
				missing = slices.DeleteFunc(missing, func(a netip.Addr) bool { return a == h.Addr })
			case <-pause:
				waiting = false
			case <-late:
				r.t.Fatalf("%v never replied", missing)
			}
		}
	}
}

// meets asks for addresses until it was heard who has them.
func (r *running) meets(addrs ...netip.Addr) {
	r.t.Helper()
	late := time.After(patience)
	for {
		missing := slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { _, ok := r.MAC(a); return ok })
		if len(missing) == 0 {
			return
		}
		r.Ask(missing...)
		pause := time.After(50 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case <-r.Heard():
			case <-pause:
				waiting = false
			case <-late:
				r.t.Fatalf("nobody answered for %v", missing)
			}
		}
	}
}

// The kernel that has an address replies for it, be it in a subnet of ours or not, and
// though a default route leads elsewhere. Who only answers ARP for it doesn't.
func TestEchoIsAnsweredByTheKernelThatHasIt(t *testing.T) {
	lan := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0", "10.9.9.9/32 on eth0", "2001:db8::3/128 on eth0")
	for _, a := range []string{"10.1.2.3/32", "10.9.9.9/32"} {
		lan.b.add(a, "eth0")
	}
	lan.b.add6("2001:db8::3/64", "eth0")
	lan.a.add6("2001:db8::1/64", "eth0")
	index := lan.a.link("eth0").Attrs().Index
	lan.a.must(lan.a.h.RouteAdd(&netlink.Route{LinkIndex: index, Gw: net.IPv4(10, 1, 2, 77)}))
	p, _ := lan.a.start()
	p.reach(granted(nil, plan))
	memory := plan[1].Address.Addr()
	p.speaker.neighbours.learn(memory, them) // a switch remembers where it was
	there := []netip.Addr{plan[0].Address.Addr(), plan[2].Address.Addr(), plan[3].Address.Addr()}
	p.meets(there...)
	p.echoed(there, memory)
	if len(p.errs) > 0 {
		t.Errorf("errors: %v", p.errs)
	}
}

// However many addresses are asked, the kernel's table of neighbours has room for those that
// it speaks to: it learns none of them.
func TestEchoTeachesTheKernelNoNeighbours(t *testing.T) {
	lan := newLAN(t)
	plan := many(50)
	for i := range 5 {
		plan = append(plan, vips(t, fmt.Sprintf("2001:db8::1:%d/128 on eth0", i+1))...)
	}
	var addrs []netip.Addr
	for _, v := range plan {
		put := lan.b.add
		if v.Address.Addr().Is6() {
			put = lan.b.add6
		}
		put(v.Address.String(), "eth0")
		addrs = append(addrs, v.Address.Addr())
	}
	lan.a.add6("2001:db8::1/64", "eth0")
	lan.b.add6("2001:db8::2/64", "eth0")
	// Else b asks for a in the name of the first address from which it replies.
	for _, ip := range []string{"10.1.2.1", "2001:db8::1"} {
		lan.b.must(lan.b.h.NeighSet(&netlink.Neigh{LinkIndex: lan.b.link("eth0").Attrs().Index, IP: net.ParseIP(ip), HardwareAddr: us[:], State: netlink.NUD_PERMANENT}))
	}
	p, _ := lan.a.start()
	p.reach(granted(nil, plan))
	p.meets(addrs...)
	p.echoed(addrs)
	for _, a := range addrs {
		if n := lan.a.neighbour(a); n != nil {
			t.Errorf("the kernel learned %v", n)
		}
	}
}

// The silence of what could not be asked says nothing, so it counts as answered.
func TestWhatCannotBeAskedByEchoCountsAsAnswered(t *testing.T) {
	for name, tt := range map[string]struct {
		vip   string
		known bool
	}{
		"there is no such link":    {"10.1.2.3/32 on eth9", true},
		"nobody was heard with it": {"10.1.2.3/32 on eth0", false},
	} {
		t.Run(name, func(t *testing.T) {
			lan := newLAN(t)
			plan := vips(t, tt.vip)
			addr := plan[0].Address.Addr()
			p, _ := lan.a.start()
			p.reach(granted(nil, plan))
			if tt.known {
				p.speaker.neighbours.learn(addr, them)
			}
			p.Echo(addr)
			h := p.hears("that it was not asked", func(h Heard) bool { return h.Kind == Echo })
			if h.Addr != addr || h.At.IsZero() {
				t.Errorf("heard %+v", h)
			}
		})
	}
}

// A request goes out from an address of this host that stays, on the link where it asks, and
// best from one whose subnet the other has, too.
func TestFromWhereIsAskedByEcho(t *testing.T) {
	vip := netip.MustParsePrefix("10.1.2.9/24")
	w := &worker{plan: map[place]bool{{vip.Addr(), "eth0"}: true}}
	for _, a := range []string{"10.1.2.9/24 eth0", "10.7.0.1/24 eth0", "10.1.2.2/24 eth1", "10.1.2.1/24 eth0", "fe80::1/64 eth0", "2001:db8::1/64 eth0"} {
		address, link, _ := strings.Cut(a, " ")
		w.have = append(w.have, Observed{Address: netip.MustParsePrefix(address), Link: link})
	}
	w.have = append(w.have,
		Observed{Address: netip.MustParsePrefix("10.1.2.8/24"), Link: "eth0", Mark: Mark},
		Observed{Address: netip.MustParsePrefix("2001:db8:5::1/64"), Link: "eth0", Flags: unix.IFA_F_TENTATIVE})
	for _, tt := range []struct{ link, to, want string }{
		{"eth0", "10.1.2.9", "10.1.2.1"},
		{"eth0", "10.9.9.9", "10.7.0.1"},
		{"eth1", "10.9.9.9", "10.1.2.2"},
		{"eth0", "2001:db8:5::9", "2001:db8::1"},
		{"eth0", "fe80::9", "fe80::1"},
	} {
		if got, ok := w.sourceFor(tt.link, netip.MustParseAddr(tt.to)); !ok || got.String() != tt.want {
			t.Errorf("%s on %s is asked from %v, want %s", tt.to, tt.link, got, tt.want)
		}
	}
	if got, ok := w.sourceFor("eth1", netip.MustParseAddr("2001:db8::9")); ok {
		t.Errorf("asked from %v, which is another family's or another link's", got)
	}
}

func TestOnlyRepliesToUsAreHeard(t *testing.T) {
	nonce := []byte("0123456789abcdef")
	message := func(kind icmp.Type, data []byte) []byte {
		b, err := (&icmp.Message{Type: kind, Body: &icmp.Echo{ID: 7, Seq: 1, Data: data}}).Marshal(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tt := range []struct {
		name   string
		family echoFamily
		packet []byte
		want   bool
	}{
		{"a reply", echo4, message(ipv4.ICMPTypeEchoReply, nonce), true},
		{"a reply of IPv6", echo6, message(ipv6.ICMPTypeEchoReply, nonce), true},
		{"a reply to somebody else", echo4, message(ipv4.ICMPTypeEchoReply, []byte("another")), false},
		{"a reply with more", echo4, message(ipv4.ICMPTypeEchoReply, append(slices.Clone(nonce), 0)), false},
		{"a request", echo4, message(ipv4.ICMPTypeEcho, nonce), false},
		{"half a reply", echo4, message(ipv4.ICMPTypeEchoReply, nonce)[:6], false},
		{"nothing", echo4, nil, false},
	} {
		e := &echo{family: tt.family, nonce: nonce}
		if got := e.isReply(tt.packet); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func FuzzEchoReply(f *testing.F) {
	e := &echo{family: echo4, nonce: []byte("0123456789abcdef")}
	good, _ := (&icmp.Message{Type: ipv4.ICMPTypeEchoReply, Body: &icmp.Echo{Data: e.nonce}}).Marshal(nil)
	f.Add(good)
	f.Fuzz(func(t *testing.T, in []byte) {
		if e.isReply(in) && (len(in) != len(good) || in[0] != good[0]) {
			t.Errorf("believed %x", in)
		}
	})
}
