package netplumb

import (
	"slices"
	"testing"
)

// A program that took another's place holds what is there, extends it, and adds nothing
// that went meanwhile: another node may have it by now.
func TestInherit(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
	former, end := net.a.start()
	former.reach(granted(plan, plan))
	end()
	net.a.del("10.1.2.4/32", "eth0")
	expires := Boottime() + testLifetime/2

	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o, r := newOrders(), newReports()
		w := newWorker(k, &events{}, newSpeaker(1000), o, r, newCensus())
		defer w.speaker.close()
		w.inherited = expires
		o.set(granted(plan, plan))
		w.turn()
		got := r.take()
		if !slices.Equal(got.Present, plan[:1]) || !slices.Equal(got.Lost, plan[1:]) || len(got.Ops) > 0 {
			t.Errorf("present %v, lost %v, done %v; want the first there, the second lost, nothing done", got.Present, got.Lost, got.Ops)
		}
		if h := w.held[placeOf(plan[0])]; h == nil || h.expires < expires {
			t.Errorf("what is there is held as %+v", h)
		}
		if r.expires.Load() == 0 {
			t.Error("nobody is told when it expires")
		}
		o.set(granted(plan[:1], plan))
		w.turn()
		o.set(granted(plan, plan))
		w.turn()
		if got := r.take(); !slices.Equal(got.Present, plan) {
			t.Errorf("after a wish without it, %v are there, want both", got.Present)
		}
		return nil
	}))
}
