package netplumb

import (
	"fmt"
	"net/netip"
	"time"

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
		s := int(o.Lifetime / time.Second)
		return fmt.Sprintf("ip addr add %s dev %s proto %d valid_lft %d preferred_lft %d", o.Address, o.Link, Mark, s, s)
	}
}

// Diff returns the operations that lead from what the kernel has to what is wanted,
// removals first.
//
// Ours, and so removed where not wanted, is every address that carries the Mark or is
// one of managed. A wanted address that is present, in whatever prefix length, is left
// as it is. A missing one is added with a full-length prefix where the link has its
// subnet by an address that is not ours, and with the configured prefix, after Promote,
// where it has not.
func Diff(want, managed []vipgroup.VIP, have []Observed, lifetime time.Duration) []Op {
	return nil
}
