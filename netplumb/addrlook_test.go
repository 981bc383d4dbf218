package netplumb

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is read is what the library reads.
func TestAddressesAreReadAsTheLibraryReads(t *testing.T) {
	lan := newLAN(t)
	n := lan.a
	n.add("10.1.2.3/24", "eth0")
	n.add("10.1.2.4/32", "eth0")
	n.add("2001:db8::7/64", "eth0")
	peer := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 7, 0, 1), Mask: net.CIDRMask(32, 32)},
		Peer: &net.IPNet{IP: net.IPv4(10, 7, 0, 2), Mask: net.CIDRMask(30, 32)}}
	n.must(n.h.AddrAdd(n.link("eth0"), peer))
	n.must(n.h.AddrAdd(n.link("lo"), &netlink.Addr{Protocol: Mark, ValidLft: 100, PreferedLft: 50,
		IPNet: &net.IPNet{IP: net.IPv4(10, 7, 0, 9), Mask: net.CIDRMask(32, 32)}}))
	index := n.link("eth0").Attrs().Index
	n.must(n.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		list, err := n.h.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		var want, wantOne []Observed
		for _, a := range list {
			addr, _ := netip.AddrFromSlice(a.IP)
			bits, _ := a.Mask.Size()
			o := Observed{Address: netip.PrefixFrom(addr.Unmap(), bits), Index: a.LinkIndex, Mark: uint8(a.Protocol),
				Valid: time.Duration(a.ValidLft) * time.Second, Flags: uint32(a.Flags)}
			if uint32(a.ValidLft) == 0xffffffff {
				o.Valid = Forever
			}
			want = append(want, o)
			if o.Index == index {
				wantOne = append(wantOne, o)
			}
		}
		got, err := k.addresses(0)
		if err != nil {
			return err
		}
		if len(want) < 6 {
			t.Errorf("the library reads only %v", want)
		}
		steady := func(list []Observed) []Observed {
			list = slices.Clone(list)
			for i := range list {
				list[i].Flags &^= unix.IFA_F_TENTATIVE // which passes
			}
			return list
		}
		if d := cmp.Diff(steady(want), steady(got), cmpopts); d != "" {
			t.Errorf("all (-library +own):\n%s", d)
		}
		if got, err = k.addresses(index); err != nil {
			return err
		}
		if d := cmp.Diff(steady(wantOne), steady(got), cmpopts); d != "" {
			t.Errorf("of one link (-library +own):\n%s", d)
		}
		if got, err := k.addresses(index + 100); err != nil || len(got) != 0 {
			t.Errorf("of no link: %v, %v", got, err)
		}
		return nil
	}))
}
