package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test's binary also plays the programs: what it does at a rehearsal is in the
// environment, and so is that it is to replace itself.
const (
	roleEnv = "UPGRADE_TEST_ROLE"
	ready   = "ready"
	crash   = "crash"
	refuse  = "refuse"
	hang    = "hang"
	babble  = "babble"
)

func TestMain(m *testing.M) {
	left, err := Inherited()
	switch {
	case err != nil:
		fmt.Println(err)
		os.Exit(1)
	case left != nil:
		text, err := io.ReadAll(io.NewSectionReader(left.Files[0], 0, 100))
		fmt.Printf("%d goes on with %s and %s; %v %q %v\n", os.Getpid(), left.State, text, err, os.Getenv(handoverEnv), os.Args[1:])
		os.Exit(0)
	case len(os.Args) > 1 && os.Args[1] == Command:
		os.Exit(play(os.Getenv(roleEnv)))
	case len(os.Args) > 1 && os.Args[1] == "replace-me":
		fmt.Println(replaceMe())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func play(role string) int {
	state, _ := io.ReadAll(os.Stdin)
	switch role {
	case ready:
		fmt.Printf("{\"version\": %q}\n", "next after "+string(state)+" "+strings.Join(os.Args[2:], " "))
		return 0
	case crash:
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	case refuse:
		fmt.Fprintln(os.Stderr, "vippyd: handover: vippyd old leaves format 1, and this one knows format 2")
		return 1
	case hang:
		time.Sleep(time.Hour)
	case babble:
		fmt.Println("usage: something else")
		return 0
	}
	return 9
}

// replaceMe replaces this process by the same program, which finds what it left.
func replaceMe() error {
	f, err := os.Create(filepath.Join(os.Getenv("UPGRADE_TEST_DIR"), "file"))
	if err != nil {
		return err
	}
	if _, err := f.WriteString("a file"); err != nil {
		return err
	}
	path, err := Path()
	if err != nil {
		return err
	}
	s := Successor{Binary: path, Args: []string{"replace-me", "once"}, Exec: unix.Exec}
	if _, err := s.Rehearse(context.Background(), []byte("state")); err != nil {
		return err
	}
	fmt.Println(os.Getpid(), "leaves")
	return s.Replace([]byte("the state"), []*os.File{f})
}

func TestReplace(t *testing.T) {
	c := exec.CommandContext(t.Context(), os.Args[0], "replace-me")
	c.Env = append(os.Environ(), roleEnv+"="+ready, "UPGRADE_TEST_DIR="+t.TempDir())
	out, err := c.CombinedOutput()
	pid := c.Process.Pid
	want := fmt.Sprintf("%d leaves\n%d goes on with the state and a file; <nil> \"\" [replace-me once]\n", pid, pid)
	if string(out) != want || err != nil {
		t.Errorf("got %v\n%s\nwant\n%s", err, out, want)
	}
}

func TestRehearse(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, binary, role, want string }{
		{"ready", os.Args[0], ready, ""},
		{"missing", filepath.Join(dir, "nothing"), "", "no such file"},
		{"not executable", text, "", "permission denied"},
		{"crashes", os.Args[0], crash, "signal: killed"},
		{"another format", os.Args[0], refuse, "would not go on: handover: vippyd old leaves format 1, and this one knows format 2"},
		{"hangs", os.Args[0], hang, "was not ready"},
		{"is something else", os.Args[0], babble, "is it a vippyd?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(roleEnv, c.role)
			ctx := t.Context()
			if c.role == hang {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond)
				defer cancel()
			}
			s := Successor{Binary: c.binary, Args: []string{"-c", "file"}}
			v, err := s.Rehearse(ctx, []byte("this"))
			switch {
			case c.want == "" && (err != nil || v.Version != "next after this -c file"):
				t.Errorf("got %+v, %v", v, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want words like %q", err, c.want)
			}
		})
	}
}

// TestReplaceFails leaves everything as it was.
func TestReplaceFails(t *testing.T) {
	t.Setenv(roleEnv, ready)
	dir := t.TempDir()
	link, file := filepath.Join(dir, "vippyd"), filepath.Join(dir, "file")
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	refused := errors.New("the kernel says no")
	s := Successor{Binary: link, Exec: func(_ string, _, env []string) error {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			t.Errorf("the file would be closed: %x, %v", flags, err)
		}
		if !strings.HasPrefix(env[len(env)-1], handoverEnv+"=") {
			t.Errorf("the environment does not name the files: %q", env[len(env)-1])
		}
		return refused
	}}
	if err := s.Replace(nil, nil); err == nil {
		t.Error("a program that did not rehearse took over")
	}
	if _, err := s.Rehearse(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]byte("state"), []*os.File{f}); !errors.Is(err, refused) {
		t.Errorf("got %v, want %v", err, refused)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("every child would get the file: %x, %v", flags, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(link, []byte("another"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Replace([]byte("state"), []*os.File{f}); err == nil || errors.Is(err, refused) {
		t.Errorf("another file than the one that rehearsed: %v", err)
	}
}
