package netplumb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

var (
	us   = MAC{2, 0, 0, 0, 0, 1}
	them = MAC{2, 0, 0, 0, 0, 2}
	vip  = netip.MustParseAddr("10.1.2.3")
	host = netip.MustParseAddr("10.1.2.9")
	none = netip.IPv4Unspecified()
)

// frame builds an ARP frame from them.
func frame(t testing.TB, to MAC, op arp.Operation, spa netip.Addr, tha MAC, tpa netip.Addr) []byte {
	t.Helper()
	p, err := arp.NewPacket(op, them[:], spa, tha[:], tpa)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	f := ethernet.Frame{Destination: to[:], Source: them[:], EtherType: ethernet.EtherTypeARP, Payload: payload}
	b, err := f.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseARP(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want Heard
	}{
		{"answer to our probe", frame(t, us, arp.OperationReply, vip, us, none), Heard{Kind: Answer, Addr: vip, Target: none}},
		{"answer to our kernel", frame(t, us, arp.OperationReply, vip, us, host), Heard{Kind: Answer, Addr: vip, Target: host}},
		{"announcement, request form", frame(t, broadcast, arp.OperationRequest, vip, MAC{}, vip), Heard{Kind: Announcement, Addr: vip, Target: vip}},
		{"announcement, reply form", frame(t, broadcast, arp.OperationReply, vip, them, vip), Heard{Kind: Announcement, Addr: vip, Target: vip}},
		{"announcement, directed", frame(t, us, arp.OperationReply, vip, us, vip), Heard{Kind: Announcement, Addr: vip, Target: vip}},
		{"unasked reply to everybody", frame(t, broadcast, arp.OperationReply, vip, broadcast, host), Heard{Kind: Announcement, Addr: vip, Target: host}},
		{"somebody looks for a host", frame(t, broadcast, arp.OperationRequest, host, MAC{}, vip), Heard{Kind: Other, Addr: host, Target: vip}},
		{"somebody probes", frame(t, broadcast, arp.OperationRequest, none, MAC{}, vip), Heard{Kind: Other, Addr: none, Target: vip}},
	}
	for _, tt := range tests {
		tt.want.MAC = them
		if got, ok := parseARP(tt.in); !ok || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, ok, tt.want)
		}
	}

	good := frame(t, us, arp.OperationReply, vip, us, host)
	with := func(at int, b ...byte) []byte {
		return append(append(append([]byte{}, good[:at]...), b...), good[at+len(b):]...)
	}
	for name, in := range map[string][]byte{
		"cut short":           good[:40],
		"another protocol":    with(12, 0x08, 0x00),
		"not Ethernet":        with(14, 0, 6),
		"not IPv4":            with(16, 0x86, 0xdd),
		"long hardware":       with(18, 8),
		"sixteen-byte hosts":  with(19, 16),
		"RARP":                with(20, 0, 3),
		"sender zero":         with(22, 0, 0, 0, 0, 0, 0),
		"sender is everybody": with(22, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"reply for nobody":    with(28, 0, 0, 0, 0),
	} {
		if h, ok := parseARP(in); ok {
			t.Errorf("%s: believed as %+v", name, h)
		}
	}
}

// What this package sends it must understand in a peer.
func TestFramesAreUnderstood(t *testing.T) {
	frames, err := announcementFrames(them, vip)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if h, ok := parseARP(f); !ok || h.Kind != Announcement || h.Addr != vip || h.MAC != them {
			t.Errorf("announcement %d: %+v, %v", i, h, ok)
		}
	}
	p, err := probeFrame(them, vip)
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := parseARP(p); !ok || h.Kind != Other || h.Addr != none || h.Target != vip {
		t.Errorf("probe: %+v, %v", h, ok)
	}
	if _, err := probeFrame(them, netip.MustParseAddr("2001:db8::1")); err == nil {
		t.Error("a probe for an IPv6 address was built")
	}
}

func FuzzParseARP(f *testing.F) {
	f.Add(frame(f, us, arp.OperationReply, vip, us, host))
	f.Add(frame(f, broadcast, arp.OperationRequest, vip, MAC{}, vip))
	f.Add(frame(f, broadcast, arp.OperationRequest, none, MAC{}, vip)[:20])
	f.Fuzz(func(t *testing.T, in []byte) {
		h, ok := parseARP(in)
		if !ok {
			return
		}
		if !h.Addr.Is4() || !h.Target.Is4() || h.MAC == (MAC{}) || h.MAC == broadcast {
			t.Errorf("believed: %+v", h)
		}
		if h.Kind != Other && h.Addr.IsUnspecified() {
			t.Errorf("a sign of no address: %+v", h)
		}
	})
}

// A flood of strangers displaces nobody who was asked for.
func TestAskedNeighboursStay(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	p.reach(Desired{Links: []string{"eth0"}})
	peer := netip.MustParseAddr("10.1.2.2")
	p.Ask(peer)
	for h := range p.Heard() {
		if h.Addr == peer && h.Kind == Answer {
			break
		}
	}
	a := netip.MustParseAddr("10.2.0.0")
	for range 100 * maxNeighbours { // one that may be displaced is, but for one case in e^99
		a = a.Next()
		p.speaker.neighbours.learn(a, us)
	}
	if mac, ok := p.MAC(peer); !ok || mac != them {
		t.Errorf("after a flood the peer has %v, %v", mac, ok)
	}
}

func TestNeighboursAreBounded(t *testing.T) {
	var n neighbours
	a := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxNeighbours {
		a = a.Next()
		n.learn(a, them)
	}
	if len(n.macs) != maxNeighbours {
		t.Errorf("%d hosts kept, want %d", len(n.macs), maxNeighbours)
	}
	if m, ok := n.mac(a); !ok || m != them {
		t.Errorf("the newest host: %v, %v", m, ok)
	}
	n.learn(none, them)
	if _, ok := n.mac(none); ok {
		t.Error("a probe's sender taught an address")
	}
}

func TestABusyAskerIsHeardNowAndThen(t *testing.T) {
	var l lulls
	start := time.Unix(0, 0)
	at := func(ms int, k HeardKind, mac MAC) bool {
		return l.drop(Heard{Kind: k, MAC: mac, At: start.Add(time.Duration(ms) * time.Millisecond)})
	}
	for _, tt := range []struct {
		ms   int
		kind HeardKind
		mac  MAC
		drop bool
	}{
		{0, Other, us, false}, {1, Other, us, true}, {1, Other, them, false}, {2, Other, them, true},
		{3, Answer, us, false}, {3, Answer, us, false}, {4, Announcement, us, false},
		{24, Other, us, true}, {25, Other, us, false}, {25, Other, them, false}, {49, Other, them, true}, {60, Other, them, false},
	} {
		if got := at(tt.ms, tt.kind, tt.mac); got != tt.drop {
			t.Errorf("after %d ms: %v of %v dropped: %v", tt.ms, tt.kind, tt.mac, got)
		}
	}
}
