package netplumb

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Only what somebody deleted is said to be deleted: not what expired, and not what went
// with its link.
func TestWhatIsDeletedIsTold(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0", "2001:db8::3/128 on eth0")
	p.reach(granted(plan, plan))
	net.a.del("10.1.2.3/32", "eth0")
	p.until("told", func(r Report) bool { return len(r.Lost) == 1 })
	if d := cmp.Diff(plan[:1], p.deleted, cmpopts); d != "" {
		t.Errorf("deleted (-want +got):\n%s", d)
	}
	net.a.down("eth0") // which takes IPv6 addresses along
	p.until("told of the link", func(r Report) bool { return len(r.Lost) == 2 })
	d := granted(plan, plan)
	d.GrantUntil = Boottime()
	p.Set(d)
	p.until("expired", func(r Report) bool { return len(r.Lost) == 3 })
	if d := cmp.Diff(plan[:1], p.deleted, cmpopts); d != "" {
		t.Errorf("deleted (-want +got):\n%s", d)
	}
}

// What appears without permission goes: in another form too, and on another link with
// VIPs, since that answers here. What others have on links without VIPs is theirs.
func TestWhatAppearsUnaskedIsRemoved(t *testing.T) {
	net := newLAN(t)
	net.a.must(net.a.h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth1"}}))
	net.a.up("eth1")
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0", "10.8.0.3/24 on eth1")
	for _, held := range [][2]string{{"nothing", ""}, {"held", "10.1.2.3/32"}} {
		want := []string{"10.1.2.1/24"}
		if held[1] != "" {
			p.reach(granted(plan[:1], plan))
			want = append(want, held[1])
		} else {
			p.reach(granted(nil, plan))
		}
		clean := func(what string) {
			t.Helper()
			p.until(what+" removed", func(Report) bool {
				return slices.Equal(net.a.addresses("eth0"), want) && len(net.a.addresses("eth1")) == 0
			})
		}
		net.a.add("10.1.2.3/24", "eth0")
		clean("another form")
		net.a.add("10.1.2.4/32", "eth0")
		clean("another VIP")
		net.a.add("10.1.2.4/25", "eth1")
		clean("a VIP on another link")
		net.a.add("10.1.2.3/32", "eth1")
		clean("the same on another link")
	}
	net.a.add("10.1.2.3/32", "lo")
	p.reach(granted(plan[1:2], plan))
	if got := net.a.addresses("lo"); len(got) != 2 {
		t.Errorf("lo has %v; the one on a link without VIPs is not ours", got)
	}
	if len(p.deleted) > 0 {
		t.Errorf("deleted: %v", p.deleted)
	}
}

// What appears unasked is removed before anybody is told of it: this node would announce that
// it has it, and who rightly has it would let go.
func TestWhatAppearsUnaskedIsNotReported(t *testing.T) {
	alone := newNamespace(t)
	plan := vips(t, "10.1.2.3/32 on lo", "10.1.2.4/32 on lo")
	alone.must(alone.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o := newOrders()
		w := newWorker(k, &events{}, newSpeaker(1000), o, newReports(), newCensus())
		defer w.speaker.close()
		o.set(granted(plan[:1], plan))
		w.turn()
		w.reports.take()
		alone.add("10.1.2.4/32", "lo")
		w.suspect = true
		removed := false
		for w.suspect || w.differs {
			w.turn()
			r := w.reports.take()
			if len(r.Present) != 1 || r.Present[0] != plan[0] {
				t.Errorf("present: %v, want what was granted", r.Present)
			}
			removed = removed || len(r.Ops) == 1 && r.Ops[0].Kind == Remove && r.Ops[0].Address == plan[1].Address
		}
		if !removed {
			t.Error("nobody is told that it was removed")
		}
		return nil
	}))
}

// A deletion whose event found no room is made up for: that events were lost is reason
// enough to look. Those that were not lost are no reason here, being like our own.
func TestLostEventsAreMadeUpFor(t *testing.T) {
	alone := newNamespace(t) // on another link IPv6 makes events of its own
	plan := vips(t, "10.1.2.3/32 on lo", "10.1.2.4/32 on lo")
	alone.must(alone.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		e, err := subscribe(4096, k.pid)
		if err != nil {
			return err
		}
		o := newOrders()
		w := newWorker(k, e, newSpeaker(1000), o, newReports(), newCensus())
		o.set(granted(plan, plan))
		w.turn()
		for range 200 {
			alone.add("10.1.2.4/32", "lo")
		}
		alone.del("10.1.2.3/32", "lo")
		go e.listen()
		defer w.close()
		// Nothing else makes it look: it is no time to, nor to extend.
		w.lookAt, w.pollAt, w.extension.at = Boottime()+time.Hour, Boottime()+time.Hour, Boottime()+time.Hour
		for late := time.After(patience); !w.lost[placeOf(plan[0])]; w.turn() {
			select {
			case <-e.wake:
			case <-late:
				return errors.New("never noticed")
			}
		}
		if e.overruns.Load() == 0 {
			t.Error("no event was lost; the test proves nothing")
		}
		return nil
	}))
}

// A VIP that is secondary to a foreign address stays when that goes. (That foreign ones
// and others of ours stay when a VIP goes is TestSecondariesSurvive.)
func TestForeignPrimary(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.9.0.3/24 on eth0", "10.9.0.4/24 on eth0")
	p, stop := net.a.start()
	p.reach(granted(plan[:1], plan))
	stop()
	// What an earlier process has left, in an order that makes the foreign one the next.
	net.a.add("10.9.0.77/24", "eth0")
	behind, err := netlink.ParseAddr("10.9.0.4/24")
	net.a.must(err)
	behind.Protocol = Mark
	net.a.must(net.a.h.AddrReplace(net.a.link("eth0"), behind))
	p, _ = net.a.start()
	p.reach(granted(plan, plan))
	p.reach(granted(plan[1:], plan))
	list, err := net.a.h.AddrList(net.a.link("eth0"), netlink.FAMILY_V4)
	net.a.must(err)
	for _, a := range list {
		if first := a.Flags&unix.IFA_F_SECONDARY == 0; first != (a.IPNet.String() != "10.9.0.4/24") {
			t.Fatalf("%s is primary: %v; the test needs the foreign one to be", a.IPNet, first)
		}
	}
	net.a.del("10.9.0.77/24", "eth0")
	p.reach(granted(plan[1:], plan[1:]))
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.9.0.4/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after the foreign primary went (-want +got):\n%s", d)
	}
	if len(p.last.Lost) > 0 || len(p.deleted) > 0 {
		t.Errorf("lost %v, deleted %v", p.last.Lost, p.deleted)
	}
}
