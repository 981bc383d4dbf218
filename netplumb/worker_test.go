package netplumb

import (
	"errors"
	"testing"
	"time"
)

// work runs f with a worker in a namespace of its own, whose events nobody reads yet, and
// where nothing but lo is.
func work(t *testing.T, f func(alone *namespace, w *worker) error) {
	t.Helper()
	alone := newNamespace(t)
	alone.must(alone.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		e, err := subscribe(eventBuffer, k.pid)
		if err != nil {
			return err
		}
		w := newWorker(k, e, newSpeaker(1000), newOrders(), newReports(), newCensus())
		err = f(alone, w)
		w.speaker.close()
		_ = w.events.socket.Close() // its close would wait for a listener for ever
		return err
	}))
}

// turns lets the worker turn by the clock alone until something is so.
func turns(w *worker, so func() bool) error {
	for begin := Boottime(); !so(); w.turn() {
		if Boottime()-begin > patience {
			return errors.New("never so")
		}
		time.Sleep(min(max(0, w.wake()-Boottime()), patience))
	}
	return nil
}

// Everything is read anew once a second, whatever events say: what somebody added goes.
func TestStraysGoWithoutEvents(t *testing.T) {
	t.Parallel()
	plan := vips(t, "10.1.2.3/32 on lo", "10.1.2.4/32 on lo")
	work(t, func(alone *namespace, w *worker) error {
		w.orders.set(granted(plan[:1], plan))
		w.turn()
		alone.add("10.1.2.4/32", "lo")
		return turns(w, func() bool { return len(alone.addresses("lo")) == 2 }) // with 127.0.0.1
	})
}

// A subscription that the kernel ended is followed by another, and what happened in between
// is found out.
func TestAFailedSubscriptionIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	plan := vips(t, "10.1.2.3/32 on lo")
	work(t, func(alone *namespace, w *worker) error {
		w.orders.set(granted(plan, plan))
		w.turn()
		go w.events.listen()
		first, broken := w.events, errors.New("the kernel says no")
		first.failure.Store(&broken)
		alone.del("10.1.2.3/32", "lo")
		if err := turns(w, func() bool { return w.events != first }); err != nil {
			return err
		}
		if err := turns(w, func() bool { return w.lost[placeOf(plan[0])] }); err != nil {
			return err
		}
		// From here on the new one tells: nothing else makes it look.
		w.lookAt, w.pollAt = Boottime()+time.Hour, Boottime()+time.Hour
		<-w.events.wake
		w.turn()
		alone.add("10.1.2.9/32", "lo")
		select {
		case <-w.events.wake:
		case <-time.After(patience):
			t.Error("the new subscription tells nothing")
		}
		w.events.close()
		return nil
	})
}

// An address that is there already when it becomes wanted is neither held nor spoken for
// before there is a grant.
func TestWhatIsThereWaitsForTheGrant(t *testing.T) {
	t.Parallel()
	plan := vips(t, "10.1.2.3/32 on lo")
	work(t, func(alone *namespace, w *worker) error {
		alone.add("10.1.2.3/32", "lo")
		d := granted(plan, plan)
		d.GrantUntil = Boottime()
		w.orders.set(d)
		if w.turn(); len(w.held) > 0 {
			t.Error("held without a grant")
		}
		w.orders.set(granted(plan, plan))
		if w.turn(); len(w.held) != 1 {
			t.Error("not held with one")
		}
		return nil
	})
}

// Whoever counts on how long the kernel has the addresses hears of each round of extensions,
// once, however many there are.
func TestAnExtensionIsTold(t *testing.T) {
	t.Parallel()
	plan := many(batch + 1)
	for i := range plan {
		plan[i].Interface = "lo"
	}
	work(t, func(_ *namespace, w *worker) error {
		w.orders.set(granted(plan, plan))
		w.turn()
		<-w.reports.changed // that all are there
		first, told := w.reports.expires.Load(), 0
		return turns(w, func() bool {
			now, said := w.reports.expires.Load(), false
			select {
			case <-w.reports.changed:
				said = true
			default:
			}
			if now != first && len(w.extension.queue) == 0 {
				first, told = now, told+1
				if !said {
					t.Error("a round was not told")
				}
			} else if said && len(w.extension.queue) > 0 {
				t.Error("told amid a round")
			}
			return told == 3
		})
	})
}

// Who has no grant any more doesn't even complete an announcement.
func TestTheSecondFormNeedsTheGrant(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
	q, _ := net.b.start()
	q.reach(granted(nil, plan))
	s := newSpeaker(1000)
	net.a.must(net.a.enter(func() error {
		_, err := s.tend(portID{link: "eth0"}, linkFacts{index: net.a.link("eth0").Attrs().Index, mac: us[:]}, true)
		return err
	}))
	defer s.close()
	for i, tt := range []struct {
		until time.Duration
		want  int
	}{{Boottime(), 1}, {Boottime() + time.Hour, 2}} {
		s.take(placeOf(plan[i]))
		s.second(tt.until)
		last := plan[i].Address.Addr().Next().Next()
		s.ask("eth0", last)
		got := 0
		q.hears("the question", func(h Heard) bool {
			if h.Kind == Announcement {
				got++
			}
			return h.Kind == Other && h.Target == last
		})
		if got != tt.want {
			t.Errorf("with %v of a grant left: %d announcements, want %d", tt.until, got, tt.want)
		}
		time.Sleep(2 * lullEvery) // or the next question may pass for a repetition
	}
}
