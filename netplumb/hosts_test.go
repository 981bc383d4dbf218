package netplumb

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// numbered is the i-th host of 10.1.0.0/16, with a hardware address of its own.
func numbered(i int) (netip.Addr, MAC) {
	return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), MAC{2, 9, 0, 0, byte(i >> 8), byte(i)}
}

func neighbour(i int, age time.Duration) Neighbour {
	a, m := numbered(i)
	return Neighbour{a, m, age}
}

// names lists the hosts of a table by their number.
func numbers(list []contact) (out []string) {
	for _, c := range list {
		a := c.addr.As4()
		out = append(out, fmt.Sprint(int(a[2])<<8|int(a[3])))
	}
	return out
}

func TestHostsAreMergedNewestFirst(t *testing.T) {
	now := 100 * time.Hour
	var h hosts
	own := func(i int, age time.Duration) contact {
		a, m := numbered(i)
		return contact{addr: a, mac: m, seen: now - age, link: "eth0", router: i == 1}
	}
	h.read(now, []contact{own(1, 20*time.Second), own(2, 5*time.Second)})
	moved := neighbour(1, time.Second)
	moved.MAC = MAC{2, 8}
	h.learn(now, "b", 0, 2, []Neighbour{moved, neighbour(3, 10*time.Second)})
	h.learn(now, "b", 1, 2, []Neighbour{neighbour(4, 2*time.Hour), neighbour(2, time.Minute)})
	h.learn(now, "c", 0, 1, []Neighbour{neighbour(5, 7*time.Second)})
	h.merge(now)
	if d := cmp.Diff([]string{"1", "2", "5", "3"}, numbers(h.list())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c := h.list()[0]; c.mac != (MAC{2, 8}) || !c.router || c.link != "eth0" {
		t.Errorf("what both know is %+v", c)
	}

	if d := cmp.Diff([]Neighbour{moved, neighbour(2, 5*time.Second)}, h.newest(now, 2), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("the newest two (-want +got):\n%s", d)
	}
	if n := len(h.newest(now, 9)); n != 4 {
		t.Errorf("all are %d", n)
	}

	// A newer part takes an older one's place, and parts beyond the last one go.
	h.learn(now, "b", 0, 1, []Neighbour{neighbour(6, 0)})
	h.learn(now, "b", 1, 1, []Neighbour{neighbour(7, 0)})
	h.learn(now, "b", 1, 2, nil) // what was the second part doesn't come back
	h.merge(now)
	if d := cmp.Diff([]string{"6", "2", "5", "1"}, numbers(h.list())); d != "" {
		t.Errorf("after newer parts (-want +got):\n%s", d)
	}
}

// Whatever others say, the table stays small.
func TestHostsAreBounded(t *testing.T) {
	now := 100 * time.Hour
	var h hosts
	var many []contact
	var told []Neighbour
	for i := range 3000 {
		a, m := numbered(i)
		many = append(many, contact{addr: a, mac: m, seen: now - time.Duration(i)*time.Second, link: "eth0"})
		told = append(told, Neighbour{netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), m, 0})
	}
	if own := h.read(now, many); len(own) != maxOwnHosts || own[0].addr != many[0].addr {
		t.Errorf("%d own, first %v", len(own), own[0].addr)
	}
	if len(h.own) != maxOwnHosts {
		t.Errorf("%d own are kept", len(h.own))
	}
	for node := range 2 * maxSharers {
		for part := range 5 {
			for i := range told {
				told[i].Addr = netip.AddrFrom4([4]byte{10, byte(node), byte(i >> 8), byte(i)})
			}
			h.learn(now, fmt.Sprint(node), part, 5, told)
		}
	}
	if len(h.shared) != maxSharers {
		t.Errorf("tables of %d nodes", len(h.shared))
	}
	for node, parts := range h.shared {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		if n > maxShared {
			t.Errorf("%d hosts of node %s", n, node)
		}
	}
	h.merge(now)
	if len(h.list()) != maxHosts {
		t.Errorf("%d in the merged table, want %d", len(h.list()), maxHosts)
	}
	if left := h.read(now+2*hostAge, nil); len(left) != 0 {
		t.Errorf("%d are remembered for ever", len(left))
	}
}

func TestOnlyConfirmedHostsCount(t *testing.T) {
	const now = time.Hour
	fine := netlink.Neigh{IP: host.AsSlice(), HardwareAddr: them[:], State: netlink.NUD_REACHABLE, Confirmed: 250}
	got, ok := confirmedHost(fine, now)
	if want := (contact{addr: host, mac: them, seen: now - 2500*time.Millisecond}); !ok || got != want {
		t.Errorf("got %+v, %v, want %+v", got, ok, want)
	}
	for name, change := range map[string]func(*netlink.Neigh){
		"stale":                        func(n *netlink.Neigh) { n.State = unix.NUD_STALE },
		"being asked":                  func(n *netlink.Neigh) { n.State = unix.NUD_INCOMPLETE },
		"failed":                       func(n *netlink.Neigh) { n.State = unix.NUD_FAILED },
		"configured":                   func(n *netlink.Neigh) { n.State = unix.NUD_PERMANENT },
		"without ARP":                  func(n *netlink.Neigh) { n.State = unix.NUD_NOARP },
		"no hardware address":          func(n *netlink.Neigh) { n.HardwareAddr = nil },
		"a group's hardware address":   func(n *netlink.Neigh) { n.HardwareAddr = []byte{1, 0, 0x5e, 0, 0, 1} },
		"an empty hardware address":    func(n *netlink.Neigh) { n.HardwareAddr = make([]byte, 6) },
		"an InfiniBand address":        func(n *netlink.Neigh) { n.HardwareAddr = make([]byte, 20) },
		"a multicast protocol address": func(n *netlink.Neigh) { n.IP = []byte{224, 0, 0, 5} },
	} {
		n := fine
		if change(&n); n.State == 0 {
			t.Fatal("the test is wrong")
		}
		if got, ok := confirmedHost(n, now); ok {
			t.Errorf("%s: counts as %+v", name, got)
		}
	}
}
