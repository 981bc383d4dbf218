package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
)

var errBusy = errors.New("address already in use")

var reloadCommand = ctlsocket.Command{Verb: ctlsocket.Reload}

// raised is the solo plan with its version raised and one group more.
var raised = strings.Replace(soloText, "nodes:", "version: 1\nnodes:", 1) +
	"  - {name: new, addresses: [{interface: eth0, ip: 10.0.0.3/24}]}\n"

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		from := w.length()
		n.setFile(raised)
		message, err := n.loop.Do(t.Context(), reloadCommand)
		if err != nil || !strings.Contains(message, "plan 1 with 1 node and 3 groups (1 new, 0 removed)") {
			t.Errorf("got %q, %v", message, err)
		}
		time.Sleep(5 * time.Second)
		if got := n.kernel.addresses(); len(got) != 3 {
			t.Errorf("after the reload the node has %v\n%s", got, n.log)
		}
		if i := w.find(from, "a removes"); i >= 0 {
			t.Errorf("the reload moved what did not change: %s", w.diary[i])
		}

		// And back: the group that is not in the file any more goes, the others stay.
		from = w.length()
		n.setFile(strings.Replace(soloText, "nodes:", "version: 2\nnodes:", 1))
		if _, err := n.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("after the second reload the node has %v", got)
		}
		if i := w.find(from, "a removes"); i < 0 || !strings.Contains(w.diary[i], "10.0.0.3") || w.find(i+1, "a removes") >= 0 {
			t.Error("the second reload must remove 10.0.0.3 and nothing else")
		}
		if !n.log.has("it is not in the plan any more") {
			t.Errorf("the log does not tell of the removed group:\n%s", n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// The one key that waits for the next start is said to, and the rest of the file counts.
func TestReloadOfNotifyRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		n.setFile(soloText + "notify_rate: 50\ninterval: 0.05\nvoters: [a]\n")
		message, err := n.loop.Do(t.Context(), reloadCommand)
		if err != nil || !strings.Contains(message, "notify_rate changes with the next start") || !strings.Contains(message, "; changed: interval; voters: without effect") {
			t.Errorf("%q, %v", message, err)
		}
		if c := n.loop.config; c.NotifyRate != 1000 || c.Interval != 50*time.Millisecond {
			t.Errorf("notify_rate is %d, interval %v", c.NotifyRate, c.Interval)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestReloadRefused(t *testing.T) {
	tests := []struct {
		name, file string
		chat       error
		twins      bool   // two plugins of one name
		want       string // part of the answer
	}{
		{name: "bad file", file: raised + "intervall: 1\n", want: "intervall"},
		{name: "chat that can't be opened", file: raised + "chat: 224.0.0.253:5008\n", chat: errBusy, want: errBusy.Error()},
		{name: "two plugins of one name", file: raised, twins: true, want: "moody"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				n := w.start(t, "a", soloText, func(n *fakeNode) {
					if tt.chat != nil {
						n.loop.openChat = func(chatAt, socket) (socket, error) { return nil, tt.chat }
					}
				})
				time.Sleep(10 * time.Second)
				from := w.length()
				n.setFile(tt.file)
				if tt.twins {
					n.setPlugins(moody{}, moody{})
				}
				_, err := n.loop.Do(t.Context(), reloadCommand)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "running config stays") {
					t.Errorf("got %v, want %q and that the running config stays", err, tt.want)
				}
				n.reload <- struct{}{}
				time.Sleep(5 * time.Second)
				if got := strings.Count(n.log.String(), "reload refused"); got != 2 {
					t.Errorf("the log tells of %d refused reloads, want 2\n%s", got, n.log)
				}
				if v := n.loop.Status().Config.Version; v != 0 {
					t.Errorf("plan %d runs, want 0", v)
				}
				unfit := tt.chat == nil && !tt.twins
				if note := n.loop.Status().Plan.Note; strings.Contains(note, "a restart would refuse it") != unfit || unfit && !strings.Contains(note, tt.want) {
					t.Errorf("the note is %q", note)
				}
				n.setPlugins()
				n.setFile(soloText)
				if _, err := n.loop.Do(t.Context(), reloadCommand); err != nil {
					t.Error(err)
				}
				if note := n.loop.Status().Plan.Note; note != "" {
					t.Errorf("of a file that is right the note is %q", note)
				}
				if i := w.find(from, "a removes"); i >= 0 {
					t.Errorf("the refused reload moved something: %s", w.diary[i])
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestALowerVersionKeepsTheRunningPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", raised)
		time.Sleep(10 * time.Second)
		n.setFile(soloText + "interval: 0.05\n")
		message, err := n.loop.Do(t.Context(), reloadCommand)
		if err != nil || !strings.Contains(message, "lower than the running plan's 1") {
			t.Errorf("got %q, %v", message, err)
		}
		time.Sleep(time.Second)
		if got := n.kernel.addresses(); len(got) != 3 {
			t.Errorf("the node has %v, want the three of the running plan", got)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestReloadMovesTheChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10*time.Second + rescanEvery/2) // not just when it looks for links
		first := w.sockets[0]
		n.setFile(soloText + "chat: 224.0.0.253:5008\n")
		if _, err := n.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Fatal(err)
		}
		select {
		case <-first.closed:
		default:
			t.Error("the old chat is still open")
		}
		from := w.length()
		time.Sleep(2 * rescanEvery)
		if w.find(from, "a looks for links of a closed chat") >= 0 {
			t.Error("what worked for the old chat goes on")
		}
		if w.find(from, "a sends") < 0 {
			t.Error("nothing is sent on the new chat")
		}
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("the node has %v", got)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestAChangedFileIsReportedOrApplied(t *testing.T) {
	tests := []struct {
		name, reload string
		groups       int
		log          string
	}{
		{"manual", "", 2, "SIGHUP or vippyctl reload applies it"},
		{"not right", "intervall: 0.1\n", 2, "is not right; the running config stays"},
		{"auto", "reload: auto\n", 3, "reloaded: plan 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				n := w.start(t, "a", soloText+strings.Replace(tt.reload, "intervall", "interval", 1))
				time.Sleep(10 * time.Second)
				n.setFile(raised + tt.reload)
				n.loop.reloader.changed <- struct{}{}
				time.Sleep(time.Second)
				if got := len(n.loop.Status().Groups); got != tt.groups {
					t.Errorf("%d groups, want %d", got, tt.groups)
				}
				if !n.log.has(tt.log) {
					t.Errorf("the log lacks %q:\n%s", tt.log, n.log)
				}
				if note := n.loop.Status().Plan.Note; strings.Contains(note, "intervall") != (tt.name == "not right") {
					t.Errorf("the note is %q", note)
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestChangesDontKeepAReloadOut: however often the file changes that is only reported on, what
// an operator asks for meanwhile is done.
func TestChangesDontKeepAReloadOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		save, slow := make(chan struct{}), make(chan struct{})
		n := w.start(t, "a", soloText, func(n *fakeNode) {
			n.loop.watch = func(ctx context.Context, _ string, changed chan<- struct{}) error {
				for {
					select {
					case <-save:
						select {
						case changed <- struct{}{}:
						default:
						}
					case <-ctx.Done():
						return nil
					}
				}
			}
			n.loop.load = func(path, node string) (*config.Config, error) {
				<-slow
				return n.load(path, node)
			}
		})
		time.Sleep(10 * time.Second)
		n.setFile(raised)
		for range 10 {
			save <- struct{}{}
			synctest.Wait()
		}
		answer := make(chan string, 1)
		go func() {
			message, err := n.loop.Do(t.Context(), reloadCommand)
			answer <- fmt.Sprint(message, err)
		}()
		synctest.Wait()
		close(slow)
		if got := <-answer; !strings.Contains(got, "plan 1 with") || len(n.loop.Status().Groups) != 3 {
			t.Errorf("the answer is %q, and there are %d groups, want 3", got, len(n.loop.Status().Groups))
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestReloadRefusedAsAWhole: what is wrong in one place leaves everything as it was: nothing
// is opened for good, and nothing of the rest comes into force.
func TestReloadRefusedAsAWhole(t *testing.T) {
	// All that can be changed, and each with a fault in one place.
	all := raised + "chat: 224.0.0.253:5008\nmanagement: /run/other.socket\ninterval: 0.02\nlogging: {driver: syslog}\nlifetime: 2\n"
	for _, tt := range []struct {
		name, file string
		fail       string // what can't be opened
		want       string
	}{
		{"nothing", all, "", ""},
		{"chat", all, "chat", "chat: " + errBusy.Error()},
		{"management", all, "management", "management: " + errBusy.Error()},
		{"logging", all, "logging", "logging: " + errBusy.Error()},
		{"plugins", all, "plugins", "plugins: "},
		{"state_dir", all + "state_dir: /elsewhere\n", "", `state_dir: "/var/lib/vippy" can't become "/elsewhere" while this daemon runs`},
		{"cluster", all + "cluster: other\n", "", `cluster: "vippy" can't become "other" while this daemon runs`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				open := map[string]int{}
				opens := func(what string) error {
					if what == tt.fail {
						return errBusy
					}
					open[what]++
					return nil
				}

				n := w.start(t, "a", soloText, func(n *fakeNode) {
					first := n.loop.openChat
					n.loop.openChat = func(at chatAt, old socket) (socket, error) {
						if err := opens("chat"); err != nil {
							return nil, err
						}
						return first(at, old)
					}
					n.loop.listen = func(string) (net.Listener, error) {
						return &idleListener{open: open, closed: make(chan struct{})}, opens("management")
					}
					n.loop.relog = func(config.Logging) (func(bool), error) {
						if err := opens("logging"); err != nil {
							return nil, fmt.Errorf("logging: %w", err)
						}
						return func(use bool) {
							if !use {
								open["logging"]--
							}
						}, nil
					}
				})
				time.Sleep(10 * time.Second)
				from := w.length()
				n.setFile(tt.file)
				if tt.fail == "plugins" {
					n.setPlugins(moody{}, moody{})
				}
				_, err := n.loop.Do(t.Context(), reloadCommand)
				time.Sleep(5 * time.Second)
				c := n.loop.published.Load().config
				if tt.want == "" {
					if err != nil || c.Plan.Version != 1 || c.Interval != 20*time.Millisecond || c.Lifetime != 2*time.Second ||
						open["chat"] != 1 || open["management"] != 1 || open["logging"] != 1 {
						t.Errorf("%v; plan %d, interval %v, lifetime %v, open: %v", err, c.Plan.Version, c.Interval, c.Lifetime, open)
					}
				} else {
					if err == nil || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("got %v, want %q", err, tt.want)
					}
					const hint = "the running config stays; try: vippyd check -c vippy.conf --against /var/run/vippy.socket"
					if refusal := (*ctlsocket.Error)(nil); !errors.As(err, &refusal) || refusal.Hint != hint {
						t.Errorf("got %#v, want the hint %q", err, hint)
					}
					if c.Plan.Version != 0 || c.Interval != 100*time.Millisecond || c.Lifetime != time.Second || open["management"] != 0 || open["logging"] != 0 {
						t.Errorf("plan %d, interval %v, lifetime %v, open: %v", c.Plan.Version, c.Interval, c.Lifetime, open)
					}
					w.mu.Lock()
					sockets := slices.Clone(w.sockets)
					w.mu.Unlock()
					for _, s := range sockets[1:] {
						select {
						case <-s.closed:
						default:
							t.Error("a chat socket that nobody needs is open")
						}
					}
				}
				if i := w.find(from, "a removes"); i >= 0 {
					t.Errorf("it moved something: %s", w.diary[i])
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
				if open["management"] != 0 {
					t.Error("the new control socket is still open")
				}
			})
		})
	}
}

// idleListener is a control socket to which nobody comes.
type idleListener struct {
	open   map[string]int
	once   sync.Once
	closed chan struct{}
}

func (l *idleListener) Accept() (net.Conn, error) {
	<-l.closed
	return nil, net.ErrClosed
}

func (l *idleListener) Close() error {
	l.once.Do(func() { l.open["management"]--; close(l.closed) })
	return nil
}

func (l *idleListener) Addr() net.Addr { return &net.UnixAddr{Name: "idle"} }

// TestKeysRotate: one step after the other, on one node after the other, nothing moves and
// everybody is heard; who forgets the old one too early is heard no more.
func TestKeysRotate(t *testing.T) {
	const old, both, turned, now = "secret: the old secret text", "secrets: [the old secret text, the new secret text]",
		"secrets: [the new secret text, the old secret text]", "secret: the new secret text"
	with := func(secret string) string {
		return strings.Replace(planText, "secret: correct horse battery staple", secret, 1)
	}
	synctest.Test(t, func(t *testing.T) {
		var w world
		nodes := []*fakeNode{w.start(t, "a", with(old)), w.start(t, "b", with(old))}
		time.Sleep(10 * time.Second)
		from := w.length()
		for _, step := range []string{both, turned, now} {
			for _, n := range nodes {
				n.setFile(with(step))
				if message, err := n.loop.Do(t.Context(), reloadCommand); err != nil || !strings.Contains(message, "the secrets changed") {
					t.Errorf("%s: %q, %v", step, message, err)
				}
				time.Sleep(time.Second)
				for _, n := range nodes {
					s := n.loop.Status()
					if len(s.Alarms) > 0 || s.Peers[0].State != ctlsocket.PeerLive || s.Stats.Refusals["unknown key"]+s.Stats.Refusals["bad seal"] > 0 {
						t.Errorf("%s: %s has alarms %v, and its peer is %s", step, n.name, s.Alarms, s.Peers[0].State)
					}
				}
			}
		}
		if i := w.find(from, " removes "); i >= 0 {
			t.Errorf("something moved: %s", w.diary[i])
		}
		for _, n := range nodes {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}
