package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/hook"
	"github.com/vippy-ha/vippy/internal/upgrade"
	"github.com/vippy-ha/vippy/plugin"
)

// fakeSuccessor keeps what it was handed, and can't be started.
type fakeSuccessor struct {
	refuses error
	state   []byte
	tried   chan struct{}
}

var errNoExec = errors.New("the kernel says no")

func (s *fakeSuccessor) Rehearse(context.Context, []byte) (upgrade.Verdict, error) {
	return upgrade.Verdict{Version: "next"}, s.refuses
}

func (s *fakeSuccessor) Replace(state []byte, _ []*os.File) error {
	s.state = state
	close(s.tried)
	return errNoExec
}

// upgradable starts the only node of a cluster, which could be replaced.
func upgradable(t *testing.T, w *world) (*fakeNode, *fakeSuccessor) {
	t.Helper()
	s := &fakeSuccessor{tried: make(chan struct{})}
	n := w.start(t, "a", soloText, func(n *fakeNode) {
		n.loop.successor = s
		n.loop.files = func() ([]*os.File, error) {
			f, err := os.Open(os.DevNull)
			return []*os.File{lockFile: nil, controlFile: f}, err
		}
	})
	time.Sleep(10 * time.Second)
	if got := n.kernel.addresses(); len(got) != 2 {
		t.Fatalf("the only node has %v, want both addresses\n%s", got, n.log)
	}
	return n, s
}

// A program that is not fit is refused with its reason, and nothing has changed.
func TestUpgradeRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, s := upgradable(t, &w)
		s.refuses = errors.New("this program is broken")
		from := w.length()
		_, err := n.loop.Do(t.Context(), ctlsocket.Command{Verb: ctlsocket.Upgrade})
		if refusal := (*ctlsocket.Error)(nil); !errors.As(err, &refusal) || !refusal.Answered() || refusal.Message != s.refuses.Error() {
			t.Errorf("got %v, want the reason", err)
		}
		time.Sleep(3 * time.Second)
		if w.find(from, "a removes") >= 0 || w.find(from, "a adds") >= 0 {
			t.Error("a refused upgrade changed the kernel")
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// A program that can't be started after all leaves the old one as it was; and what it was
// handed makes another go on where this one was.
func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, s := upgradable(t, &w)
		before := n.loop.Status()
		from := w.length()
		ctx, answered := context.WithCancel(t.Context())
		if message, err := n.loop.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Upgrade}); err != nil || message != "next goes on from test" {
			t.Fatalf("got %q, %v", message, err)
		}
		time.Sleep(time.Second)
		if s.state != nil {
			t.Error("the program was replaced before the answer was out")
		}
		if _, err := n.loop.Do(t.Context(), ctlsocket.Command{Verb: ctlsocket.Upgrade}); err == nil {
			t.Error("a second upgrade began")
		}
		answered()
		<-s.tried
		time.Sleep(3 * time.Second)
		if !n.log.has("upgrade failed, this program goes on") || !n.log.has(errNoExec.Error()) {
			t.Errorf("the log does not say what failed:\n%s", n.log)
		}
		if w.find(from, "a removes") >= 0 || w.find(from, "a adds") >= 0 {
			t.Error("a failed upgrade changed the kernel")
		}
		if now := n.loop.Status(); now.Program != before.Program {
			t.Errorf("the program is %+v, before %+v", now.Program, before.Program)
		}
		have := maps.Clone(n.kernel.have)
		events, _ := n.loop.Events(0)
		if err := n.end(); err != nil {
			t.Fatal(err)
		}

		h, err := readHandover(s.state)
		if err != nil {
			t.Fatal(err)
		}
		from = w.length()
		next := w.start(t, "a", soloText, func(m *fakeNode) {
			m.kernel.have = have
			now := m.kernel.boottime()
			h.Term, h.Grant = now+h.Term-h.At, now+h.Grant-h.At
			h.At, h.Turned = now-50*time.Millisecond, now-60*time.Millisecond
			m.loop.former = h
		})
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		if s := next.loop.Status(); !s.State.Active || s.Program.Boot != before.Program.Boot {
			t.Errorf("the next program is active: %v, boot %d, before %d\n%s", s.State.Active, s.Program.Boot, before.Program.Boot, next.log)
		}
		if remembered, _ := next.loop.Events(0); len(remembered) < len(events) || !slices.EqualFunc(events, remembered[:len(events)], sameEvent) {
			t.Errorf("the next program remembers %+v, this one %+v", remembered, events)
		}
		if w.find(from, "a learns part 0 of 1 from a: [{10.0.0.51 02:00:00:00:00:07 1m0s}]") < 0 {
			t.Errorf("the next program doesn't know the cluster's hosts\n%s", strings.Join(w.diary[from:], "\n"))
		}
		time.Sleep(3 * time.Second)
		if w.find(from, "a removes") >= 0 || w.find(from, "a adds") >= 0 {
			t.Errorf("the next program changed the kernel\n%s", next.log)
		}
		if next.log.has("took web") {
			t.Errorf("the log tells of what didn't happen\n%s", next.log)
		}
		if n := len(next.loop.hooking.taken); n != 2 {
			t.Errorf("hooks will be told of the release of %d groups, want 2", n)
		}
		if err := next.end(); err != nil {
			t.Error(err)
		}
	})
}

func sameEvent(a, b ctlsocket.Event) bool {
	return a.Seq == b.Seq && a.Kind == b.Kind && a.Time.Equal(b.Time) && a.Group == b.Group && slices.Equal(a.Addresses, b.Addresses)
}

// A critic votes once, or never.
type critic struct{ votes []plugin.Vote }

func (critic) Name() string { return "critic" }

func (c critic) Run(ctx context.Context, host plugin.Host) error {
	host.Vote(c.votes...)
	<-ctx.Done()
	return nil
}

// What a plugin said counts for the next program until the plugin says something there.
func TestVotesAreHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		against := plugin.Vote{Group: "web", Penalty: 7, Reason: "slow"}
		n := w.start(t, "a", soloText, func(n *fakeNode) { n.setPlugins(critic{[]plugin.Vote{against}}) })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		penalties := func(n *fakeNode) string { return fmt.Sprint(n.loop.Plan().View.Penalties) }
		before := penalties(n)
		if !strings.Contains(before, ":7]") {
			t.Fatalf("the penalties are %s", before)
		}
		var text []byte
		var err error
		if e := n.loop.inLoop(t.Context(), func(now time.Time) { text, err = json.Marshal(n.loop.handover(now)) }); e != nil || err != nil {
			t.Fatal(e, err)
		}
		have := maps.Clone(n.kernel.have)
		if err := n.end(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			plugins []plugin.Plugin
			want    string
		}{
			{[]plugin.Plugin{critic{}}, before},
			{[]plugin.Plugin{critic{[]plugin.Vote{{}}}}, "map[]"},
			{nil, "map[]"},
		} {
			next := w.start(t, "a", soloText, func(m *fakeNode) {
				h, err := readHandover(text)
				if err != nil {
					t.Fatal(err)
				}
				m.setPlugins(c.plugins...)
				m.kernel.have = maps.Clone(have)
				now := m.kernel.boottime()
				h.Term, h.Grant = now+h.Term-h.At, now+h.Grant-h.At
				h.At, h.Turned = now-50*time.Millisecond, now-60*time.Millisecond
				m.loop.former = h
			})
			time.Sleep(time.Second)
			synctest.Wait()
			if got := penalties(next); got != c.want {
				t.Errorf("with %v the penalties are %s, want %s", c.plugins, got, c.want)
			}
			if err := next.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestReadHandover(t *testing.T) {
	for text, want := range map[string]string{
		`{"Format": 99, "Version": "9.9"}`: "vippyd 9.9 leaves format 99, and this one knows format ",
		`nonsense`:                         "handover: ",
		`{"Format": 1}`:                    "nodes",
	} {
		if _, err := readHandover([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "restart instead") {
			t.Errorf("%s: got %v, want words like %q", text, err, want)
		}
	}
}

func TestHandoverFits(t *testing.T) {
	c, err := config.Parse("vippy.conf", []byte(soloText))
	if err != nil {
		t.Fatal(err)
	}
	h := handover{Node: "a", Cluster: c.Cluster, Management: c.Management, StateDir: c.StateDir}
	if err := h.fits(c, "a"); err != nil {
		t.Error(err)
	}
	if err := h.fits(c, "b"); err == nil {
		t.Error("it goes on under another name")
	}
	c.Cluster = "another"
	if err := h.fits(c, "a"); err == nil || !strings.Contains(err.Error(), "restart instead") {
		t.Errorf("it goes on in another cluster: %v", err)
	}
}

// unsteady is a guard that is being replaced.
type unsteady struct{ guardian }

func (unsteady) Steady() bool { return false }

// A holder that a peer does not hear goes on: while no program listens, that one may take what
// is held here.
func TestUpgradeWaitsToBeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		text := strings.Replace(planText, "{name: web,", "{name: web, prefer: [a],", 1)
		a, b := w.start(t, "a", text), w.start(t, "b", text)
		time.Sleep(10 * time.Second)
		want := func(want string) {
			t.Helper()
			if err := a.loop.inLoop(t.Context(), func(now time.Time) {
				if got := a.loop.unready(now); got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		want("")
		stuck := make(chan struct{})
		w.sockets[1].stuck.Store(&stuck)
		time.Sleep(350 * time.Millisecond)
		want("b does not hear this node (see vippyctl peers)")
		close(stuck)
		time.Sleep(300 * time.Millisecond)
		want("")
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// An upgrade waits for all of these, and names the one that doesn't end.
func TestUpgradeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, _ := upgradable(t, &w)
		l := n.loop
		another, err := config.Parse("vippy.conf", []byte(planText))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.inLoop(t.Context(), func(now time.Time) {
			for want, spoil := range map[string]func() (undo func()){
				"this daemon is stopping": func() func() {
					l.leaving.asked = true
					return func() { l.leaving.asked = false }
				},
				"a new plan is coming into force": func() func() {
					was := l.config
					l.config = another
					return func() { l.config = was }
				},
				"the guard is being replaced": func() func() {
					was := l.guard
					l.guard = unsteady{was}
					return func() { l.guard = was }
				},
				"addresses are being moved": func() func() {
					l.kernel.dirty = true
					return func() { l.kernel.dirty = false }
				},
				"this host is too busy": func() func() {
					was := l.grant
					l.grant = l.boottime()
					return func() { l.grant = was }
				},
			} {
				if got := l.unready(now); got != "" {
					t.Errorf("before %q it says %q", want, got)
				}
				undo := spoil()
				if got := l.unready(now); got != want {
					t.Errorf("it says %q, want %q", got, want)
				}
				undo()
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// An upgrade would end the hooks that run, and forget those that wait.
func TestUpgradeWaitsForHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, s := upgradable(t, &w)
		idle := n.loop.hooking.runner
		use := func(r *hook.Runner) {
			if err := n.loop.inLoop(t.Context(), func(time.Time) { n.loop.hooking.runner = r }); err != nil {
				t.Fatal(err)
			}
		}
		busy := hook.NewRunner(slog.New(slog.DiscardHandler)) // which nobody runs
		busy.Set([]hook.Hook{{Event: "taken", Command: []string{"/bin/true"}}})
		busy.Emit(hook.Event{Event: ctlsocket.Event{Kind: "taken"}})
		use(busy)
		if _, err := n.loop.Do(t.Context(), ctlsocket.Command{Verb: ctlsocket.Upgrade}); err == nil || !strings.Contains(err.Error(), "hooks are running: try again later") {
			t.Errorf("got %v", err)
		}
		if s.state != nil {
			t.Error("the program was replaced all the same")
		}
		use(idle)
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}
