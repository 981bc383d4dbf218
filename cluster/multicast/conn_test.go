package multicast_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/cluster/multicast"
)

var group = netip.MustParseAddrPort("224.0.0.254:5007")

func (s *space) open(interfaces ...string) *multicast.Conn {
	s.t.Helper()
	var conn *multicast.Conn
	s.do("open", func() (err error) {
		conn, err = multicast.Open(multicast.Config{Group: group, Interfaces: interfaces})
		return err
	})
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func (s *space) rescan(c *multicast.Conn) {
	s.t.Helper()
	s.do("rescan", c.Rescan)
}

// send sends to the group and wants it to succeed.
func send(t *testing.T, c *multicast.Conn, text string) {
	t.Helper()
	if err := c.Send([]byte(text), netip.AddrPort{}); err != nil {
		t.Fatalf("send %q: %v", text, err)
	}
}

// patience bounds a wait for what must come; nothing that passes waits for its end.
const patience = 10 * time.Second

// receive returns n packets, with data of their own.
func receive(t *testing.T, c *multicast.Conn, n int) []multicast.Packet {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	var got []multicast.Packet
	var b multicast.Batch
	for len(got) < n {
		if err := c.Read(&b); err != nil {
			t.Fatalf("read after %d of %d packets: %v", len(got), n, err)
		}
		for _, p := range b.Packets {
			p.Data = slices.Clone(p.Data)
			got = append(got, p)
		}
	}
	if len(got) > n {
		t.Fatalf("got %d packets, want %d: %+v", len(got), n, got)
	}
	return got
}

func wantData(t *testing.T, p multicast.Packet, want string) {
	t.Helper()
	if string(p.Data) != want {
		t.Errorf("got %q, want %q", p.Data, want)
	}
}

func TestBothWays(t *testing.T) {
	for _, test := range []struct{ name, addrA, addrB, from string }{
		{"with addresses", "10.0.0.1/24", "10.0.0.2/24", "10.0.0.1:5007"},
		{"without any address", "", "", "0.0.0.0:5007"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := newSpace(t), newSpace(t)
			wire(a, "a0", b, "b0")
			if test.addrA != "" {
				a.address("a0", test.addrA)
				b.address("b0", test.addrB)
			}
			ca, cb := a.open("a0"), b.open(multicast.All)
			send(t, ca, "hello")
			p := receive(t, cb, 1)[0]
			wantData(t, p, "hello")
			if p.From.String() != test.from || p.Link != "b0" || p.Index != b.index("b0") || p.TTL != 255 {
				t.Errorf("got %+v, want from %s on b0 with TTL 255", p, test.from)
			}
			send(t, cb, "answer") // its own datagrams don't come back, so this is all that a sees
			wantData(t, receive(t, ca, 1)[0], "answer")
		})
	}
}

// TestSender: a second process speaks beside the one that has the port.
func TestSender(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	a.address("a0", "10.0.0.1/24")
	a.open("a0")
	cb := b.open(multicast.All)
	var sender *multicast.Conn
	a.do("open a sender", func() (err error) {
		sender, err = multicast.OpenSender(multicast.Config{Group: group, Interfaces: []string{"a0"}})
		return err
	})
	defer sender.Close()
	send(t, sender, "farewell")
	p := receive(t, cb, 1)[0]
	wantData(t, p, "farewell")
	if p.From.Addr().String() != "10.0.0.1" || p.From.Port() == 5007 || p.TTL != 255 {
		t.Errorf("got %+v, want from another port of 10.0.0.1 with TTL 255", p)
	}
}

func TestUnicast(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	a.address("a0", "10.0.0.1/24")
	b.address("b0", "10.0.0.2/24")
	ca, cb := a.open("10.0.0.1"), b.open("10.0.0.2")

	send(t, ca, "to all")
	from := receive(t, cb, 1)[0].From
	if err := cb.Send([]byte("to one"), from); err != nil {
		t.Fatal(err)
	}
	wantData(t, receive(t, ca, 1)[0], "to one")

	if err := cb.Send([]byte("x"), netip.MustParseAddrPort("0.0.0.0:5007")); err == nil {
		t.Error("a peer without an address was sent to")
	}
	if s := cb.Stats(); s.Sent != 1 || s.Links[0].Sent != 0 {
		t.Errorf("got %+v, want one datagram to a peer and none to the group", s)
	}
}

// TestWithoutGroup: peers alone are talked to, nothing goes to or comes from a group, and
// what a host sends to its own address is not for it.
func TestWithoutGroup(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	a.address("a0", "10.0.0.1/24")
	b.address("b0", "10.0.0.2/24")
	a.up("lo")
	own, peer := netip.MustParseAddrPort("10.0.0.1:5007"), netip.MustParseAddrPort("10.0.0.2:5007")
	alone := netip.AddrPortFrom(netip.IPv4Unspecified(), group.Port())
	open := func(s *space, name string) (c *multicast.Conn) {
		s.do("open", func() (err error) {
			c, err = multicast.Open(multicast.Config{Group: alone, Interfaces: []string{name}})
			return err
		})
		t.Cleanup(func() { c.Close() })
		return c
	}
	ca, cb := open(a, "a0"), open(b, "b0")
	send(t, ca, "to nobody")
	b.rescan(cb)
	for _, to := range []netip.AddrPort{own, peer} {
		if err := ca.Send([]byte("to "+to.String()), to); err != nil {
			t.Fatal(err)
		}
	}
	p := receive(t, cb, 1)[0]
	wantData(t, p, "to 10.0.0.2:5007")
	if p.From != own || p.TTL != 255 || p.Link != "b0" {
		t.Errorf("got %+v, want from %v on b0 with TTL 255", p, own)
	}
	wantDrop(t, ca, multicast.Own)
	if links := ca.Stats().Links; len(links) != 1 || links[0].Sent != 0 {
		t.Errorf("links %+v, want a0, with nothing sent to a group", links)
	}
	b.do("look for memberships", func() error {
		text, err := os.ReadFile("/proc/thread-self/net/igmp")
		if err == nil && strings.Contains(string(text), "FE0000E0") { // 224.0.0.254
			err = errors.New("the group was joined")
		}
		return err
	})
}

// wantDrop reads until a datagram was dropped for the reason.
func wantDrop(t *testing.T, c *multicast.Conn, reason multicast.Drop) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	var b multicast.Batch
	for c.Stats().Dropped[reason] == 0 {
		if err := c.Read(&b); err != nil {
			t.Fatalf("waiting for a %s drop: %v (%+v)", reason, err, c.Stats())
		}
		if len(b.Packets) > 0 {
			t.Fatalf("got %+v, want it dropped: %s", b.Packets, reason)
		}
	}
}

// stranger is a plain socket in a namespace, with a hop limit of its own.
func (s *space) stranger(link string, ttl int) *ipv4.PacketConn {
	s.t.Helper()
	var pc *ipv4.PacketConn
	s.do("open a stranger's socket", func() error {
		c, err := net.ListenPacket("udp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		s.t.Cleanup(func() { c.Close() })
		ifi, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		pc = ipv4.NewPacketConn(c)
		return errors.Join(pc.SetMulticastTTL(ttl), pc.SetMulticastInterface(ifi))
	})
	return pc
}

func TestStrangers(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	a.address("a0", "10.0.0.1/24")
	b.address("b0", "10.0.0.2/24")
	cb := b.open("b0")

	// Another socket of the host joins another group; ours must not get that traffic.
	b.do("join another group", func() error {
		c, err := net.ListenPacket("udp4", "0.0.0.0:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		ifi, err := net.InterfaceByName("b0")
		if err != nil {
			return err
		}
		return ipv4.NewPacketConn(c).JoinGroup(ifi, &net.UDPAddr{IP: net.IPv4(224, 0, 0, 253)})
	})
	pc, a0 := a.stranger("a0", 7), &ipv4.ControlMessage{IfIndex: a.index("a0")}
	write := func(text string, ip ...byte) {
		t.Helper()
		if _, err := pc.WriteTo([]byte(text), a0, &net.UDPAddr{IP: ip, Port: int(group.Port())}); err != nil {
			t.Fatal(err)
		}
	}
	write("another group", 224, 0, 0, 253)
	write("everybody", 255, 255, 255, 255)
	write(strings.Repeat("long", 600), 224, 0, 0, 254) // in fragments
	write("seven hops", 224, 0, 0, 254)

	p := receive(t, cb, 1)[0]
	wantData(t, p, "seven hops")
	if p.TTL != 7 {
		t.Errorf("got TTL %d, want 7 as it was sent", p.TTL)
	}
	want := map[multicast.Drop]uint64{multicast.ForeignGroup: 1, multicast.Truncated: 1}
	if got := cb.Stats().Dropped; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got drops %v, want %v (the broadcast; the other group never arrives)", got, want)
	}
}

func TestLargest(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	ca, cb := a.open(), b.open()
	send(t, ca, strings.Repeat("x", 1472))
	if n := len(receive(t, cb, 1)[0].Data); n != 1472 {
		t.Errorf("got %d bytes, want 1472", n)
	}
	err := ca.Send(make([]byte, 1473), netip.AddrPort{})
	var le *multicast.LinkError
	if !errors.Is(err, unix.EMSGSIZE) || !errors.As(err, &le) || le.Link != "a0" || !strings.Contains(err.Error(), "MTU of 1500 leaves 1472") {
		t.Errorf("got error %v, want one that names a0 and what its MTU leaves", err)
	}
	if s := ca.Stats().Links[0]; s.Sent != 1 || s.Failed != 1 {
		t.Errorf("got %+v, want one sent and one failed", s)
	}
}

func TestMoreThanABatch(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	ca, cb := a.open(), b.open()
	const n = 2*multicast.BatchSize + 1
	for i := range n {
		send(t, ca, fmt.Sprint(i))
	}
	// On a veth the datagrams are in the receiver's socket when Send returns, up to the
	// last few that another processor still carries: reading must only keep the order.
	for i, p := range receive(t, cb, n) {
		wantData(t, p, fmt.Sprint(i))
	}
}

func TestBatch(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	ca, cb := a.open(), b.open()
	var batches [2]multicast.Batch
	cb.SetReadDeadline(time.Now().Add(patience))
	for i := range batches {
		send(t, ca, fmt.Sprint("batch ", i))
		for len(batches[i].Packets) == 0 {
			if err := cb.Read(&batches[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, batch := range batches {
		wantData(t, batch.Packets[0], fmt.Sprint("batch ", i))
		if batch.More {
			t.Error("more is claimed to wait than was sent")
		}
	}
}

func TestCloseEndsRead(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	conn := a.open("a0")
	ended := make(chan error)
	go func() { ended <- conn.Read(new(multicast.Batch)) }()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v, want net.ErrClosed", err)
	}
	if err := conn.Send([]byte("x"), group); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v after Close, want net.ErrClosed", err)
	}
}

func TestReadDeadline(t *testing.T) {
	conn := newSpace(t).open()
	conn.SetReadDeadline(time.Now())
	if err := conn.Read(new(multicast.Batch)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got error %v, want os.ErrDeadlineExceeded", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := newSpace(t)
	s.open()
	for _, test := range []struct {
		name, group string
		interfaces  []string
		want        string
	}{
		{"unicast", "10.0.0.1:5007", nil, "not an IPv4 multicast address"},
		{"IPv6", "[ff02::1]:5007", nil, "not an IPv4 multicast address"},
		{"no port", "224.0.0.254:0", nil, "not an IPv4 multicast address"},
		{"IPv6 interface", "224.0.0.254:5008", []string{"fe80::1"}, "chat is IPv4"},
		{"port taken", "224.0.0.254:5007", nil, "another vippyd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.do("open", func() error {
				c, err := multicast.Open(multicast.Config{Group: netip.MustParseAddrPort(test.group), Interfaces: test.interfaces})
				if err == nil {
					c.Close()
				}
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got error %v, want one that says %q", err, test.want)
				}
				return nil
			})
		})
	}
}

func TestSendAllocates(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	conn, data := a.open(), make([]byte, 300)
	if n := testing.AllocsPerRun(100, func() { conn.Send(data, netip.AddrPort{}) }); n > 0 {
		t.Errorf("a datagram to the group allocates %v times", n)
	}
}

func BenchmarkSend(b *testing.B) {
	here, there := newSpace(b), newSpace(b)
	wire(here, "a0", there, "b0")
	conn, data := here.open(), make([]byte, 300)
	for b.Loop() {
		if err := conn.Send(data, netip.AddrPort{}); err != nil {
			b.Fatal(err)
		}
	}
}

// A socket may take the place of another on its port, as when a reload changes the links or
// leaves the group: both are open for a while, and nobody else gets in, then or later.
func TestBeside(t *testing.T) {
	s := newSpace(t)
	old := s.open()
	open := func(c multicast.Config) (conn *multicast.Conn, err error) {
		s.do("open", func() error {
			conn, err = multicast.Open(c)
			return nil
		})
		return conn, err
	}
	next, err := open(multicast.Config{Group: netip.MustParseAddrPort("0.0.0.0:5007"), Beside: old})
	if err != nil {
		t.Fatalf("beside the old one: %v", err)
	}
	defer next.Close()
	for _, when := range []string{"while both are open", "when the old one is closed"} {
		if c, err := open(multicast.Config{Group: group}); err == nil {
			c.Close()
			t.Errorf("%s another one got the port", when)
		}
		old.Close()
	}
	if c, err := open(multicast.Config{Group: group, Beside: next}); err != nil {
		t.Errorf("beside the second one: %v", err)
	} else {
		c.Close()
	}
}

// TestWaiting: what nobody has read yet waits, and nothing else does.
func TestWaiting(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	ca, cb := a.open(), b.open()
	if cb.Waiting() {
		t.Error("something waits that nobody sent")
	}
	send(t, ca, "x")
	for end := time.Now().Add(patience); !cb.Waiting(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was sent doesn't wait")
		}
	}
	receive(t, cb, 1)
	if cb.Waiting() {
		t.Error("what was read waits still")
	}
	cb.Close()
	if cb.Waiting() {
		t.Error("something waits at a closed socket")
	}
}
