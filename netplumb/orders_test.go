package netplumb

import (
	"net/netip"
	"testing"
)

func TestOrdersLatestWins(t *testing.T) {
	o := newOrders()
	a, b := vips(t, "10.0.0.1/32 on eth0")[0], vips(t, "10.0.0.2/32 on eth0")[0]
	set := func(d ...string) uint64 { return o.set(Desired{VIPs: vips(t, d...)}) }

	set(a.String())
	if got := o.take(); !got.fresh || got.seq != 1 || len(got.dropped) != 0 {
		t.Errorf("first: %+v", got)
	}
	if got := o.take(); got.fresh {
		t.Error("the same state was fresh twice")
	}
	d := Desired{VIPs: vips(t, a.String()), GrantUntil: 7}
	if got, seq := o.set(d), o.take(); got != 1 || !seq.fresh || seq.desired.GrantUntil != 7 {
		t.Errorf("a new grant made state %d: %+v", got, seq)
	}

	// The state without a was never taken; that a was not wanted must not be forgotten.
	set(b.String())
	set(a.String(), b.String())
	last := set(a.String(), b.String())
	got := o.take()
	if !got.fresh || got.seq != last || len(got.desired.VIPs) != 2 {
		t.Errorf("newest: %+v", got)
	}
	if !got.dropped[placeOf(a)] || got.dropped[placeOf(b)] {
		t.Errorf("dropped: %v, want only %v", got.dropped, a)
	}
	if o.waiting() {
		t.Error("something waits after take")
	}
}

func TestOrdersAddUpAndAreBounded(t *testing.T) {
	o := newOrders()
	x, y := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	o.queue(&o.ask, []netip.Addr{x})
	o.queue(&o.ask, []netip.Addr{y})
	o.queue(&o.announce, make([]netip.Addr, 2*maxQueued))
	got := o.take()
	if len(got.ask) != 2 || len(got.announce) != maxQueued {
		t.Errorf("%d to ask, %d to announce", len(got.ask), len(got.announce))
	}
}

func TestReportsKeepWhatHappened(t *testing.T) {
	r := newReports()
	for i := range 3 {
		r.put(Report{Seq: uint64(i), Ops: []Op{{At: 1}}, Errors: make([]error, maxErrors)})
	}
	<-r.changed
	got := r.take()
	if got.Seq != 2 || len(got.Ops) != 3 || len(got.Errors) != maxErrors {
		t.Errorf("seq %d, %d ops, %d errors", got.Seq, len(got.Ops), len(got.Errors))
	}
	if got := r.take(); got.Seq != 2 || len(got.Ops) != 0 || len(got.Errors) != 0 {
		t.Errorf("taken again: %+v", got)
	}
}
