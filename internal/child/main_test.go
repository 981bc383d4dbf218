package child

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/child/childtest"
)

// daemonFile, where set, makes the test binary a daemon that starts a program as the
// user in daemonUser, which writes its process id to that file, and hangs.
const (
	daemonFile = "VIPPY_TEST_DAEMON_FILE"
	daemonUser = "VIPPY_TEST_DAEMON_USER"
)

// atStart is what the kernel told of this process when it had done nothing yet.
var atStart string

func TestMain(m *testing.M) {
	if file := os.Getenv(daemonFile); file != "" {
		out, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err == nil {
			_, err = Start(Spec{Command: sh("echo $$; exec sleep 1000"), User: os.Getenv(daemonUser), Stdout: out})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	atStart = string(status)
	// Whoever starts the daemon may have left a file open; see keepOurs.
	if _, err := unix.Open(os.Args[0], unix.O_RDONLY, 0); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func sh(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script, "sh"}, args...)
}

// users are who programs can be run as here.
func users() []string {
	if os.Geteuid() == 0 && mapped(nobodyID) {
		return []string{"", "root"}
	}
	return []string{""}
}

// The kernel ends the program with the daemon, also where it is another user.
func TestDiesWithTheDaemon(t *testing.T) {
	for _, user := range users() {
		file := filepath.Join(t.TempDir(), "pid")
		if err := unix.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		daemon := exec.Command(os.Args[0])
		daemon.Env = append(os.Environ(), daemonFile+"="+file, daemonUser+"="+user)
		daemon.Stderr = os.Stderr
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		pipe, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if _, err := fmt.Fscanln(pipe, &pid); err != nil {
			t.Errorf("as %q: no process id: %v", user, err)
		}
		_ = pipe.Close()
		_ = daemon.Process.Kill()
		_ = daemon.Wait() // killed
		if pid > 0 {
			childtest.WantDead(t, pid)
		}
	}
}

// output runs a program to its end and returns all that it wrote.
func outputOf(t *testing.T, s Spec) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.Stdout = out
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	p.Kill()
	if _, err := p.Reap(grace); err != nil {
		t.Errorf("%q: %v", s.Command, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
