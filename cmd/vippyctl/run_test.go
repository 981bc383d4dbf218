package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// An answer that nobody got is none.
func TestBrokenStdout(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := ctlsocket.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ctlsocket.Serve(ctx, l, &fake{}) }()
	for _, args := range []string{"status", "status -o json", "peers", "version"} {
		var stderr strings.Builder
		code := run(strings.Fields(args+" -s "+socket), brokenWriter{}, &stderr)
		if code != exitDont || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit code %d, %q", args, code, stderr.String())
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// What main's os.Args hold must not show through: nil is no command.
func TestNoArguments(t *testing.T) {
	if code := run(nil, io.Discard, io.Discard); code != exitDont {
		t.Errorf("exit code %d, want %d", code, exitDont)
	}
}

func TestBuilt(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "c0ffee"}, {Key: "vcs.modified", Value: "true"}}
	for _, c := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "devel"},
		{&debug.BuildInfo{}, "devel"},
		{&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel"},
		{&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: commit}, "devel (c0ffee) modified"},
		{&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: commit[:1]}, "v1.2.3 (c0ffee)"},
	} {
		if got := built(c.info, c.info != nil); got != c.want {
			t.Errorf("%+v: %q, want %q", c.info, got, c.want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                     "0ms",
		0:                                "0ms",
		999 * time.Millisecond:           "999ms",
		59*time.Second + time.Nanosecond: "59s",
		time.Minute:                      "1m",
		time.Hour:                        "1h",
		47 * time.Hour:                   "47h",
		48 * time.Hour:                   "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
