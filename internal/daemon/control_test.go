package daemon

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// What a daemon can't do, or not now, it says; and a daemon that has ended keeps nobody waiting.
func TestRefusedCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n, s := upgradable(t, &w)
		do := func(verb ctlsocket.Verb) error {
			_, err := n.loop.Do(t.Context(), ctlsocket.Command{Verb: verb})
			return err
		}
		if err := do("nosuch"); !saysNo(err, http.StatusNotFound, "no such command") {
			t.Errorf("an unknown verb: %v", err)
		}
		n.loop.upgrader.busy.Lock()
		if err := do(ctlsocket.Upgrade); !saysNo(err, http.StatusConflict, "an upgrade is under way") {
			t.Errorf("a second upgrade: %v", err)
		}
		n.loop.upgrader.busy.Unlock()
		n.loop.successor = nil
		if err := do(ctlsocket.Upgrade); !saysNo(err, http.StatusConflict, "this program can't be replaced") {
			t.Errorf("an upgrade without a successor: %v", err)
		}
		n.loop.successor = s
		before := n.loop.Status()
		if err := n.end(); err != nil {
			t.Error(err)
		}
		for _, verb := range ctlsocket.Verbs {
			if err := do(verb); !saysNo(err, http.StatusConflict, "the daemon is stopping") {
				t.Errorf("%s, after the end: %v", verb, err)
			}
		}
		if err := n.loop.Tenure(t.Context(), "web", nil); err != errStopping {
			t.Errorf("tenure, after the end: %v", err)
		}
		began := time.Now()
		if got := n.loop.Status(); got.Identity != before.Identity || time.Since(began) > statusWithin {
			t.Errorf("after the end: status of %q after %v, want the last one at once", got.Identity, time.Since(began))
		}
	})
}
