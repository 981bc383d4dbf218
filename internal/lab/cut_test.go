package lab

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A talk is sockets of hosts that know each other's hardware addresses, so that nothing
// waits for ARP in one step and arrives in another.
type talk struct {
	conns map[*port]map[int]*net.UDPConn
	words int
}

func newTalk(t *testing.T, hosts []*port, numbers ...int) *talk {
	t.Helper()
	k := &talk{conns: map[*port]map[int]*net.UDPConn{}}
	for _, p := range hosts {
		k.conns[p] = map[int]*net.UDPConn{}
		for _, number := range numbers {
			err := p.space.do(func() (err error) {
				k.conns[p][number], err = net.ListenUDP("udp4", &net.UDPAddr{Port: number})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { k.conns[p][number].Close() })
		}
		for _, other := range hosts {
			if other == p {
				continue
			}
			if err := p.inside.NeighSet(&netlink.Neigh{LinkIndex: p.link.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: other.addr.AsSlice(), HardwareAddr: other.mac}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return k
}

// hearsWithin is how long to listen for what is to come, or is not.
func hearsWithin(wanted bool) time.Duration {
	if wanted {
		return 10 * time.Second
	}
	return 100 * time.Millisecond
}

// hears says whether a datagram to a UDP port arrives, and whether it was refused at once.
func (k *talk) hears(t *testing.T, from, to *port, number int, wanted bool) (heard, refused bool) {
	t.Helper()
	k.words++
	word := fmt.Sprint(k.words)
	_, err := k.conns[from][number].WriteToUDP([]byte(word), &net.UDPAddr{IP: to.addr.AsSlice(), Port: number})
	refused = errors.Is(err, unix.EPERM)
	if err != nil && !refused {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	for {
		k.conns[to][number].SetReadDeadline(time.Now().Add(hearsWithin(wanted)))
		n, _, err := k.conns[to][number].ReadFromUDP(buf)
		if err != nil {
			return false, refused
		}
		if string(buf[:n]) == word {
			return true, refused
		}
	}
}

// Each filter drops exactly what it says: chat or the other nodes, in its direction, and
// nothing of the service; a heal undoes it.
func TestFilters(t *testing.T) {
	c := bench(t)
	a, b, client := c.nodes[0], c.nodes[1], c.client
	const service = 9
	k := newTalk(t, c.wire.ports, service, chatPort)
	type way struct {
		from, to *port
		number   int
	}
	ways := []way{{a.port, b.port, chatPort}, {b.port, a.port, chatPort}, {a.port, b.port, service}, {b.port, a.port, service},
		{client, a.port, service}, {a.port, client, service}, {b.port, client, service}}
	for _, tt := range []struct {
		name string
		do   func() error
		cut  []way
		// refused: the sender is told.
		refused bool
	}{
		{"nothing", func() error { return nil }, nil, false},
		{"mute", func() error { return c.mute(a) }, []way{ways[0]}, false},
		{"firewall", func() error { return c.firewall(a) }, []way{ways[0], ways[1]}, true},
		{"firewall-in", func() error { return c.firewallIn(a) }, []way{ways[1]}, false},
		{"one-way-in", func() error { return c.oneWayIn(a) }, []way{ways[1], ways[3]}, false},
		{"one-way-out", func() error { return c.oneWayOut(a) }, []way{ways[0], ways[2]}, false},
		{"both ways", func() error { return errors.Join(c.oneWayIn(a), c.oneWayOut(a)) }, ways[:4], false},
	} {
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		for _, w := range ways {
			cut := false
			for _, other := range tt.cut {
				cut = cut || w == other
			}
			heard, refused := k.hears(t, w.from, w.to, w.number, !cut)
			if heard == cut || refused != (tt.refused && cut && w.from == a.port) {
				t.Errorf("%s: %s hears %s on port %d: %v (refused: %v), want %v", tt.name, w.to.space.name, w.from.space.name, w.number, heard, refused, !cut)
			}
		}
		if err := c.heal(); err != nil {
			t.Fatal(err)
		}
		for _, w := range ways {
			if heard, _ := k.hears(t, w.from, w.to, w.number, true); !heard {
				t.Errorf("after %s: %s does not hear %s on port %d", tt.name, w.to.space.name, w.from.space.name, w.number)
			}
		}
	}
}

// A switch without multicast carries everything else.
func TestDropMulticast(t *testing.T) {
	c := bench(t)
	a, b := c.nodes[0], c.nodes[1]
	k := newTalk(t, []*port{a.port, b.port}, chatPort)
	group := &net.UDPAddr{IP: net.IPv4(224, 0, 0, 254), Port: chatPort}
	eth0 := func(n *node) *net.Interface { return &net.Interface{Index: n.link.Attrs().Index} }
	if err := ipv4.NewPacketConn(k.conns[b.port][chatPort]).JoinGroup(eth0(b), group); err != nil {
		t.Fatal(err)
	}
	if err := ipv4.NewPacketConn(k.conns[a.port][chatPort]).SetMulticastInterface(eth0(a)); err != nil {
		t.Fatal(err)
	}
	for _, drops := range []bool{false, true} {
		if drops {
			f, err := c.wire.dropMulticast()
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
		}
		for _, to := range []*net.UDPAddr{group, {IP: b.addr.AsSlice(), Port: chatPort}} {
			if _, err := k.conns[a.port][chatPort].WriteToUDP([]byte(to.String()), to); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for buf := make([]byte, 64); ; {
			k.conns[b.port][chatPort].SetReadDeadline(time.Now().Add(hearsWithin(len(got) == 0 || !drops && len(got) == 1)))
			n, _, err := k.conns[b.port][chatPort].ReadFromUDP(buf)
			if err != nil {
				break
			}
			got = append(got, string(buf[:n]))
		}
		want := []string{group.String(), net.JoinHostPort(b.addr.String(), fmt.Sprint(chatPort))}
		if drops {
			want = want[1:]
		}
		if !slices.Equal(got, want) {
			t.Errorf("with multicast dropped: %v, got %q, want %q", drops, got, want)
		}
	}
}

// What the kernel refuses is an error that says what is missing, and leaves no filter.
func TestFilterThatIsRefused(t *testing.T) {
	c := bench(t)
	a := c.nodes[0]
	if err := c.drop(a.space, []rule{{hook{family: unix.NFPROTO_IPV4, number: 99}, toPort(chatPort)}}); err == nil {
		t.Error("there is no such hook, and it says nothing")
	}
	if len(c.undo) != 0 {
		t.Errorf("%d filters are left", len(c.undo))
	}
	if err := c.firewall(a); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
