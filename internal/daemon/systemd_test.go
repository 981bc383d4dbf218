package daemon

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A service manager hears what it must, in order.
func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", "")

	n := newNotifier()
	now := time.Unix(100, 0)
	n.ready()
	n.feed(now)
	n.feed(now.Add(500 * time.Millisecond)) // too early to be told again
	n.feed(now.Add(time.Second))
	n.reloading()
	n.ready()
	n.stopping()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.run(ctx); err != nil { // passes on what is waiting, then ends
		t.Fatal(err)
	}
	buffer := make([]byte, 200)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "RELOADING=1\nMONOTONIC_USEC=", "READY=1", "STOPPING=1"} {
		size, err := manager.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buffer[:size]); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNobodyWatches(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	n := newNotifier()
	n.feed(time.Unix(100, 0))
	if len(n.states) != 0 {
		t.Errorf("%q for a watchdog that isn't there", <-n.states)
	}
}
