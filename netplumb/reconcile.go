package netplumb

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// look reads all addresses anew.
func (w *worker) look() {
	w.lookAt = Boottime() + lookEvery
	have, err := w.k.look(0)
	if err != nil {
		w.fault(err) // have stays stale and is read again with the next poll
		return
	}
	w.stale = false
	w.see(have)
}

// lookAtLink reads the addresses of one link anew and says whether that worked.
func (w *worker) lookAtLink(index int) bool {
	have, err := w.k.look(index)
	if err != nil {
		w.stale = true
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
	for _, o := range have {
		present[o.place()] = o
	}
	for at := range w.held {
		if _, there := present[at]; !there {
			w.lose(at)
		}
	}
	for at := range w.plan {
		_, now := present[at]
		_, before := w.present[at]
		w.report = w.report || now != before
	}
	w.present = present
	w.differs = true
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

// reconcile brings the kernel to what is wanted, in batches that are read back and
// reported one by one. A newer desired state interrupts it. What failed is tried again
// after the next look.
func (w *worker) reconcile() {
	want := slices.DeleteFunc(slices.Clone(w.want.VIPs), func(v vipgroup.VIP) bool { return w.lost[placeOf(v)] })
	w.letGo()
	w.find(want)

	w.report = w.report || w.settled != w.seq || len(w.failed) > 0
	w.failed = make(map[place]Failure)
	touched := make(map[int]bool)
	ops := Diff(want, w.want.Managed, w.have, w.lifetime())
	for i, op := range ops {
		index, err := w.apply(op)
		switch {
		case err != nil && op.Kind == Promote:
			w.fault(err)
		case err != nil:
			w.failed[op.place()] = Failure{vipgroup.VIP{Address: op.Address, Interface: op.Link}, err}
		}
		if index != 0 {
			touched[index] = true
		}
		last := i == len(ops)-1
		if (i+1)%batch != 0 && !last && (op.Kind == Add || ops[i+1].Kind != Add) {
			continue
		}
		if last {
			w.settled = w.seq
		}
		w.readBack(touched)
		if !last && w.orders.waiting() {
			w.differs = true
			return
		}
	}
	w.differs, w.settled = false, w.seq
}

// readBack sees whether a batch did what it should, and says so.
func (w *worker) readBack(links map[int]bool) {
	for index := range links {
		w.lookAtLink(index)
	}
	clear(links)
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

// apply does one operation and returns the index of the link that it was done on.
func (w *worker) apply(op Op) (int, error) {
	if op.Index == 0 {
		l := w.links[op.Link]
		if l == nil || !l.exists {
			return 0, fmt.Errorf("%s: no such link on this host", describe(op))
		}
		op.Index = l.facts.index
	}
	var err error
	switch op.Kind {
	case Promote:
		err = w.k.promote(op.Index)
	case Remove:
		err = w.k.remove(op)
	case Add:
		err = w.add(op)
	}
	if err != nil {
		return op.Index, fmt.Errorf("%s: %w", describe(op), err)
	}
	op.At = Monotonic()
	if op.Kind == Add {
		w.speaker.take(op.place()) // before anything else: clients wait for it
	}
	w.ops = append(w.ops, op)
	return op.Index, nil
}

var errNoGrant = errors.New("the grant ran out: is the daemon's loop late?")

func (w *worker) add(op Op) error {
	now := Boottime()
	if now >= w.want.GrantUntil {
		w.ungranted = true
		return errNoGrant
	}
	if err := w.k.add(op); err != nil {
		return err
	}
	w.held[op.place()] = &holding{op: op, extended: now}
	return nil
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
