package netplumb

import (
	"errors"
	"testing"
	"time"
)

// An address that is extended outlives its lifetime several times; when the grants end it
// goes by itself, and is not added again before it was once not wanted.
func TestExtendAndExpire(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0")
	d := granted(plan, plan)
	p.reach(d)
	for end := time.Now().Add(testLifetime + 2*time.Second); time.Now().Before(end); {
		select {
		case <-p.Changed():
			p.read()
		case <-time.After(100 * time.Millisecond):
		}
		if len(p.last.Lost) > 0 || len(p.last.Present) != 1 {
			t.Fatalf("an extended address went: %+v", p.last)
		}
	}
	d.GrantUntil = Boottime()
	p.Set(d)
	p.until("expired", func(r Report) bool { return len(r.Present) == 0 && len(r.Lost) == 1 })
	if len(net.a.addresses("eth0")) != 1 {
		t.Errorf("addresses: %v", net.a.addresses("eth0"))
	}

	// The grant is back, but another node may have it by now.
	p.ops = nil
	p.reach(granted(plan, plan))
	time.Sleep(3 * lookEvery / 2)
	p.read()
	if len(p.last.Present) != 0 || len(p.ops) != 0 {
		t.Errorf("an expired address came back unasked: %v, %v", p.last.Present, p.ops)
	}
	p.reach(granted(nil, plan))
	p.reach(granted(plan, plan))
	p.until("plumbed anew", func(r Report) bool { return len(r.Present) == 1 && len(r.Lost) == 0 })
}

// Without a grant nothing is added; with it everything is, at once and without a new wish.
func TestNoGrantNoAddress(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o := newOrders()
		w := newWorker(k, &events{}, newSpeaker(1000), o, newReports(), newCensus())
		defer w.speaker.close()
		d := granted(plan, plan)
		d.GrantUntil = Boottime()
		o.set(d)
		w.turn()
		r := w.reports.take()
		if len(net.a.addresses("eth0")) != 1 || len(r.Failed) != 1 || !errors.Is(r.Failed[0].Err, errNoGrant) {
			t.Errorf("without a grant: %v, failed %v", net.a.addresses("eth0"), r.Failed)
		}
		o.set(granted(plan, plan))
		w.turn()
		if r := w.reports.take(); len(net.a.addresses("eth0")) != 2 || len(r.Failed) != 0 || len(r.Present) != 1 {
			t.Errorf("with a grant: %v, %+v", net.a.addresses("eth0"), r)
		}
		return nil
	}))
}

// Somebody deletes an address: it is told at once and not added again, however often it is
// extended, until it was once not wanted. A state that nobody took counts.
func TestExtensionNeverCreates(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
	p.reach(granted(plan, plan))
	net.a.del("10.1.2.3/32", "eth0")
	r := p.until("told", func(r Report) bool { return len(r.Lost) == 1 })
	if r.Lost[0] != plan[0] || len(r.Present) != 1 {
		t.Errorf("lost %v, present %v", r.Lost, r.Present)
	}
	p.ops = nil
	stop := p.keep(granted(plan, plan))
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got := net.a.addresses("eth0"); len(got) != 2 {
			t.Fatalf("addresses: %v", got)
		}
	}
	stop()
	p.read()
	if len(p.ops) != 0 {
		t.Errorf("operations: %v", p.ops)
	}
	p.Set(granted(plan[1:], plan))
	p.Set(granted(plan, plan))
	p.until("claimed anew", func(r Report) bool { return len(r.Present) == 2 && len(r.Lost) == 0 })
}

// The check right before an extension is on the clock and on the kernel, not only on
// events: here no event ever comes, and the extension is due.
func TestExtensionLooksFirst(t *testing.T) {
	net := newLAN(t)
	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o := newOrders()
		w := newWorker(k, &events{}, newSpeaker(1000), o, newReports(), newCensus())
		defer w.speaker.close()
		plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
		o.set(granted(plan, plan))
		w.turn()
		if len(w.held) != 2 {
			t.Fatalf("held: %v", w.held)
		}
		net.a.del("10.1.2.3/32", "eth0")
		w.held[placeOf(plan[1])].expires -= testLifetime - extendMargin // this one is too late
		w.extension.at = 0
		w.extend()
		if len(w.held) != 0 || !w.lost[placeOf(plan[0])] || !w.lost[placeOf(plan[1])] {
			t.Errorf("held %v, lost %v", w.held, w.lost)
		}
		w.turn() // what came too late must not stay behind
		if got := net.a.addresses("eth0"); len(got) != 1 {
			t.Errorf("addresses: %v", got)
		}
		return nil
	}))
}

// A process that takes over from one that was upgraded finds its addresses and keeps them.
func TestAddressesThatAreThereAreKept(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/24 on eth0")
	p, stop := net.a.start()
	p.reach(granted(plan, plan))
	stop()
	if len(net.a.addresses("eth0")) != 2 {
		t.Fatal("the end of Run removed the address")
	}
	p, _ = net.a.start()
	p.reach(granted(plan, plan))
	time.Sleep(testLifetime + 2*time.Second) // more than the kernel needs to drop it
	p.read()
	if len(p.ops) != 0 || len(p.last.Present) != 1 || len(net.a.addresses("eth0")) != 2 {
		t.Errorf("operations %v, present %v", p.ops, p.last.Present)
	}
}
