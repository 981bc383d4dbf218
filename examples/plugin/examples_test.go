package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// program makes an example a program that the daemon would start: in a folder that nobody
// else can write, whatever the checkout is.
func program(t *testing.T, file string, args ...string) plugin.Program {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return plugin.Program{Label: "example", User: strconv.Itoa(os.Geteuid()), Command: append([]string{path}, args...)}
}

// vote runs an example under the daemon's runner, returns what it votes first, sees that
// it hears what happens, and stops it.
func vote(t *testing.T, p plugin.Program) plugin.Vote {
	t.Helper()
	log := make(lines, 100)
	r := plugin.NewRunner(slog.New(slog.NewTextHandler(log, nil)), nil)
	if err := r.Set([]plugin.Plugin{p}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	b := <-r.Votes()
	r.Emit(plugin.Event{Kind: plugin.Taken, Group: vipgroup.Group{Name: "web"}})
	for line := range log {
		if strings.Contains(line, "group") { // "a group came here", or "group taken"
			break
		}
		if strings.Contains(line, "stderr") {
			t.Error(line)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return b.Vote
}

func TestShell(t *testing.T) {
	if v := vote(t, program(t, "disk.sh", "/", "100", "1000")); v != (plugin.Vote{}) {
		t.Errorf("got %+v, want healthy", v)
	}
	if v := vote(t, program(t, "disk.sh", "/", "-1", "1000")); !v.Bar || !strings.Contains(v.Reason, "% full") {
		t.Errorf("got %+v, want a bar", v)
	}
}

func TestPython(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "print(6*7)").CombinedOutput(); err != nil || string(out) != "42\n" {
		t.Fatalf("docs/plugins.md promises an example in Python that was tried, and python3 doesn't run here: install it (%v: %s)", err, out)
	}
	if v := vote(t, program(t, "load.py", "1000000", "1000")); v != (plugin.Vote{}) {
		t.Errorf("got %+v, want healthy", v)
	}
	if v := vote(t, program(t, "load.py", "-1", "1000")); v.Penalty < 1 || !strings.HasPrefix(v.Reason, "load ") {
		t.Errorf("got %+v, want a penalty", v)
	}
}

func TestGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plugin")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := plugin.Program{Label: "example", User: strconv.Itoa(os.Geteuid()), Command: []string{path, l.Addr().String()}}
	if v := vote(t, p); v != (plugin.Vote{}) {
		t.Errorf("got %+v, want healthy", v)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if v := vote(t, p); !v.Bar || !strings.Contains(v.Reason, "refused") {
		t.Errorf("got %+v, want a bar", v)
	}
}

// TestPage: what docs/plugins.md shows is what was tried.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"dial/dial.go", "main.go", "disk.sh", "load.py"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "```\n"+string(text)+"```\n") {
			if _, after, ok := strings.Cut(string(page), "\n"+string(text)+"```\n"); !ok || after == "" {
				t.Errorf("docs/plugins.md doesn't show examples/plugin/%s as it is", file)
			}
		}
	}
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
