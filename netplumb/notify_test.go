package netplumb

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
)

// knows puts an entry into the kernel's table of neighbours.
func (n *namespace) knows(addr string, mac MAC, state int) {
	n.t.Helper()
	n.must(n.h.NeighSet(&netlink.Neigh{LinkIndex: n.link("eth0").Attrs().Index, IP: net.ParseIP(addr), HardwareAddr: mac[:], State: state}))
}

func TestCensus(t *testing.T) {
	lan := newLAN(t)
	lan.a.knows("10.1.2.2", them, netlink.NUD_REACHABLE)
	lan.a.knows("10.1.2.3", MAC{2, 3}, netlink.NUD_REACHABLE) // virtual
	lan.a.knows("10.1.2.4", MAC{2, 4}, netlink.NUD_STALE)
	lan.a.knows("2001:db8::2", them, netlink.NUD_REACHABLE)
	p, _ := lan.a.start()
	p.Notify(Notify{Every: time.Hour})
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0")))
	var got []Neighbour
	for got == nil { // a reading may have come before the plan
		select {
		case got = <-p.Neighbours():
		case <-time.After(patience):
			t.Fatal("nothing was read")
		}
	}
	var names []string
	for _, n := range got {
		names = append(names, n.Addr.String())
		if n.MAC != them || n.Age < 0 || n.Age > patience {
			t.Errorf("read %+v", n)
		}
	}
	slices.Sort(names)
	if want := []string{"10.1.2.2", "2001:db8::2"}; !slices.Equal(names, want) {
		t.Errorf("read %v, want %v", names, want)
	}
}

// A sniffer sees the ARP frames that come in at a host's eth0.
type sniffer struct {
	t    *testing.T
	conn *packet.Conn
}

func (n *namespace) sniff(t *testing.T) *sniffer {
	t.Helper()
	s := &sniffer{t: t}
	n.must(n.enter(func() (err error) {
		s.conn, err = packet.Listen(&net.Interface{Index: n.link("eth0").Attrs().Index}, packet.Raw, etherTypeARP, nil)
		return err
	}))
	t.Cleanup(func() { _ = s.conn.Close() })
	return s
}

// A told is a frame that tells one host of an address.
type told struct{ vip, to netip.Addr }

// next returns the next frame from us that isn't to be heard by all, and whether only its host
// got it; false when none came in time.
func (s *sniffer) next(wait time.Duration) (f told, directed, ok bool) {
	s.t.Helper()
	buf := make([]byte, 128)
	_ = s.conn.SetReadDeadline(time.Now().Add(wait))
	for {
		n, _, err := s.conn.ReadFrom(buf)
		if err != nil {
			return f, false, false
		}
		var e ethernet.Frame
		var p arp.Packet
		if e.UnmarshalBinary(buf[:n]) != nil || p.UnmarshalBinary(e.Payload) != nil || MAC(e.Source) != us {
			continue
		}
		if p.Operation == arp.OperationRequest && p.SenderIP != p.TargetIP && !p.SenderIP.IsUnspecified() && p.SenderIP.String() != "10.1.2.1" {
			return told{p.SenderIP, p.TargetIP}, MAC(e.Destination) == them, true
		}
	}
}

// Who is known is told alone, on the address's subnet only, twice; those that nobody knows are
// asked for by broadcast.
func TestNoticesReachTheirHosts(t *testing.T) {
	lan := newLAN(t)
	wire := lan.b.sniff(t)
	p, _ := lan.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.9.9.9/32 on eth0")
	p.Notify(Notify{Known: true, Networks: []Network{{"eth0", netip.MustParsePrefix("10.1.2.128/30")}, {"eth1", netip.MustParsePrefix("10.1.2.192/30")}}, Every: time.Hour})
	other := netip.MustParseAddr("10.1.3.77") // of another subnet
	p.Learn("b", 0, 1, []Neighbour{{host, them, time.Second}, {other, them, 0}, {plan[1].Address.Addr(), them, 0}})
	p.reach(granted(nil, plan))
	for len(p.census.hosts.list()) == 0 { // merged within a second
		time.Sleep(20 * time.Millisecond)
	}
	p.reach(granted(plan, plan))

	alone, everybody := map[told]int{}, map[told]int{}
	for len(everybody) < 4 || alone[told{vip, host}] < 2 {
		f, directed, ok := wire.next(patience)
		if !ok {
			t.Fatalf("told alone %v, everybody %v, and no more", alone, everybody)
		}
		if directed {
			alone[f]++
		} else {
			everybody[f]++
		}
	}
	if len(alone) != 1 || alone[told{vip, host}] != 2 {
		t.Errorf("told alone: %v", alone)
	}
	for _, a := range []string{"10.1.2.128", "10.1.2.129", "10.1.2.130", "10.1.2.131"} {
		if everybody[told{vip, netip.MustParseAddr(a)}] != 1 {
			t.Errorf("asked for: %v", everybody)
		}
	}
}

// Who answers is told of the other addresses, alone; what is gone is told of no more.
func TestWhoAnswersIsTold(t *testing.T) {
	lan := newLAN(t)
	wire := lan.b.sniff(t)
	p, _ := lan.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
	p.Notify(Notify{Networks: []Network{{"eth0", netip.MustParsePrefix("10.1.2.0/24")}}, Every: time.Hour})
	p.reach(granted(plan, plan))
	peer := netip.MustParseAddr("10.1.2.2")
	alone := map[netip.Addr]bool{}
	for len(alone) < 2 {
		f, directed, ok := wire.next(patience)
		if !ok {
			t.Fatalf("told of %v, and no more", alone)
		}
		if directed {
			if f.to != peer {
				t.Errorf("told %v", f)
			}
			alone[f.vip] = true
		}
	}
	// Nobody else is there, so the sweep goes on; with the addresses it ends.
	p.reach(granted(nil, plan))
	q, _ := lan.b.start()
	q.reach(granted(nil, plan))
	q.follow(p)
	for {
		if _, _, ok := wire.next(time.Second); !ok {
			break
		}
	}
	q.follow(p)
	if f, _, ok := wire.next(time.Second); ok && plan[0].Address.Addr() == f.vip {
		t.Errorf("told %v after the address was gone", f)
	}
}

// IPv6: who is known gets an advertisement of its own.
func TestNoticesByNeighbourDiscovery(t *testing.T) {
	f := advertisementTo(us, them, host6, vip6, true)
	if MAC(f[:6]) != them || MAC(f[6:12]) != us {
		t.Errorf("from %v to %v", MAC(f[6:12]), MAC(f[:6]))
	}
	if h, ok := parseNDP(f); !ok || h.Kind != Answer || h.Addr != vip6 || h.MAC != us || h.Target != host6 {
		t.Errorf("reads as %+v, %v", h, ok)
	}

	lan := newLAN(t)
	p, _ := lan.a.start()
	q, _ := lan.b.start()
	plan := vips(t, "2001:db8::3/64 on eth0")
	p.Notify(Notify{Known: true, Every: time.Hour})
	known := netip.MustParseAddr("2001:db8::2")
	p.Learn("b", 0, 1, []Neighbour{{known, them, 0}})
	q.reach(granted(nil, plan))
	p.reach(granted(nil, plan))
	for len(p.census.hosts.list()) == 0 {
		time.Sleep(20 * time.Millisecond)
	}
	p.reach(granted(plan, plan))
	q.hears("an advertisement to one host", func(h Heard) bool {
		return h.Kind == Answer && h.Addr == plan[0].Address.Addr() && h.MAC == us && h.Target == known
	})
}

// 100 addresses and a /16 of which nobody is known: the wire sees no more than the rate, of
// which a quarter is for everybody.
func TestALargeNetworkIsNoFlood(t *testing.T) {
	lan := newLAN(t)
	lan.a.add("10.1.0.1/16", "eth0")
	wire := lan.b.sniff(t)
	p, _ := lan.a.start()
	plan := many(100)
	p.Notify(Notify{Known: true, Networks: []Network{{"eth0", netip.MustParsePrefix("10.1.0.0/16")}}, Every: time.Hour})
	p.reach(granted(nil, plan))
	began := Boottime()
	p.reach(granted(plan, plan))
	asked := map[netip.Addr]int{}
	for took := time.Duration(0); took < 3*time.Second; took = Boottime() - began {
		f, directed, ok := wire.next(time.Second)
		if !ok {
			continue
		}
		if !directed {
			asked[f.to]++
		}
		if most := int((Boottime()-began).Seconds()*1000*sweepShare) + burst; len(asked) > most {
			t.Fatalf("%d hosts were asked for after %v, at most %d may be", len(asked), Boottime()-began, most)
		}
	}
	if len(asked) == 0 {
		t.Error("nobody was asked for")
	}
	for a, n := range asked {
		if n > 1 {
			t.Errorf("%v was asked for %d times", a, n)
		}
	}
}
