package netplumb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// neighbour returns the state of an entry of a's table, 0 where there is none.
func (l lan) neighbour(addr netip.Addr) int {
	l.a.t.Helper()
	list, err := l.a.h.NeighList(l.a.link("eth0").Attrs().Index, unix.AF_INET)
	l.a.must(err)
	for _, n := range list {
		if a, _ := netip.AddrFromSlice(n.IP); a.Unmap() == addr {
			return n.State
		}
	}
	return 0
}

// What the kernel asked for in vain while a link was down keeps nobody waiting once it is back;
// what others entered stays.
func TestUnresolvedWhileTheLinkWasDown(t *testing.T) {
	net := newLAN(t)
	client, known, managed := netip.MustParseAddr("10.1.2.77"), netip.MustParseAddr("10.1.2.78"), netip.MustParseAddr("10.1.2.79")
	net.a.must(net.a.h.NeighSet(&netlink.Neigh{LinkIndex: net.a.link("eth0").Attrs().Index, IP: known.AsSlice(),
		HardwareAddr: them[:], State: netlink.NUD_PERMANENT}))
	p, _ := net.a.start()
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0")))
	carrier := func(want bool) {
		t.Helper()
		p.until("the carrier", func(r Report) bool { return len(r.Links) == 1 && r.Links[0].Carrier == want })
	}
	carrier(true)
	net.b.down("eth0")
	carrier(false)
	net.a.must(net.a.h.NeighSet(&netlink.Neigh{LinkIndex: net.a.link("eth0").Attrs().Index, IP: managed.AsSlice(),
		FlagsExt: netlink.NTF_EXT_MANAGED}))
	net.a.must(net.a.enter(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("answer"), 0, &unix.SockaddrInet4{Port: 7, Addr: client.As4()})
	}))
	if net.neighbour(client) == 0 {
		t.Fatal("the kernel has no entry for whom it can't reach")
	}
	net.b.up("eth0")
	carrier(true)
	for begin := time.Now(); net.neighbour(client) != 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("the entry is still in state %#x", net.neighbour(client))
		}
	}
	if net.neighbour(known) != unix.NUD_PERMANENT {
		t.Errorf("what was entered by hand is in state %#x", net.neighbour(known))
	}
	if net.neighbour(managed) == 0 {
		t.Error("what the kernel was told to go on asking for is gone")
	}
}
