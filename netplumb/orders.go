package netplumb

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/vippy-ha/vippy/vipgroup"
)

// maxQueued bounds the addresses that wait to be asked or announced.
const maxQueued = 4096

// orders is the mailbox into the Plumber: the newest desired state wins, while what is
// to be asked and announced adds up.
type orders struct {
	mu   sync.Mutex
	wake chan struct{}
	// seq numbers the desired states that differ in more than the grant; unread says that
	// the newest was not yet taken.
	seq     uint64
	unread  bool
	desired Desired
	// dropped are the places that were missing in a desired state which nobody took
	// because a newer one has them again: it counts as a release of a lost address.
	dropped             map[place]bool
	ask, echo, announce []netip.Addr
	notify              *Notify // nil when it was taken
}

func newOrders() *orders { return &orders{wake: make(chan struct{}, 1)} }

func (o *orders) set(d Desired) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seq > 0 && o.desired.equal(d) {
		o.desired.GrantUntil, o.unread = d.GrantUntil, true
		signal(o.wake)
		return o.seq
	}
	if o.unread {
		before := make(map[vipgroup.VIP]bool, len(o.desired.VIPs))
		for _, v := range o.desired.VIPs {
			before[v] = true
		}
		for _, v := range d.VIPs {
			if before[v] {
				continue
			}
			if o.dropped == nil {
				o.dropped = make(map[place]bool)
			}
			o.dropped[placeOf(v)] = true
		}
	}
	o.seq++
	o.desired, o.unread = d, true
	signal(o.wake)
	return o.seq
}

// equal says whether two desired states differ in the grant at most.
func (d Desired) equal(e Desired) bool {
	return d.Lifetime == e.Lifetime && slices.Equal(d.VIPs, e.VIPs) &&
		slices.Equal(d.Managed, e.Managed) && slices.Equal(d.Links, e.Links) && slices.Equal(d.Elsewhere, e.Elsewhere)
}

// queue adds to a list and returns how many found no room.
func (o *orders) queue(list *[]netip.Addr, addrs []netip.Addr) (cut int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	room := min(len(addrs), maxQueued-len(*list))
	*list = append(*list, addrs[:room]...)
	signal(o.wake)
	return len(addrs) - room
}

func (o *orders) tell(n Notify) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notify = &n
	signal(o.wake)
}

// order is everything that was in the mailbox.
type order struct {
	// fresh says that desired is set and was not taken before.
	fresh               bool
	seq                 uint64
	desired             Desired
	dropped             map[place]bool
	ask, echo, announce []netip.Addr
	notify              *Notify // nil: as before
}

func (o *orders) take() order {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := order{o.unread, o.seq, o.desired, o.dropped, o.ask, o.echo, o.announce, o.notify}
	o.unread, o.dropped, o.ask, o.echo, o.announce, o.notify = false, nil, nil, nil, nil, nil
	return out
}

// waiting says whether a newer desired state lies there.
func (o *orders) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unread
}
