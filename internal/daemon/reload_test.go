package daemon

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
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
		if err != nil || !strings.Contains(message, "plan 1 with 1 nodes and 3 groups (1 new, 0 removed)") {
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
						n.loop.openChat = func(chatAt) (socket, error) { return nil, tt.chat }
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
		{"auto", "reload: auto\n", 3, "reloaded: plan 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				n := w.start(t, "a", soloText+tt.reload)
				time.Sleep(10 * time.Second)
				n.setFile(raised + tt.reload)
				n.loop.reloader.ask(reloadRequest{why: fileChanged})
				time.Sleep(time.Second)
				if got := len(n.loop.Status().Groups); got != tt.groups {
					t.Errorf("%d groups, want %d", got, tt.groups)
				}
				if !n.log.has(tt.log) {
					t.Errorf("the log lacks %q:\n%s", tt.log, n.log)
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
