package netplumb

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Mark is the IFA_PROTO value of the addresses that vippy plumbs (Linux 5.18 and later
// keep it; 0 to 3 are the kernel's own). A restarted daemon knows its own by it.
const Mark = 86

// Forever is the lifetime of an address that the kernel never drops by itself.
const Forever time.Duration = -1

// Observed is one address as the kernel reports it.
type Observed struct {
	// Address is the address with the prefix length that the kernel has.
	Address netip.Prefix
	// Link is the name of the interface that carries it, Index its number.
	Link  string
	Index int
	// Mark is IFA_PROTO: Mark for vippy's own, 0 where unset or not known.
	Mark uint8
	// Valid is what is left of its lifetime, in whole seconds, or Forever.
	Valid time.Duration
	// Flags are the kernel's IFA_F_* flags.
	Flags uint32
	// Own is set for the first IPv4 address of a link where that isn't vippy's, and no lease
	// of less than an hour: what the host itself goes by there.
	Own bool
}

// maxLifetime is the longest one that an address of vippy's may have: by that they are known
// on kernels before 5.18, which keep no mark.
const maxLifetime = time.Hour

// findOwn sets Own in what the kernel told of links, in its order.
func findOwn(have []Observed) {
	seen := make(map[int]bool)
	for i := range have {
		o := &have[i]
		if o.Address.Addr().Is4() && !seen[o.Index] {
			seen[o.Index] = true
			o.Own = o.Mark != Mark && (o.Valid == Forever || o.Valid > maxLifetime)
		}
	}
}

// String reads like a line of "ip addr".
func (o Observed) String() string {
	var b strings.Builder
	family := "inet"
	if o.Address.Addr().Is6() {
		family = "inet6"
	}
	fmt.Fprintf(&b, "%s %s dev %s", family, o.Address, o.Link)
	if o.Mark != 0 {
		fmt.Fprintf(&b, " proto %d", o.Mark)
	}
	if o.Valid != Forever {
		fmt.Fprintf(&b, " valid_lft %dsec", int(o.Valid/time.Second))
	}
	return b.String()
}
