package daemon

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// half is an order to drain for half an hour.
var half = ctlsocket.Command{Verb: ctlsocket.Drain, By: "alice", For: 1800}

// An order with an end ends by itself, and everybody is told who gave it and until when.
func TestDrainForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		message, err := a.loop.Do(t.Context(), half)
		if err != nil || !strings.Contains(message, "it takes part again at 2000-01-01T00:30:10Z") {
			t.Fatalf("%q, %v", message, err)
		}
		time.Sleep(2 * time.Second)
		const want = "drained until 2000-01-01T00:30Z by alice at a since 2000-01-01T00:00Z"
		if s := a.loop.Status(); s.State.InactiveReason == nil || *s.State.InactiveReason != want || s.Drained == nil || s.Drained.By != "alice" {
			t.Errorf("the status says %+v, %+v", s.State.InactiveReason, s.Drained)
		}
		if p := b.loop.Status().Peers[0]; p.Eligible || p.Reason != want {
			t.Errorf("the other node says %v, %q", p.Eligible, p.Reason)
		}
		time.Sleep(30*time.Minute - 3*time.Second)
		if s := a.loop.Status(); s.State.Active {
			t.Error("it ended too early")
		}
		time.Sleep(2 * time.Second)
		if s := a.loop.Status(); !s.State.Active || s.Drained != nil || !a.log.has("its time is over") {
			t.Errorf("it did not end: %+v, %+v", s.State, s.Drained)
		}
		if _, err := os.Stat(a.state.drainFile()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its file is still there: %v", err)
		}
		if err := errors.Join(a.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}

// A drained node that is started again is drained still, and takes part when the order ends.
func TestDrainOutlivesTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		b := w.start(t, "b", planText)
		a := w.start(t, "a", planText)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, err := a.loop.Do(t.Context(), half); err != nil {
			t.Fatal(err)
		}
		if err := a.end(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		again := w.start(t, "a", planText, func(n *fakeNode) {
			n.state = a.state
			d, err := n.state.loadDrain(time.Now())
			if err != nil {
				t.Error(err)
			}
			n.loop.drained, n.loop.saveDrain = d, n.state.saveDrain
		})
		time.Sleep(19 * time.Minute)
		if s := again.loop.Status(); s.State.Active || s.Drained == nil || s.Drained.By != "alice" {
			t.Errorf("it forgot the order: %+v, %+v", s.State, s.Drained)
		}
		time.Sleep(time.Minute)
		if s := again.loop.Status(); !s.State.Active {
			t.Errorf("the order did not end: %+v", s.State)
		}
		if err := errors.Join(again.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}

// What can't be kept is done all the same, and said.
func TestDrainOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText, func(n *fakeNode) {
			n.loop.saveDrain = func(*drain) error { return errors.New("no space left on device") }
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		message, err := n.loop.Do(t.Context(), half)
		if err != nil || !strings.Contains(message, "goes on serving what it holds") || !strings.Contains(message, "a restart will forget that: no space left on device") {
			t.Errorf("%q, %v", message, err)
		}
		if n.loop.Status().Drained == nil {
			t.Error("it is not drained")
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// The program that takes over is told of the order, also where it couldn't be kept.
func TestDrainIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, err := n.loop.Do(t.Context(), half); err != nil {
			t.Fatal(err)
		}
		var text []byte
		var err error
		if e := n.loop.inLoop(t.Context(), func(now time.Time) { text, err = json.Marshal(n.loop.handover(now)) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
		h, err := readHandover(text)
		if err != nil || h.Drain == nil || h.Drain.note() != n.loop.drained.note() || !h.Drain.Until.Equal(n.loop.drained.Until) {
			t.Errorf("handed over: %+v, %v; in force: %+v", h.Drain, err, n.loop.drained)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestLoadDrain(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d := &drain{By: "alice", From: "a", Since: now, Until: now.Add(time.Hour)}
	s := &state{dir: t.TempDir()}
	if got, err := s.loadDrain(now); got != nil || err != nil {
		t.Errorf("of no file: %+v, %v", got, err)
	}
	if err := s.saveDrain(d); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after, left time.Duration
	}{
		{0, time.Hour},
		{20 * time.Minute, 40 * time.Minute},
		{-9 * time.Hour, time.Hour}, // the wall clock was set back
	} {
		at := now.Add(c.after)
		got, err := s.loadDrain(at)
		if err != nil || got == nil || *got != *d {
			t.Fatalf("after %v: %+v, %v", c.after, got, err)
		}
		if left := got.order(at).Until.Sub(at); left != c.left {
			t.Errorf("after %v there are %v left, want %v", c.after, left, c.left)
		}
	}
	if got, err := s.loadDrain(now.Add(time.Hour)); got != nil || err != nil {
		t.Errorf("when it is over: %+v, %v", got, err)
	}
	if got, err := s.loadDrain(now); got != nil || err != nil {
		t.Errorf("its file is still there: %+v, %v", got, err)
	}
	if err := os.WriteFile(s.drainFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.loadDrain(now); got == nil || err == nil || !strings.Contains(err.Error(), "vippyctl undrain") {
		t.Errorf("of a broken file: %+v, %v", got, err)
	}
	if err := s.saveDrain(nil); err != nil {
		t.Error(err)
	}
	if err := s.saveDrain(nil); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
