package netplumb

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Report is what the kernel was last seen to have, and what was done since the last
// Report.
type Report struct {
	// Seq is the number of the newest Desired that the kernel was brought to, as far as
	// Failed and Lost allow. During a long removal earlier reports list what is gone.
	Seq uint64
	// Present are the VIPs of Managed that are in the kernel, in Managed's order.
	Present []vipgroup.VIP
	// Lost are desired VIPs that were plumbed and are gone, because somebody deleted
	// them, their link vanished or their extension came too late. They are not added
	// again before a Desired without them.
	Lost []vipgroup.VIP
	// Deleted are those of Lost that somebody else deleted since the last Report, on a
	// link that was up all the time.
	Deleted []vipgroup.VIP
	// Failed are desired VIPs that could not be added or removed; they are tried again.
	Failed []Failure
	// Links are the links in use, sorted by name.
	Links []Link
	// Gateways are the next hops of the default routes.
	Gateways []netip.Addr
	// Frames counts frames received on all links in use; it only grows.
	Frames uint64
	// HeardDropped grows whenever an answer may have been lost: a frame for which the
	// kernel or Heard had no room, a question that Ask had no room for or that could
	// not be sent, a socket that was opened anew. Then silence says nothing.
	HeardDropped uint64
	// Ops are the operations applied since the last Report, in order. Extensions are
	// not listed.
	Ops []Op
	// Errors are what else went wrong since the last Report, at most 64.
	Errors []error
}

// A Failure is a VIP that the kernel refused.
type Failure struct {
	VIP vipgroup.VIP
	// Err reads "plumb 10.1.2.3/24 on eth0: operation not permitted (needs CAP_NET_ADMIN)".
	Err error
}

// A Link is an interface that is in use, whether it exists or not.
type Link struct {
	Name   string
	Exists bool
	// AliasOf is the interface of which Name is but an alternative name: such a link doesn't
	// count as existing.
	AliasOf string
	// Up is IFF_UP, what the administrator wants; Carrier is IFF_LOWER_UP, what the
	// wire says. Only a link with both can carry anything.
	Up, Carrier bool
	// Deaf is why addresses on an existing link can't be asked for, by ARP or, where VIPs
	// of it are IPv6, by neighbour discovery; nil where that works.
	Deaf error
	// Own is the IPv4 address that the host itself goes by on the link (Observed.Own). As
	// a VIP it is neither added nor removed, but where it is Desired.Elsewhere.
	Own netip.Addr
}

// maxErrors bounds the errors that one Report carries.
const maxErrors = 64

// reports is the mailbox out of the Plumber: the newest state wins, while operations and
// errors add up until somebody takes them.
type reports struct {
	mu      sync.Mutex
	changed chan struct{}
	report  Report
	// expires is the CLOCK_BOOTTIME at which the first held address does, 0 for none.
	expires atomic.Int64
}

func newReports() *reports { return &reports{changed: make(chan struct{}, 1)} }

func (r *reports) put(n Report) {
	r.mu.Lock()
	n.Ops = append(r.report.Ops, n.Ops...)
	n.Deleted = append(r.report.Deleted, n.Deleted...)
	n.Errors = append(r.report.Errors, n.Errors...)
	if len(n.Errors) > maxErrors {
		n.Errors = n.Errors[:maxErrors]
	}
	r.report = n
	r.mu.Unlock()
	signal(r.changed)
}

// count renews the counts alone, which change all the time.
func (r *reports) count(frames, dropped uint64) {
	r.mu.Lock()
	same := r.report.Frames == frames && r.report.HeardDropped == dropped
	r.report.Frames, r.report.HeardDropped = frames, dropped
	r.mu.Unlock()
	if !same {
		signal(r.changed)
	}
}

func (r *reports) take() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.report
	r.report.Ops, r.report.Deleted, r.report.Errors = nil, nil, nil
	return out
}
