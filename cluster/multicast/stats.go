package multicast

import (
	"slices"
	"sync/atomic"
)

// A Drop names why a datagram was not delivered.
type Drop string

// The reasons.
const (
	// ForeignLink: it arrived on a link that was not chosen.
	ForeignLink Drop = "foreign link"
	// ForeignGroup: it was sent to another group, or to everybody.
	ForeignGroup Drop = "foreign group"
	// Own: this host sent it to itself, as its address is in its own list of peers.
	Own Drop = "own"
	// Truncated: it was longer than any datagram of ours.
	Truncated Drop = "truncated"
	// Unmarked: the kernel did not say by which link it came, or with which hop limit.
	Unmarked Drop = "unmarked"
)

// Stats count datagrams.
type Stats struct {
	// Received counts what Read delivered, Dropped what it did not, by reason.
	Received uint64
	Dropped  map[Drop]uint64
	// Sent and Failed count datagrams to single peers; those to the group are counted
	// for each link.
	Sent   uint64
	Failed uint64
	// Links are the joined ones, sorted by index.
	Links []LinkStats
}

// LinkStats count what went to the group on one link since it was joined.
type LinkStats struct {
	Name   string
	Index  int
	Sent   uint64
	Failed uint64
}

// A LinkError says which link failed.
type LinkError struct {
	Link string
	Err  error
}

func (e *LinkError) Error() string { return "link " + e.Link + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *LinkError) Unwrap() error { return e.Err }

// Stats returns what was counted so far. A reason that never occurred has no entry.
func (c *Conn) Stats() Stats {
	s := Stats{
		Received: c.count.received.Load(),
		Dropped:  map[Drop]uint64{},
		Sent:     c.count.sent.Load(),
		Failed:   c.count.failed.Load(),
	}
	for i, reason := range reasons {
		if n := c.count.dropped[i].Load(); n > 0 {
			s.Dropped[reason] = n
		}
	}
	for _, l := range *c.links.Load() {
		s.Links = append(s.Links, LinkStats{Name: l.name, Index: l.index, Sent: l.count.sent.Load(), Failed: l.count.failed.Load()})
	}
	return s
}

// reasons has the places of the counters.
var reasons = [...]Drop{ForeignLink, ForeignGroup, Own, Truncated, Unmarked}

type counters struct {
	received, sent, failed atomic.Uint64
	dropped                [len(reasons)]atomic.Uint64
}

func (c *counters) drop(d Drop) { c.dropped[slices.Index(reasons[:], d)].Add(1) }
