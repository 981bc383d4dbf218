package multicast_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vippy-ha/vippy/cluster/multicast"
)

func TestManyLinks(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	wire(a, "a1", b, "b1")
	wire(a, "a2", b, "b2")
	ca := a.open(multicast.All)
	cb := b.open("b0", "b1")
	send(t, ca, "hello")
	send(t, ca, "again")

	var got []string
	for _, p := range receive(t, cb, 4) {
		got = append(got, p.Link+" "+string(p.Data))
	}
	want := []string{"b0 hello", "b1 hello", "b0 again", "b1 again"}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A datagram by unicast can come over a link that was not chosen; one to the group
// can't, as the socket is no member there.
func TestForeignLink(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	wire(a, "a1", b, "b1")
	a.address("a1", "10.0.1.1/24")
	b.address("b1", "10.0.1.2/24")
	ca, cb := a.open(multicast.All), b.open("b0")
	if err := ca.Send([]byte("by b1"), netip.MustParseAddrPort("10.0.1.2:5007")); err != nil {
		t.Fatal(err)
	}
	wantDrop(t, cb, multicast.ForeignLink)
	send(t, ca, "by b0")
	wantData(t, receive(t, cb, 1)[0], "by b0")
}

func TestLinksComeAndGo(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	ca, cb := a.open("a0", "a1"), b.open()

	links := func(c *multicast.Conn) (names []string) {
		for _, l := range c.Stats().Links {
			names = append(names, l.Name)
		}
		return names
	}
	step := func(name string, want ...string) {
		t.Helper()
		a.rescan(ca)
		b.rescan(cb)
		if got := links(ca); !slices.Equal(got, want) {
			t.Fatalf("%s: joined %q, want %q", name, got, want)
		}
		for i := range 2 {
			text := fmt.Sprint(name, i)
			if len(want) == 0 {
				if err := ca.Send([]byte(text), netip.AddrPort{}); err == nil || !strings.Contains(err.Error(), "no link to send on") {
					t.Fatalf("%s: got error %v, want one that says that there is no link", name, err)
				}
				continue
			}
			send(t, ca, text)
			for _, p := range receive(t, cb, len(want)) {
				wantData(t, p, text)
			}
			send(t, cb, text)
			for _, p := range receive(t, ca, len(want)) {
				wantData(t, p, text)
			}
		}
	}

	step("at first", "a0")
	wire(a, "a1", b, "b1")
	step("a second link comes", "a0", "a1")

	a.down("a0")
	// Before anybody noticed: the other link is served, and the error names this one.
	err := ca.Send([]byte("unnoticed"), netip.AddrPort{})
	var le *multicast.LinkError
	if !errors.As(err, &le) || le.Link != "a0" {
		t.Errorf("got error %v, want one for a0", err)
	}
	wantData(t, receive(t, cb, 1)[0], "unnoticed")
	b.down("b0")
	step("the first is down", "a1")

	plug(a, "a0", b, "b0")
	step("up again", "a0", "a1")

	a.remove("a1")
	step("the second is deleted", "a0")
	for range 25 { // more than the kernel allows memberships: each must be left
		wire(a, "a1", b, "b1")
		step("made anew", "a0", "a1")
		a.remove("a1")
	}
	a.remove("a0")
	step("none is left")
	wire(a, "a0", b, "b0")
	step("the first is back", "a0")
}

// What is part of a bridge is left alone by All, as the bridge speaks for it, but can
// be had by name.
func TestBridge(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	wire(a, "a1", b, "b1")
	a.do("make a bridge", func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "bridge0"
		bridge := &netlink.Bridge{LinkAttrs: attrs}
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		port, err := netlink.LinkByName("a0")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetUp(bridge), netlink.LinkSetMaster(port, bridge))
	})
	for _, test := range []struct{ choose, want []string }{
		{[]string{multicast.All}, []string{"a1", "bridge0"}},
		{[]string{"a0"}, []string{"a0"}},
	} {
		conn := a.open(test.choose...)
		var got []string
		for _, l := range conn.Stats().Links {
			got = append(got, l.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, test.want) {
			t.Errorf("%q: joined %q, want %q", test.choose, got, test.want)
		}
		conn.Close()
	}
}

// A link without carrier is up but leads nowhere: it must not cost the others anything.
func TestNoCarrier(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	wire(a, "a1", b, "b1")
	ca, cb := a.open(), b.open("b1")
	b.down("b0")
	a.await("a0", false)
	const n = 1500 // more than any queue holds
	for i := range n {
		ca.Send([]byte{byte(i)}, netip.AddrPort{})
		receive(t, cb, 1)
	}
	if l := ca.Stats().Links[1]; l.Sent != n || l.Failed != 0 {
		t.Errorf("got %+v, want all %d sent", l, n)
	}
}

func TestTooManyLinks(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	for i := range 21 { // net.ipv4.igmp_max_memberships is 20
		wire(a, fmt.Sprint("a", i), b, fmt.Sprint("b", i))
	}
	ca, cb := a.open(), b.open("b0")
	a.do("rescan", func() error {
		err := ca.Rescan()
		var le *multicast.LinkError
		if !errors.As(err, &le) || !strings.Contains(err.Error(), "igmp_max_memberships") {
			t.Errorf("got error %v, want one that names a link and the limit", err)
		}
		return nil
	})
	send(t, ca, "hello")
	wantData(t, receive(t, cb, 1)[0], "hello")
}

// VIPs on a link don't make it another one.
func TestChosenByAddress(t *testing.T) {
	a, b := newSpace(t), newSpace(t)
	wire(a, "a0", b, "b0")
	conn := a.open("10.0.0.1")
	if n := len(conn.Stats().Links); n != 0 {
		t.Fatalf("%d links joined before the address was there", n)
	}
	a.address("a0", "10.0.0.1/24")
	a.address("a0", "10.0.0.99/32")
	a.rescan(conn)
	if l := conn.Stats().Links; len(l) != 1 || l[0].Name != "a0" {
		t.Fatalf("got %+v, want a0 joined", l)
	}
	a.link("a0", func(l netlink.Link) error {
		addr, err := netlink.ParseAddr("10.0.0.1/24")
		if err != nil {
			return err
		}
		return netlink.AddrDel(l, addr)
	})
	a.rescan(conn)
	if l := conn.Stats().Links; len(l) != 0 {
		t.Errorf("got %+v, want a0 left", l)
	}
}

func BenchmarkRescan(b *testing.B) {
	here, there := newSpace(b), newSpace(b)
	for i := range 10 {
		wire(here, fmt.Sprint("a", i), there, fmt.Sprint("b", i))
	}
	conn := here.open()
	here.do("rescan", func() (err error) {
		for b.Loop() {
			err = errors.Join(err, conn.Rescan())
		}
		return err
	})
}
