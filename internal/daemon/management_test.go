package daemon

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// TestManagementMoves: who asks for a reload that moves the control socket is answered on the
// old one, and the next on the new one.
func TestManagementMoves(t *testing.T) {
	var w world
	dir := t.TempDir()
	old, next := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	listener, err := ctlsocket.Listen(old)
	if err != nil {
		t.Fatal(err)
	}
	n := w.start(t, "a", soloText+"management: "+old+"\n", func(n *fakeNode) {
		n.loop.control, n.loop.listen = listener, ctlsocket.Listen
	})
	n.setFile(raised + "management: " + next + "\n")
	before, after := ctlsocket.Client{Socket: old}, ctlsocket.Client{Socket: next}
	message, err := before.Do(t.Context(), reloadCommand)
	if err != nil || !strings.Contains(message, "plan 1 ") {
		t.Errorf("the reload is answered with %q, %v", message, err)
	}
	if s, err := after.Status(t.Context()); err != nil || s.Plan.Version != 1 {
		t.Errorf("the new socket answers %+v, %v", s.Plan, err)
	}
	// Back again: the path is free.
	n.setFile(strings.Replace(raised, "version: 1", "version: 2", 1) + "management: " + old + "\n")
	if message, err := after.Do(t.Context(), reloadCommand); err != nil || !strings.Contains(message, "plan 2 ") {
		t.Errorf("the second reload is answered with %q, %v", message, err)
	}
	if s, err := before.Status(t.Context()); err != nil || s.Plan.Version != 2 {
		t.Errorf("the first socket answers %+v, %v", s.Plan, err)
	}
	if err := n.end(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{old, next} {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			t.Errorf("somebody still answers at %s", path)
		} else if errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}
