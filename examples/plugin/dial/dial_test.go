package dial_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/examples/plugin/dial"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// The plugin runs under the daemon's own runner: a service that comes and goes at a
// unix socket is voted on, and a group's arrival is logged.
func TestDialCheck(t *testing.T) {
	log := make(lines, 100)
	runner := plugin.NewRunner(slog.New(slog.NewTextHandler(log, nil)), nil)
	path := filepath.Join(t.TempDir(), "service")
	check := dial.Check{Network: "unix", Address: path, Every: time.Second}
	if err := runner.Set([]plugin.Plugin{check}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- runner.Run(ctx) }()

	b := <-runner.Votes()
	if b.Source != "plugin dial "+path || !b.Vote.Bar || !strings.Contains(b.Vote.Reason, "no such file") {
		t.Errorf("got %+v while nobody listens, want a bar that says why", b)
	}
	service, err := net.Listen("unix", path+".new")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // there is no socket that nobody listens at yet
		t.Fatal(err)
	}
	if b := <-runner.Votes(); !b.Vote.Healthy() {
		t.Errorf("got %+v while the service listens, want healthy", b)
	}
	runner.Emit(plugin.Event{Kind: plugin.Taken, Group: vipgroup.Group{Name: "web"}})
	if line := <-log; !strings.Contains(line, `msg="group taken"`) || !strings.Contains(line, "group=web") {
		t.Errorf("got the log line %q, want one on the group that was taken", line)
	}
	service.Close()
	if b := <-runner.Votes(); !b.Vote.Bar {
		t.Errorf("got %+v once the service is gone, want a bar", b)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
