package netplumb

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// look reads all addresses anew.
func (w *worker) look() {
	have, err := w.k.look(0)
	if err != nil {
		w.fault(err) // tried again with the next poll
		return
	}
	w.stale, w.suspect = false, false
	w.see(have)
}

// lookAtLink reads the addresses of one link anew and says whether that worked.
func (w *worker) lookAtLink(index int) bool {
	have, err := w.k.look(index)
	if err != nil {
		w.suspect = true
		w.fault(err)
		return false
	}
	others := slices.DeleteFunc(slices.Clone(w.have), func(o Observed) bool { return o.Index == index })
	w.see(append(others, have...))
	return true
}

// see takes in what is there, and notices what is there no longer.
func (w *worker) see(have []Observed) {
	w.have = have
	present := make(map[place]Observed, len(have))
	own := make(map[string]netip.Addr)
	for i, o := range have {
		addr := o.Address.Addr()
		// What appears while it is a VIP was put there by somebody, on a link without others.
		_, vip := w.linkOf[addr]
		if o.Own && (vip && w.own != nil && !w.known[o.place()] || slices.Contains(w.want.Elsewhere, addr)) {
			have[i].Own, o.Own = false, false
		}
		if o.Own {
			own[o.Link], w.known[o.place()] = addr, true
		} else {
			present[o.place()] = o
		}
	}
	w.report = w.report || !maps.Equal(own, w.own)
	w.own = own
	var gone []place
	for at := range w.held {
		if _, there := present[at]; !there {
			gone = append(gone, at)
		}
	}
	w.blame(gone)
	for _, at := range gone {
		w.lose(at)
	}
	for at := range w.plan {
		_, now := present[at]
		_, before := w.present[at]
		// What appeared unasked is removed next, and told then: to have told that it is here
		// would have made who rightly has it give it up.
		w.report = w.report || now != before && (before || w.wanted[at])
	}
	w.present = present
	w.differs = true
}

// blame notes which of the addresses that are gone somebody deleted: the kernel did not
// drop them, neither for their age nor for their link.
func (w *worker) blame(gone []place) {
	works := make(map[string]bool)
	for _, at := range gone {
		h := w.held[at]
		if _, known := works[at.link]; !known {
			facts, exists, err := w.k.link(at.link) // what was polled may be older
			works[at.link] = err == nil && exists && facts.up && facts.index == h.op.Index
		}
		if works[at.link] && Boottime() < h.expires {
			w.deleted = append(w.deleted, vipgroup.VIP{Address: h.op.Address, Interface: at.link})
		}
	}
}

// lose gives up an address that was plumbed: it is gone, or is about to go. Nothing adds
// it again before it was once not wanted, for another node may have it by now.
func (w *worker) lose(at place) {
	delete(w.held, at)
	w.speaker.stop(at)
	if w.wanted[at] {
		w.lost[at] = true
	}
	w.differs, w.report = true, true
}

// reconcile brings the kernel to what is wanted. A newer desired state interrupts it.
// What failed is tried again after the next look.
func (w *worker) reconcile() {
	want := slices.DeleteFunc(slices.Clone(w.want.VIPs), func(v vipgroup.VIP) bool { return w.lost[placeOf(v)] })
	w.letGo()
	w.find(want)

	w.report = w.report || len(w.failed) > 0
	w.failed = make(map[place]Failure)
	ops := Diff(want, w.want.Managed, w.have, w.lifetime())
	adds := slices.IndexFunc(ops, func(op Op) bool { return op.Kind == Add })
	if adds < 0 {
		adds = len(ops)
	}
	for chunk := range slices.Chunk(ops[:adds], batch) {
		w.remove(chunk)
		if w.orders.waiting() {
			return
		}
	}
	touched := make(map[int]bool)
	for chunk := range slices.Chunk(ops[adds:], batch) {
		for _, op := range w.apply(chunk) {
			touched[op.Index] = true
		}
		if w.orders.waiting() {
			w.suspect = true // what was added is not yet seen
			return
		}
	}
	for index := range touched {
		w.lookAtLink(index)
	}
	w.report = w.report || w.settled != w.seq
	w.differs, w.settled = false, w.seq
}

// remove takes a batch of addresses away, sees them gone and says so at once, since a
// peer waits for it: no dump, which takes a millisecond for a thousand addresses. Events
// bring one afterwards.
func (w *worker) remove(ops []Op) {
	type line struct {
		addr  netip.Prefix
		index int
	}
	var addrs []netip.Addr
	done := slices.DeleteFunc(w.apply(ops), func(op Op) bool { return op.Kind != Remove })
	for _, op := range done {
		addrs = append(addrs, op.Address.Addr())
	}
	gone := make(map[line]bool, len(done))
	for i, answers := range w.k.answers(addrs) {
		if answers {
			w.suspect = true // there in another form too, or by a route: look closer
			continue
		}
		gone[line{done[i].Address, done[i].Index}] = true
		delete(w.present, done[i].place())
	}
	w.have = slices.DeleteFunc(slices.Clone(w.have), func(o Observed) bool { return gone[line{o.Address, o.Index}] })
	w.publish()
}

// letGo stops extending and announcing what is not wanted, before it is removed.
func (w *worker) letGo() {
	for at := range w.held {
		if !w.wanted[at] {
			delete(w.held, at)
			w.speaker.stop(at)
		}
	}
}

// find takes over newly wanted addresses that are already there, from an earlier process
// that handed them on.
func (w *worker) find(want []vipgroup.VIP) {
	for _, v := range want {
		at := placeOf(v)
		o, there := w.present[at]
		if !there || w.held[at] != nil {
			continue
		}
		if Boottime() >= w.want.GrantUntil {
			w.ungranted = true
			continue
		}
		w.held[at] = &holding{op: Op{Kind: Add, Address: o.Address, Link: o.Link, Index: o.Index}}
		w.extension.granted()
		w.speaker.take(at)
	}
}

// inherit takes over what the program before left, as it was seen a moment ago. What is
// gone may be elsewhere by now: nothing but a new claim brings it back.
func (w *worker) inherit() {
	for at := range w.wanted {
		o, there := w.present[at]
		if !there {
			w.lose(at)
			continue
		}
		op := Op{Kind: Add, Address: o.Address, Link: o.Link, Index: o.Index, Lifetime: w.lifetime()}
		w.held[at] = &holding{op: op, expires: w.inherited}
		w.speaker.take(at)
	}
	w.inherited = 0
	w.extension.granted()
	w.tellExpiry()
}

// apply does a batch of operations, and returns those that were done, with their stamp and
// the index of their link.
func (w *worker) apply(ops []Op) (done []Op) {
	var able []Op
	for _, op := range ops {
		if op.Kind == Promote {
			done, able = append(done, w.change(able)...), nil
		}
		switch err := w.prepare(&op); {
		case err != nil:
			w.failure(op, err)
		case op.Kind == Promote:
			op.At = Monotonic()
			done = append(done, op)
		default:
			able = append(able, op)
		}
	}
	done = append(done, w.change(able)...)
	w.ops = append(w.ops, done...)
	w.report = w.report || len(done) > 0
	return done
}

var (
	errNoLink  = errors.New("no such link on this host")
	errNoGrant = errors.New("the grant ran out: is the daemon's loop late?")
)

// prepare finds an operation's link, and sets promote_secondaries, on which the addresses that
// follow rely.
func (w *worker) prepare(op *Op) error {
	if op.Index == 0 {
		l := w.links[op.Link]
		switch {
		case l == nil:
			return errNoLink
		case l.aliasOf() != "":
			return fmt.Errorf("another name of %s: write %s", l.aliasOf(), l.aliasOf())
		case !l.exists:
			return errNoLink
		}
		op.Index = l.facts.index
	}
	if op.Kind == Promote {
		return w.k.promote(op.Index)
	}
	if op.Kind == Add && Boottime() >= w.want.GrantUntil {
		w.ungranted = true
		return errNoGrant
	}
	return nil
}

// change hands removals and additions to the kernel, and announces what is there at once.
func (w *worker) change(ops []Op) (done []Op) {
	begun := Boottime()
	errs := w.k.change(ops)
	at := Monotonic()
	var taken []place
	for i, op := range ops {
		if errs[i] != nil {
			w.failure(op, errs[i])
			continue
		}
		op.At = at
		if op.Kind == Add {
			_, present := w.present[op.place()]
			w.suspect = w.suspect || present // its other form can go now
			w.held[op.place()] = &holding{op: op, expires: begun + op.Lifetime}
			taken = append(taken, op.place())
		}
		done = append(done, op)
	}
	w.speaker.take(taken...) // before anything else: clients wait for it
	return done
}

// failure notes an operation that could not be done.
func (w *worker) failure(op Op, err error) {
	err = fmt.Errorf("%s: %w", describe(op), err)
	w.report = true
	if _, present := w.present[op.place()]; op.Kind == Promote || op.Kind == Add && present {
		w.fault(err)
		return
	}
	w.failed[op.place()] = Failure{vipgroup.VIP{Address: op.Address, Interface: op.Link}, err}
}

// lifetime is the one wanted, in whole seconds.
func (w *worker) lifetime() time.Duration {
	return max(time.Second, w.want.Lifetime.Truncate(time.Second))
}

// describe names what an operation was for, as an error begins.
func describe(op Op) string {
	switch op.Kind {
	case Promote:
		return "set promote_secondaries on " + op.Link
	case Remove:
		return fmt.Sprintf("remove %s from %s", op.Address, op.Link)
	default:
		return fmt.Sprintf("plumb %s on %s", op.Address, op.Link)
	}
}
