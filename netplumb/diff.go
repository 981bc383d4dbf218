package netplumb

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/vipgroup"
)

// OpKind says what an operation does to the kernel.
type OpKind int

// The operations.
const (
	// Remove takes an address from a link.
	Remove OpKind = iota
	// Promote sets promote_secondaries on a link, so that removing or expiring a
	// primary address leaves the other addresses of its subnet alone.
	Promote
	// Add puts an address on a link.
	Add
)

// An Op is one operation on the kernel, planned by Diff or applied and reported.
type Op struct {
	Kind OpKind
	// Address has the prefix length that goes to the kernel, which may be longer than
	// the configured one. It is not valid for Promote.
	Address netip.Prefix
	// Link is the name of the interface; Index its number, 0 where it is to be looked up.
	Link  string
	Index int
	// Lifetime is what an added address gets, in whole seconds.
	Lifetime time.Duration
	// At is when the system call returned (CLOCK_MONOTONIC); 0 while only planned.
	At time.Duration
}

// String reads like the ip command that does the same.
func (o Op) String() string {
	switch o.Kind {
	case Remove:
		return fmt.Sprintf("ip addr del %s dev %s", o.Address, o.Link)
	case Promote:
		return fmt.Sprintf("sysctl net.ipv4.conf.%s.promote_secondaries=1", o.Link)
	default:
		valid, preferred := lifetimes(o)
		return fmt.Sprintf("ip addr add %s dev %s proto %d valid_lft %d preferred_lft %d", o.Address, o.Link, Mark, valid, preferred)
	}
}

// Diff returns the operations that lead from what the kernel has to what is wanted,
// removals first.
//
// Ours, and so removed where not wanted, is every address that carries the Mark, and
// every one of managed on any link that has VIPs: a host answers on one link for the
// addresses of another. (On a link without VIPs an unmarked one is somebody else's, as on
// lo in a direct-routing load balancer.) A wanted address that is present on its link, in
// whatever prefix length, is left as it is. A missing one is added with a full-length prefix
// where the link has its subnet by an address that is not ours, and with the configured
// prefix, after Promote, where it has not. An address that came afterwards is secondary to
// it then, and the host speaks from the VIP: so the VIP is added alone, too, and its first form
// removed once both are there. What a host goes by on a link that has VIPs (Observed.Own) is
// never ours, and not added on another: who listed it by mistake must not lose the host.
func Diff(want, managed []vipgroup.VIP, have []Observed, lifetime time.Duration) []Op {
	planned, links := make(map[netip.Addr]bool, len(managed)+len(want)), make(map[string]bool)
	wanted := make(map[place]bool, len(want))
	for _, v := range managed {
		planned[v.Address.Addr()], links[v.Interface] = true, true
	}
	for _, v := range want {
		planned[v.Address.Addr()], links[v.Interface] = true, true
		wanted[placeOf(v)] = true
	}
	ours := func(o Observed) bool { return o.Mark == Mark || !o.Own && links[o.Link] && planned[o.Address.Addr()] }

	own := make(map[netip.Addr]bool)
	subnets := make(map[string][]netip.Prefix) // by link, of the addresses that are not ours
	for _, o := range have {
		if !ours(o) {
			subnets[o.Link] = append(subnets[o.Link], o.Address)
		}
		if o.Own && links[o.Link] {
			own[o.Address.Addr()] = true
		}
	}

	// Of several prefix lengths of one wanted address one stays: best a marked one, and of
	// those one alone.
	better := func(a, b Observed) bool {
		return a.Mark == Mark && (b.Mark != Mark || a.Address.IsSingleIP() && !b.Address.IsSingleIP())
	}
	keep := make(map[place]int, len(want))
	for i, o := range have {
		if o.Own {
			continue
		}
		if j, twice := keep[o.place()]; wanted[o.place()] && (!twice || better(o, have[j])) {
			keep[o.place()] = i
		}
	}

	var ops []Op
	promoted := make(map[string]bool)
	promote := func(p netip.Prefix, link string) {
		if p.Addr().Is4() && !p.IsSingleIP() && !promoted[link] {
			promoted[link] = true
			ops = append(ops, Op{Kind: Promote, Link: link})
		}
	}
	for i, o := range have {
		if !ours(o) {
			continue
		}
		if j, stays := keep[o.place()]; stays && i == j {
			continue
		}
		promote(o.Address, o.Link)
		ops = append(ops, Op{Kind: Remove, Address: o.Address, Link: o.Link, Index: o.Index})
	}
	for _, v := range want {
		i, present := keep[placeOf(v)]
		addr := plumbAs(v.Address, subnets[v.Interface])
		if present && (i < 0 || have[i].Address == addr || !leads(have[i], have)) || own[v.Address.Addr()] {
			continue
		}
		keep[placeOf(v)] = -1 // an address that is listed twice is added once
		promote(addr, v.Interface)
		ops = append(ops, Op{Kind: Add, Address: addr, Link: v.Interface, Lifetime: lifetime})
	}
	return ops
}

// leads says whether an address of vippy's has one that is not secondary to it.
func leads(o Observed, have []Observed) bool {
	return o.Mark == Mark && o.Address.Addr().Is4() && !o.Address.IsSingleIP() && o.Flags&unix.IFA_F_SECONDARY == 0 &&
		slices.ContainsFunc(have, func(s Observed) bool {
			return s.Mark != Mark && s.Link == o.Link && s.Flags&unix.IFA_F_SECONDARY != 0 && s.Address.Masked() == o.Address.Masked()
		})
}

// plumbAs returns the form in which an address goes to the kernel: alone where the link
// already has its subnet, so that neither can take the other along when it goes.
func plumbAs(vip netip.Prefix, subnets []netip.Prefix) netip.Prefix {
	for _, s := range subnets {
		if !s.IsSingleIP() && s.Contains(vip.Addr()) {
			return netip.PrefixFrom(vip.Addr(), vip.Addr().BitLen())
		}
	}
	return vip
}

// A place is an address on a link: what makes a VIP the same whatever its prefix length.
type place struct {
	addr netip.Addr
	link string
}

func placeOf(v vipgroup.VIP) place { return place{v.Address.Addr(), v.Interface} }

func (o Observed) place() place { return place{o.Address.Addr(), o.Link} }

func (o Op) place() place { return place{o.Address.Addr(), o.Link} }
