package daemon

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/guard"
)

// fakeGuard writes into the world's diary what it is told.
type fakeGuard struct {
	world   *world
	changed chan struct{}

	mu      sync.Mutex
	deaf    bool
	trouble string
	will    []byte
	until   time.Duration
}

func (g *fakeGuard) Run(ctx context.Context) error {
	g.changed <- struct{}{}
	<-ctx.Done()
	return nil
}
func (g *fakeGuard) Changed() <-chan struct{} { return g.changed }

func (g *fakeGuard) Status() (int, string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return 4711, g.trouble
}

func (g *fakeGuard) Charge(c guard.Charge) {
	var all []string
	for _, v := range c.Managed {
		all = append(all, v.Address.Addr().String())
	}
	slices.Sort(all)
	g.world.write("guard: charge %s", strings.Join(all, " "))
}

func (g *fakeGuard) Will(will []cluster.Datagram) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !bytes.Equal(g.will, will[0].Data) {
		g.will = will[0].Data
		g.world.write("guard: will %x", will[0].Data)
	}
}

func (g *fakeGuard) Grant(until time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.deaf {
		return false
	}
	if until == 0 && g.until != 0 {
		g.world.write("guard: idle")
	} else if until != 0 && g.until == 0 {
		g.world.write("guard: granted")
	}
	g.until = until
	return true
}

func (g *fakeGuard) Bye()       { g.world.write("guard: bye") }
func (g *fakeGuard) Yours()     { g.world.write("guard: yours") }
func (g *fakeGuard) End() error { return nil }

func (g *fakeGuard) Steady() bool { return true }

func (g *fakeGuard) Bequeath() (*guard.Heirloom, func(), error) { return nil, func() {}, nil }

// set changes what the guard is like.
func (g *fakeGuard) set(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// guarded starts the only node of a cluster, with a guard.
func guarded(t *testing.T, w *world) (*fakeNode, *fakeGuard) {
	t.Helper()
	g := &fakeGuard{world: w, changed: make(chan struct{}, 1)}
	n := w.start(t, "a", soloText, func(n *fakeNode) { n.loop.guard = g })
	time.Sleep(10 * time.Second)
	if got := n.kernel.addresses(); len(got) != 2 {
		t.Fatalf("the only node has %v, want both addresses\n%s", got, n.log)
	}
	return n, g
}

func TestTheGuardKnowsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, g := guarded(t, &w)
		charge, will, granted, added := w.find(0, "guard: charge 10.0.0.1 10.0.0.2"), w.find(0, "guard: will"), w.find(0, "guard: granted"), w.find(0, "a adds")
		if charge < 0 || will < charge || granted < will || added < granted {
			t.Errorf("charged at %d, will at %d, granted at %d, added at %d", charge, will, granted, added)
		}
		g.mu.Lock()
		if left := g.until - n.kernel.boottime(); left <= 0 || left > n.loop.config.Lifetime {
			t.Errorf("the guard's grant has %v left", left)
		}
		g.mu.Unlock()
		if s := n.loop.Status(); s.Guard != (ctlsocket.Guard{PID: 4711, OK: true}) {
			t.Errorf("status shows the guard %+v", s.Guard)
		}
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
		removed, bye := w.find(0, "a removes"), w.find(0, "guard: bye")
		last := w.find(removed, "a sends")
		if bye < 0 || bye < removed || bye < last {
			t.Errorf("removed at %d, last words from %d, goodbye at %d", removed, last, bye)
		}
	})
}

// A kernel that hangs with an address on its way in has none yet: only the guard, once it
// has seen it gone, may say that this node has nothing.
func TestAHungKernelIsLeftToTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		g := &fakeGuard{world: &w, changed: make(chan struct{}, 1)}
		n := w.start(t, "a", soloText, func(n *fakeNode) { n.loop.guard = g })
		time.Sleep(100 * time.Millisecond)
		n.kernel.meddle(func() { n.kernel.hung = n.kernel.seq })
		time.Sleep(10 * time.Second)
		n.kernel.meddle(func() {
			if len(n.kernel.desired.VIPs) != 2 || len(n.kernel.have) != 0 {
				t.Errorf("desired %v, there %v; the test needs addresses on their way in", n.kernel.desired.VIPs, n.kernel.have)
			}
		})
		if err := n.end(); err == nil || !strings.Contains(err.Error(), "the kernel does not answer") {
			t.Errorf("got %v", err)
		}
		if w.find(0, "guard: bye") >= 0 {
			t.Error("the guard was told that all is gone")
		}
		last := w.diary[len(w.diary)-1]
		if n := len(slices.DeleteFunc(slices.Clone(w.diary), func(e string) bool { return e != last })); n > 1 {
			t.Errorf("the last packet was sent %d times: a farewell was said", n)
		}
	})
}

// What the guard was not told doesn't count: the kernel's lifetime ends it.
func TestAGrantTheGuardDidNotGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, g := guarded(t, &w)
		g.set(func() { g.deaf = true })
		time.Sleep(2 * n.loop.config.Lifetime)
		if s := n.loop.Status(); s.Grant.Valid {
			t.Errorf("the grant is valid for %d ms more", s.Grant.RemainingMS)
		}
		g.set(func() { g.deaf = false })
		time.Sleep(n.loop.config.Lifetime)
		if s := n.loop.Status(); !s.Grant.Valid {
			t.Error("the grant is not valid although the guard listens again")
		}
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// Between two turns the guard is told that the kernel has the addresses for longer now: a
// process that is starved again before the next one would lose them.
func TestTheGuardHearsOfAnExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, g := guarded(t, &w)
		const ago = 300 * time.Millisecond
		n.kernel.meddle(func() { n.kernel.left = n.loop.config.Lifetime - ago })
		time.Sleep(n.loop.config.Lifetime)
		synctest.Wait()
		until := func() time.Duration {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.until
		}
		before := until()
		n.kernel.meddle(func() {
			n.kernel.left = 0
			n.kernel.tell()
		})
		synctest.Wait()
		if more := until() - before; more < ago/2 || more > ago {
			t.Errorf("after an extension the guard waits %v longer, want what the kernel had been behind, at most %v", more, ago)
		}
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// A turn grants another lifetime if its announcement went out, and else what the last one
// left: who can't speak must not go on for ever.
func TestOnlyAnAnnouncementGrants(t *testing.T) {
	l := &loop{parts: parts{guard: unguarded{}}, config: &config.Config{Lifetime: time.Second}, kernel: &kernel{plumber: &scriptedPlumber{}}}
	boot := time.Hour
	l.extend(boot, false, false, 0)
	if l.grant != 0 {
		t.Errorf("without a word it is granted %v", l.grant-boot)
	}
	l.extend(boot, true, false, 0)
	l.extend(boot+400*time.Millisecond, false, false, 0)
	if l.grant != boot+time.Second {
		t.Errorf("400 ms after its last announcement it is granted %v, want what is left of a second", l.grant-boot-400*time.Millisecond)
	}
	l.extend(boot+400*time.Millisecond, true, false, 0)
	if l.grant != boot+1400*time.Millisecond {
		t.Errorf("with an announcement it is granted %v, want a second", l.grant-boot-400*time.Millisecond)
	}
}

func TestNoGuardIsAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, g := guarded(t, &w)
		alarms := func() (names []string) {
			for _, a := range n.loop.Status().Alarms {
				names = append(names, a.Name)
			}
			return names
		}
		g.set(func() { g.trouble = "it was killed" })
		if s := n.loop.Status(); s.Guard.OK || !slices.Contains(alarms(), ctlsocket.AlarmNoGuard) {
			t.Errorf("without a guard the status shows %+v and the alarms %v", s.Guard, alarms())
		}
		time.Sleep(time.Minute)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("without a guard the node serves %v, want both", got)
		}
		g.set(func() { g.trouble = "" })
		if s := n.loop.Status(); !s.Guard.OK || slices.Contains(alarms(), ctlsocket.AlarmNoGuard) {
			t.Errorf("with a guard again the status shows %+v and the alarms %v", s.Guard, alarms())
		}
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// The guard's knowledge follows the plan, the keys and the boot id, before anything is
// held by them.
func TestTheGuardIsToldAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, _ := guarded(t, &w)
		from := w.length()
		n.setFile(strings.Replace("version: 2\n"+soloText, "10.0.0.2/24", "10.0.0.3/24", 1))
		n.reload <- struct{}{}
		time.Sleep(10 * time.Second)
		charge, added := w.find(from, "guard: charge 10.0.0.1 10.0.0.2 10.0.0.3"), w.find(from, "a adds 10.0.0.3")
		if charge < 0 || added < charge {
			t.Errorf("after another plan: charged at %d, added at %d\n%s", charge, added, n.log)
		}
		from = w.length()
		n.setFile(strings.Replace("version: 2\n"+soloText, "correct horse battery staple", "another secret, as long as the first", 1))
		n.reload <- struct{}{}
		time.Sleep(time.Second)
		if w.find(from, "guard: will") < 0 {
			t.Errorf("after another secret there is no other will\n%s", n.log)
		}
		from = w.length()
		n.suspend(time.Minute)
		time.Sleep(10 * time.Second)
		idle, will, granted, added := w.find(from, "guard: idle"), w.find(from, "guard: will"), w.find(from, "guard: granted"), w.find(from, "a adds")
		if idle < 0 || will < 0 || granted < max(idle, will) || added < granted {
			t.Errorf("after a pause: idle at %d, will at %d, granted at %d, added at %d", idle, will, granted, added)
		}
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// The guard acts while the kernel surely has everything yet: a farewell that comes after an
// address is gone leaves clients without an answer meanwhile. What a majority's end takes the
// daemon removes itself, and has a moment for it.
func TestTheGuardActsBeforeTheKernel(t *testing.T) {
	const boot, ms = time.Hour, time.Millisecond
	for name, tt := range map[string]struct{ expires, term, grant, want time.Duration }{
		"nothing in the kernel yet":          {0, 1000 * ms, 1000 * ms, 950 * ms},
		"extended with the grant":            {boot + 1000*ms, 1000 * ms, 1000 * ms, 950 * ms},
		"extended some time before":          {boot + 750*ms, 1000 * ms, 1000 * ms, 700 * ms},
		"a majority that lapses sooner":      {boot + 1000*ms, 1000 * ms, 400 * ms, 450 * ms},
		"a majority that lapses at the end":  {boot + 1000*ms, 1000 * ms, 990 * ms, 950 * ms},
		"one that lapses, extended long ago": {boot + 300*ms, 1000 * ms, 400 * ms, 250 * ms},
		"a reload has doubled the lifetime":  {boot + 1000*ms, 2000 * ms, 2000 * ms, 950 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			l := &loop{kernel: &kernel{plumber: &scriptedPlumber{expires: tt.expires}}}
			if got := l.deadline(boot+tt.term, boot+tt.grant) - boot; got != tt.want {
				t.Errorf("the guard acts after %v, want %v", got, tt.want)
			}
		})
	}
}
