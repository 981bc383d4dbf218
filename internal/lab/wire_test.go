package lab

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// A cut of the wire must be silent (the carrier stays), exactly as wide as it says, for
// known and unknown hardware addresses, and whole again afterwards.
func TestWireCuts(t *testing.T) {
	kernel(t)
	w, err := newWire([]string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	a, b, c := w.ports[0], w.ports[1], w.ports[2]
	socks := map[*port]*net.UDPConn{}
	for _, p := range w.ports {
		err := p.space.do(func() (err error) {
			socks[p], err = net.ListenUDP("udp4", &net.UDPAddr{Port: 9})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer socks[p].Close()
		// Fixed neighbours: no datagram may wait for ARP in one step and arrive in another.
		for _, other := range w.ports {
			if other != p {
				err := p.inside.NeighSet(&netlink.Neigh{LinkIndex: p.link.Attrs().Index, State: netlink.NUD_PERMANENT,
					IP: other.addr.AsSlice(), HardwareAddr: other.mac})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	// hears says whether a broadcast and a unicast datagram arrive.
	words := 0
	hears := func(from, to *port, wanted bool) bool {
		t.Helper()
		buf := make([]byte, 64)
		words++
		for _, ip := range []net.IP{to.addr.AsSlice(), {10, 99, 255, 255}} {
			word := fmt.Sprintf("%d %v", words, ip)
			_, err := socks[from].WriteToUDP([]byte(word), &net.UDPAddr{IP: ip, Port: 9})
			if err != nil && !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Fatal(err)
			}
		}
		heard := 0
		for {
			socks[to].SetReadDeadline(time.Now().Add(hearsWithin(wanted)))
			n, _, err := socks[to].ReadFromUDP(buf)
			if err != nil {
				if heard == 1 {
					t.Errorf("%s hears only one of unicast and broadcast of %s", to.space.name, from.space.name)
				}
				return heard > 0
			}
			if strings.HasPrefix(string(buf[:n]), fmt.Sprint(words, " ")) {
				heard++
			}
			if heard == 2 {
				return true
			}
		}
	}
	whole := map[[2]*port]bool{{a, b}: true, {b, a}: true, {a, c}: true, {c, a}: true, {b, c}: true, {c, b}: true}
	check := func(what string, cut ...[2]*port) {
		t.Helper()
		want := map[[2]*port]bool{}
		for pair := range whole {
			want[pair] = true
		}
		for _, pair := range cut {
			want[pair] = false
		}
		for pair, want := range want {
			if got := hears(pair[0], pair[1], want); got != want {
				t.Errorf("%s: %s hears %s: %v, want %v", what, pair[1].space.name, pair[0].space.name, got, want)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check("whole")
	must(a.input(false))
	check("a without input", [2]*port{b, a}, [2]*port{c, a})
	must(a.input(true))
	check("mended")
	must(a.output(false))
	check("a without output", [2]*port{a, b}, [2]*port{a, c})
	link, err := a.inside.LinkByName(linkName)
	must(err)
	if link.Attrs().RawFlags&syscall.IFF_RUNNING == 0 {
		t.Error("a lost its carrier")
	}
	must(a.output(true))
	check("mended")
	must(a.both(false))
	check("a cut", [2]*port{a, b}, [2]*port{a, c}, [2]*port{b, a}, [2]*port{c, a})
	must(a.both(true))
	must(a.isolate(true))
	must(b.isolate(true))
	check("a and b split", [2]*port{a, b}, [2]*port{b, a})
	must(a.isolate(false))
	must(b.isolate(false))
	must(a.carrier(false))
	check("a unplugged", [2]*port{a, b}, [2]*port{a, c}, [2]*port{b, a}, [2]*port{c, a})
	link, err = a.inside.LinkByName(linkName)
	must(err)
	if link.Attrs().RawFlags&syscall.IFF_RUNNING != 0 {
		t.Error("a kept its carrier")
	}
	must(a.carrier(true))
	for link.Attrs().RawFlags&syscall.IFF_RUNNING == 0 { // the kernel may take a second
		link, err = a.inside.LinkByName(linkName)
		must(err)
	}
	check("mended")
}
