package netplumb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// neighbour returns the entry of an address on eth0, nil where there is none.
func (n *namespace) neighbour(addr netip.Addr) *netlink.Neigh {
	n.t.Helper()
	list, err := n.h.NeighList(n.link("eth0").Attrs().Index, netlink.FAMILY_ALL)
	n.must(err)
	for _, x := range list {
		if a, _ := netip.AddrFromSlice(x.IP); a.Unmap() == addr {
			return &x
		}
	}
	return nil
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
	if net.a.neighbour(client) == nil {
		t.Fatal("the kernel has no entry for whom it can't reach")
	}
	net.b.up("eth0")
	carrier(true)
	for begin := time.Now(); net.a.neighbour(client) != nil; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("the kernel still has an entry for whom it couldn't reach: %+v", net.a.neighbour(client))
		}
	}
	if net.a.neighbour(known) == nil {
		t.Error("what was entered by hand is gone")
	}
	if net.a.neighbour(managed) == nil {
		t.Error("what the kernel was told to go on asking for is gone")
	}
}
