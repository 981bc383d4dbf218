package lab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// as returns a command that runs vippyd as a user, in a TMPDIR of its own, where that user
// can read and write.
func as(t *testing.T, uid int, path string, args ...string) (cmd *exec.Cmd, tmp string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "vippyd")
	if err := os.Link(path, binary); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Chmod(dir, 0o700), os.Chown(dir, uid, uid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd = exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return cmd, dir
}

// An ordinary user gets the lab in a user namespace, or is told why not, with status 2.
func TestOrdinaryUser(t *testing.T) {
	kernel(t)
	cmd, dir := as(t, nobody, build(t, ""), "lab", "--json", "--fault", "none", "--fault", "one-way-in")
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 && strings.Contains(diag.String(), ErrRefused.Error()) {
		t.Logf("this kernel refuses, and the lab says so: %s", diag.String())
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), diag.String())
	}
	if results, ok := lines(t, out.String()); !ok || len(results) != 2 {
		t.Errorf("ok is %v:\n%s", ok, out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, dirPattern)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A lab that is killed takes all its processes with it, and the next one its files.
func TestKilledLabLeavesNoProcess(t *testing.T) {
	kernel(t)
	path := build(t, "")
	for name, uid := range map[string]int{"root": 0, "ordinary user": nobody} {
		t.Run(name, func(t *testing.T) {
			cmd, dir := as(t, uid, path, "lab", "--interactive")
			stdin, err := cmd.StdinPipe() // open, so that it waits for a command
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var diag strings.Builder
			up := false
			for sc := bufio.NewScanner(io.TeeReader(stderr, &diag)); !up && sc.Scan(); {
				up = strings.Contains(sc.Text(), "all VIPs are held")
			}
			if !up {
				cmd.Wait()
				if strings.Contains(diag.String(), ErrRefused.Error()) {
					t.Logf("this kernel refuses: %s", diag.String())
					return
				}
				t.Fatalf("the lab did not come up: %s", diag.String())
			}
			all := descendants(t, cmd.Process.Pid)
			if len(all) < 3 {
				t.Errorf("%d processes under the lab, want its 3 daemons", len(all))
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			for slices.ContainsFunc(all, alive) { // the test's own time ends it
				time.Sleep(time.Millisecond)
			}
			t.Setenv("TMPDIR", dir)
			left := leftovers(t)
			if len(left) != 1 {
				t.Errorf("%v: want the killed lab's directory only", left)
			}
			for _, l := range left {
				lock, err := lockDir(l)
				for errors.Is(err, unix.EWOULDBLOCK) { // a thread of the lab is still ending
					time.Sleep(time.Millisecond)
					lock, err = lockDir(l)
				}
				if err != nil {
					t.Fatal(err)
				}
				lock.Close()
			}
		})
	}
}

// descendants lists the processes below one.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			out = append(append(out, child), descendants(t, child)...)
		}
	}
	return out
}

// alive says whether a process runs; one that has ended and waits to be reaped doesn't.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(text, []byte(") "))
	return unix.Kill(pid, 0) == nil && !bytes.HasPrefix(state, []byte("Z"))
}
