package netplumb

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
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

// The kernel that has an address replies for it, be it in a subnet of ours or not, and
// though a default route leads elsewhere. Who only answers ARP for it doesn't.
func TestEchoIsAnsweredByTheKernelThatHasIt(t *testing.T) {
	lan := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0", "10.9.9.9/32 on eth0", "2001:db8::3/128 on eth0")
	for _, a := range []string{"10.1.2.3/32", "10.9.9.9/32", "2001:db8::3/64"} {
		lan.b.add(a, "eth0")
	}
	lan.a.add("2001:db8::1/64", "eth0")
	// The neighbour remembers where .4 was.
	index := lan.a.link("eth0").Attrs().Index
	lan.a.must(lan.a.h.NeighSet(&netlink.Neigh{LinkIndex: index, IP: net.IPv4(10, 1, 2, 4), HardwareAddr: them[:], State: netlink.NUD_PERMANENT}))
	lan.a.must(lan.a.h.RouteAdd(&netlink.Route{LinkIndex: index, Gw: net.IPv4(10, 1, 2, 77)}))
	p, _ := lan.a.start()
	p.reach(granted(nil, plan))
	memory := plan[1].Address.Addr()
	p.echoed([]netip.Addr{plan[0].Address.Addr(), plan[2].Address.Addr(), plan[3].Address.Addr()}, memory)
	if len(p.errs) > 0 {
		t.Errorf("errors: %v", p.errs)
	}
}

// The silence of what could not be asked says nothing, so it counts as answered.
func TestWhatCannotBeAskedByEchoCountsAsAnswered(t *testing.T) {
	lan := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth9")
	p, _ := lan.a.start()
	p.reach(granted(nil, plan))
	p.Echo(plan[0].Address.Addr())
	h := p.hears("that it was not asked", func(h Heard) bool { return h.Kind == Echo })
	if h.Addr != plan[0].Address.Addr() || h.At.IsZero() {
		t.Errorf("heard %+v", h)
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
