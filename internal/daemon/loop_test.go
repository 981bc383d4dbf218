package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/plugin"
)

// soloText is a cluster of one: what it wants it gets as soon as it is mature.
var soloText = strings.Replace(planText, "[a, b]", "[a]", 1)

// Each test runs in a bubble, which fails when a goroutine outlives the daemon.

func TestLeftOversGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText, func(n *fakeNode) {
			for _, g := range n.loop.config.Plan.Groups {
				n.kernel.have[g.VIPs[0]] = true
			}
		})
		time.Sleep(10 * time.Second)
		first := w.find(0, "a sends")
		if removed := w.find(0, "a removes 10.0.0.1"); removed < 0 || removed > first {
			t.Errorf("10.0.0.1 was removed at %d, the first packet went out at %d", removed, first)
		}
		if added := w.find(0, "a adds 10.0.0.1"); added < first {
			t.Errorf("10.0.0.1 was added at %d, before the first packet at %d", added, first)
		}
		if !n.log.has("removed a left-over of an earlier process") {
			t.Errorf("the log does not tell of left-overs:\n%s", n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestStopSeesTheAddressesGoneBeforeTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Fatalf("the only node has %v, want both addresses\n%s", got, n.log)
		}
		from, before := w.length(), time.Now()
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("stopping took %v, the deadline is 5 s", took)
		}
		if !n.log.has(`msg="stopping: handing over" why=terminated`) {
			t.Errorf("the log does not tell why it stops:\n%s", n.log)
		}
		if got := n.kernel.addresses(); len(got) != 0 {
			t.Errorf("after the end the kernel still has %v", got)
		}
		// The farewell is the one packet that is sent several times.
		last := w.diary[len(w.diary)-1]
		if copies := len(slices.DeleteFunc(slices.Clone(w.diary[from:]), func(e string) bool { return e != last })); copies != farewells {
			t.Errorf("the last packet was sent %d times, want %d", copies, farewells)
		}
		farewell := slices.Index(w.diary, last)
		for _, addr := range []string{"10.0.0.1", "10.0.0.2"} {
			if removed := w.find(from, "a removes "+addr); removed < 0 || removed > farewell {
				t.Errorf("%s was removed at %d, the farewell began at %d", addr, removed, farewell)
			}
		}
		if !n.log.has("released web (10.0.0.1/24): stopping") {
			t.Errorf("the log does not tell of the release:\n%s", n.log)
		}
	})
}

func TestAnAddressThatStaysForbidsTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		stuck := n.loop.config.Plan.Groups[0].VIPs[0]
		n.kernel.meddle(func() { n.kernel.stuck = stuck })
		close(n.hurry)
		err := n.end()
		if err == nil || !strings.Contains(err.Error(), stuck.Address.String()) {
			t.Errorf("got %v, want an error that names %s", err, stuck.Address)
		}
		last := w.diary[len(w.diary)-1]
		if n := len(slices.DeleteFunc(slices.Clone(w.diary), func(e string) bool { return e != last })); n > 1 {
			t.Errorf("the last packet was sent %d times: a farewell was said", n)
		}
	})
}

func TestTwoNodesHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		if got := append(a.kernel.addresses(), b.kernel.addresses()...); len(got) != 2 {
			t.Fatalf("the nodes have %v together, want each address once\n%s\n%s", got, a.log, b.log)
		}
		from := w.length()
		held := a.kernel.addresses()
		if err := a.end(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, addr := range held {
			removed, added := w.find(from, "a removes "+addr), w.find(from, "b adds "+addr)
			if removed < 0 || added < removed {
				t.Errorf("%s: removed at a at %d, added at b at %d", addr, removed, added)
			}
			if !b.log.has("(" + addr + "/24): a left") {
				t.Errorf("the log of b does not say why it took %s:\n%s", addr, b.log)
			}
		}
		if got := b.kernel.addresses(); len(got) != 2 {
			t.Errorf("b has %v, want both addresses", got)
		}
		if err := b.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestDrainHandsOverAndUndrainComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		if _, err := a.loop.Do(t.Context(), ctlsocket.Command{Verb: ctlsocket.Drain}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := a.kernel.addresses(); len(got) != 0 {
			t.Errorf("the drained node has %v\n%s", got, a.log)
		}
		if got := b.kernel.addresses(); len(got) != 2 {
			t.Errorf("the other node has %v", got)
		}
		if s := a.loop.Status(); s.State.Active || s.State.InactiveReason == nil || !strings.HasPrefix(*s.State.InactiveReason, "drained since 2000-01-01T00:00Z") {
			t.Errorf("status: %+v, want inactive for being drained", s.State)
		}
		if _, err := a.loop.Do(t.Context(), ctlsocket.Command{Verb: ctlsocket.Undrain}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if s := a.loop.Status(); !s.State.Active {
			t.Errorf("status after undrain: %+v", s.State)
		}
		if err := errors.Join(a.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}

func TestAGapStartsOver(t *testing.T) {
	t.Run("in order", func(t *testing.T) { startsOver(t, func(*fakeNode) {}) })
	t.Run("the disk stands still", func(t *testing.T) {
		startsOver(t, func(n *fakeNode) {
			n.loop.nextBoot = func() (uint64, error) { time.Sleep(5 * time.Second); return 0, nil }
		})
	})
}

func startsOver(t *testing.T, meanwhile func(*fakeNode)) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		from := w.length()
		if err := n.loop.inLoop(t.Context(), func(time.Time) { meanwhile(n) }); err != nil {
			t.Fatal(err)
		}
		n.suspend(3 * time.Second)
		time.Sleep(500 * time.Millisecond)
		removed, sent := w.find(from, "a removes 10.0.0.1"), w.find(from, "a sends")
		if removed < 0 || sent >= 0 && sent < removed {
			t.Errorf("after the gap: removed at %d, first packet at %d; want the removal first\n%s", removed, sent, n.log)
		}
		if !n.log.has("it starts over") {
			t.Errorf("the log does not tell of the gap:\n%s", n.log)
		}
		time.Sleep(10 * time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("long after the gap the node has %v", got)
		}
		if !slices.ContainsFunc(n.loop.Status().Alarms, func(a ctlsocket.Alarm) bool { return a.Name == ctlsocket.AlarmClockGap }) {
			t.Error("no clock-gap alarm")
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestStarvedIsNotDeaf: a process that was starved concludes nothing from silence before what
// waits in its socket is read, and be its reader late.
func TestStarvedIsNotDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		text := strings.Replace(planText, "[a, b]", "[a, b, c]", 1)
		text = strings.Replace(text, "{name: web,", "{name: web, prefer: [a],", 1)
		all := []*fakeNode{w.start(t, "a", text), w.start(t, "b", text), w.start(t, "c", text)}
		time.Sleep(10 * time.Second)
		a, from := all[0], w.length()
		socket := w.sockets[0]
		err := a.loop.inLoop(t.Context(), func(time.Time) {
			// The reader has nothing, and what comes from now on is for later.
			for len(socket.in) > 0 || len(a.loop.chat.batches) > 0 {
				a.loop.chat.free <- <-a.loop.chat.batches
			}
			stuck := make(chan struct{})
			socket.stuck.Store(&stuck)
			time.Sleep(450 * time.Millisecond) // long enough to be deaf, and not for others to take anything
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		close(*socket.stuck.Load())
		time.Sleep(2 * time.Second)
		if i := w.find(from, "removes"); i >= 0 {
			t.Errorf("%s, though nobody was cut off:\n%s", w.diary[i], a.log)
		}
		for _, n := range all {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAGapInATurnStartsOver: a process that is stopped between an input and its turn extends
// nothing by what it knew before, and starts over at the next one.
func TestAGapInATurnStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := n.loop.inLoop(t.Context(), func(time.Time) { n.suspend(3 * time.Second) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if !n.log.has("it starts over") {
			t.Errorf("the gap was not noticed:\n%s", n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestADeadLinkIsGivenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		n.kernel.meddle(func() { n.kernel.link.Carrier = false })
		synctest.Wait()
		if got := n.kernel.addresses(); len(got) != 0 {
			t.Errorf("without carrier the node has %v", got)
		}
		s := n.loop.Status()
		if want := "barred here by link: eth0 has no carrier"; !strings.Contains(s.Groups[0].Reason, want) {
			t.Errorf("the group's reason is %q, want %q in it", s.Groups[0].Reason, want)
		}
		n.kernel.meddle(func() { n.kernel.link.Carrier = true })
		time.Sleep(5 * time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("with the carrier back the node has %v\n%s", got, n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestARefusedAddressGoesToTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.start(t, "a", planText, func(n *fakeNode) { n.kernel.refuse = errors.New("operation not permitted") })
		b := w.start(t, "b", planText)
		time.Sleep(30 * time.Second)
		if got := b.kernel.addresses(); len(got) != 2 {
			t.Errorf("the node whose kernel obeys has %v\n%s", got, b.log)
		}
		if !a.log.has(`"alarm: operation not permitted" alarm=cannot-plumb`) {
			t.Errorf("no alarm that a cannot plumb:\n%s", a.log)
		}
		if err := errors.Join(a.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}

func TestABrokenHelperEndsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText, func(n *fakeNode) { n.kernel.broken = errors.New("netlink: operation not permitted") })
		if err := <-n.ended; err == nil || err.Error() != "kernel: netlink: operation not permitted" {
			t.Errorf("got %v, want what broke", err)
		}
		n.stop()
	})
}

// moody is a plugin that bars the node when told so, and passes on its events.
type moody struct {
	bar    chan bool
	events chan plugin.Event
}

func (moody) Name() string { return "moody" }

func (m moody) Run(ctx context.Context, host plugin.Host) error {
	events := host.Events()
	for {
		select {
		case bar := <-m.bar:
			host.Vote(plugin.Vote{Bar: bar, Reason: "a bad day"})
		case e := <-events:
			m.events <- e
		case <-ctx.Done():
			return nil
		}
	}
}

func TestAPluginBarsTheNodeAndHearsWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		m := moody{make(chan bool), make(chan plugin.Event, 100)}
		a := w.start(t, "a", planText, func(n *fakeNode) { n.setPlugins(m) })
		b := w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		if len(a.kernel.addresses()) == 0 {
			t.Fatalf("a has nothing to lose\n%s", a.log)
		}
		for len(m.events) > 0 {
			<-m.events
		}
		m.bar <- true
		time.Sleep(2 * time.Second)
		if got := a.kernel.addresses(); len(got) != 0 {
			t.Errorf("the barred node has %v", got)
		}
		if got := b.kernel.addresses(); len(got) != 2 {
			t.Errorf("the other node has %v, want both", got)
		}
		if s := a.loop.Status(); s.State.InactiveReason == nil || *s.State.InactiveReason != "plugin moody: a bad day" {
			t.Errorf("the status says %v", s.State.InactiveReason)
		}
		var kinds []plugin.Kind
		for len(m.events) > 0 {
			kinds = append(kinds, (<-m.events).Kind)
		}
		for _, k := range []plugin.Kind{plugin.NotEligible, plugin.Releasing, plugin.Released} {
			if !slices.Contains(kinds, k) {
				t.Errorf("the plugin heard %v, want %s among them", kinds, k)
			}
		}
		m.bar <- false
		time.Sleep(time.Second)
		if s := a.loop.Status(); !s.State.Active {
			t.Errorf("still inactive: %+v", s.State)
		}
		if err := errors.Join(a.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}

func TestMuteIsToldOnce(t *testing.T) {
	var log logged
	var m mute
	l, now := slog.New(slog.NewTextHandler(&log, nil)), time.Unix(0, 0)
	for i := range 100 {
		m.note(now.Add(time.Duration(i)*100*time.Millisecond), l, errors.New("operation not permitted"))
	}
	m.note(now.Add(2*time.Minute), l, nil)
	m.note(now.Add(3*time.Minute), l, nil)
	text := log.String()
	if n := strings.Count(text, "cannot send"); n != 1 {
		t.Errorf("told %d times", n)
	}
	if n := strings.Count(text, "works again"); n != 1 {
		t.Errorf("the end was told %d times", n)
	}
}
