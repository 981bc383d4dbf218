package check_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/plugin"
)

// sleeper starts a process under a name of its own and writes its pid file.
func sleeper(t *testing.T, name, pidFile string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Args[0] = "/opt/" + name
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	if err := os.WriteFile(pidFile+".new", fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pidFile+".new", pidFile); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A process's death is a vote at once, though the next look is an hour away; its return is
// found by looking.
func TestProcess(t *testing.T) {
	for _, by := range []string{"name", "file"} {
		t.Run(by, func(t *testing.T) {
			name := fmt.Sprintf("svc%d%s", os.Getpid(), by)
			file := filepath.Join(t.TempDir(), "pid")
			target := name
			if by == "file" {
				target = file
			}
			cmd := sleeper(t, name, file)
			p := check.Process{Common: check.Common{Label: "svc", Interval: time.Hour, Rise: 1, Fall: 1}, Target: target}
			votes, stop := run(t, p)
			if got := <-votes; got != (plugin.Vote{}) {
				t.Errorf("got %+v, want healthy", got)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			got := <-votes // while it is not even reaped
			if !got.Bar || !strings.HasPrefix(got.Reason, fmt.Sprintf("process %d ended: ", cmd.Process.Pid)) {
				t.Errorf("got %+v once it was killed", got)
			}
			stop()
			_ = cmd.Wait()

			p.Interval, p.Timeout = time.Millisecond, time.Minute
			votes, _ = run(t, p)
			if got := <-votes; !got.Bar {
				t.Errorf("got %+v while it is gone", got)
			}
			next := sleeper(t, name, file)
			for {
				if got := <-votes; got == (plugin.Vote{}) {
					break
				}
			}
			_ = next.Process.Kill()
			if got := <-votes; !got.Bar || !strings.HasPrefix(got.Reason, fmt.Sprintf("process %d ended: ", next.Process.Pid)) {
				t.Errorf("got %+v once the next one was killed", got)
			}
		})
	}
}

func TestProcessNotThere(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		"no-such-program": "no process is called no-such-program",
		empty:             empty + " has no process id",
		"/nowhere/pid":    "open /nowhere/pid: no such file or directory",
	} {
		votes, _ := run(t, check.Process{Common: check.Common{Label: "svc", Interval: time.Hour}, Target: target})
		if got := <-votes; got != (plugin.Vote{Bar: true, Reason: want}) {
			t.Errorf("%s: got %+v, want a bar for %q", target, got, want)
		}
	}
}

// A file that nobody answers for keeps no last verdict standing and no check from ending, and
// is not asked for twice at a time.
func TestProcessFileHangs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	p := check.Process{Common: check.Common{Label: "svc", Interval: 20 * time.Millisecond}, Target: file}
	late := plugin.Vote{Bar: true, Reason: "not done within 20ms"}
	// hang returns once a look hangs: what it reads is a pipe into which nobody writes.
	hang := func() (votes <-chan plugin.Vote, stop, release func()) {
		if err := unix.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		votes, stop = run(t, p)
		f, err := os.OpenFile(file, os.O_WRONLY, 0) // waits for the reader
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return votes, stop, func() { _ = f.Close() }
	}

	votes, stop, release := hang()
	if got := <-votes; got != late {
		t.Errorf("got %+v, want %+v", got, late)
	}
	cmd := sleeper(t, "svc", file)
	for range len(votes) + 3 {
		if got := <-votes; got != late {
			t.Errorf("got %+v while the first look hangs, want %+v", got, late)
		}
	}
	release()
	for (<-votes) != (plugin.Vote{}) {
	}
	stop()

	_ = cmd.Process.Kill()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	votes, stop, release = hang()
	if got := <-votes; got != late {
		t.Errorf("got %+v, want %+v", got, late)
	}
	stop()
	release()
}

// A file that comes and goes is a vote at once, though the next look is an hour away.
func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flag")
	there, missing := check.Common{Label: "there", Interval: time.Hour}, check.Common{Label: "missing", Interval: time.Hour}
	a, _ := run(t, check.File{Common: there, Path: file})
	b, _ := run(t, check.File{Common: missing, Path: file, Missing: true})
	gone, here := plugin.Vote{Bar: true, Reason: file + " is not there"}, plugin.Vote{Bar: true, Reason: file + " is there"}
	if x, y := <-a, <-b; x != gone || y != (plugin.Vote{}) {
		t.Errorf("without the file: got %+v and %+v", x, y)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if x, y := <-a, <-b; x != (plugin.Vote{}) || y != here {
		t.Errorf("with the file: got %+v and %+v", x, y)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if x := <-a; x != gone {
		t.Errorf("without the file again: got %+v", x)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := check.TCP{Common: check.Common{Label: "tcp", Interval: time.Millisecond, Timeout: time.Minute}, Address: l.Addr().String()}
	votes, _ := run(t, c)
	if got := <-votes; got != (plugin.Vote{}) {
		t.Errorf("got %+v, want healthy", got)
	}
	_ = l.Close()
	// Reset is who came before the end and wasn't accepted any more.
	if got := <-votes; !got.Bar || !strings.Contains(got.Reason, "connection refused") && !strings.Contains(got.Reason, "connection reset") {
		t.Errorf("got %+v once nobody listens", got)
	}
}

func TestHTTP(t *testing.T) {
	hang := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "all is well") })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/nowhere", http.StatusFound) })
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-hang })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 1<<20)+"well") })
	s := httptest.NewServer(mux)
	defer s.Close()
	defer close(hang)
	for path, test := range map[string]struct{ expect, want string }{
		"/ok":    {"well", ""},
		"/ok?":   {"badly", `the page doesn't hold "badly"`},
		"/moved": {"", ""},
		"/sick":  {"", "status 503 Service Unavailable"},
		"/none":  {"", "status 404 Not Found"},
		"/hang":  {"", "not done within 1s"},
		"/long":  {"well", `the page doesn't hold "well"`},
	} {
		limit := time.Minute
		if path == "/hang" {
			limit = time.Second
		}
		votes, _ := run(t, check.HTTP{Common: check.Common{Label: "http", Interval: time.Hour, Timeout: limit}, URL: s.URL + path, Expect: test.expect})
		if got := <-votes; got.Reason != test.want || got.Bar != (test.want != "") {
			t.Errorf("%s: got %+v, want %q", path, got, test.want)
		}
	}
	votes, _ := run(t, check.HTTP{Common: check.Common{Label: "http", Interval: time.Hour}, URL: "http://user:password@127.0.0.1:1/"})
	if got := <-votes; !got.Bar || !strings.Contains(got.Reason, "connection refused") || strings.Contains(got.Reason, "password") {
		t.Errorf("got %+v, want a refusal without the password", got)
	}
}

func TestValidateAll(t *testing.T) {
	c := check.Common{Label: "x", Interval: time.Second}
	for want, p := range map[string]interface {
		plugin.Plugin
		Validate() error
	}{
		`check x: tcp: "5432" is not HOST:PORT`:                                                         check.TCP{Common: c, Address: "5432"},
		`check x: http: "localhost/health" is no URL such as http://127.0.0.1:8080/health`:              check.HTTP{Common: c, URL: "localhost/health"},
		`check x: process: "run/x.pid" is neither the absolute path of a pid file nor a program's name`: check.Process{Common: c, Target: "run/x.pid"},
		`check x: file: "flag" is not an absolute path`:                                                 check.File{Common: c, Path: "flag"},
	} {
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := p.Run(t.Context(), make(ballotBox)); err == nil {
			t.Errorf("%+v was run", p)
		}
	}
}
