package upgrade

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the first argument with which a program rehearses; those of the daemon
// follow. It reads what it would be handed on its standard input, and either writes a
// Verdict to its standard output and exits with 0, or says on its standard error why not.
const Command = "rehearse"

// A Verdict is the answer of a program that could go on.
type Verdict struct {
	// Version names the program.
	Version string `json:"version"`
}

// rehearseWithin is how long a rehearsal may take.
const rehearseWithin = 5 * time.Second

// A Successor is the program that would take this one's place.
type Successor struct {
	// Binary is its path, which may lead to another file by now: that is the point.
	Binary string
	// Args are those of this program, without its name.
	Args []string
	// Exec is execve(2), with what must be done right before and, when it fails, after.
	Exec func(binary string, argv, env []string) error

	rehearsed fs.FileInfo
}

// Path returns where the running program was started from, for the same place to be
// looked at for the next one. The kernel's own name of it would follow links, and tell
// of a file that is gone.
func Path() (string, error) {
	running, err := os.Stat("/proc/self/exe")
	if err == nil {
		if path, err := exec.LookPath(os.Args[0]); err == nil {
			if path, err = filepath.Abs(path); err == nil {
				if found, err := os.Stat(path); err == nil && os.SameFile(found, running) {
					return path, nil
				}
			}
		}
	}
	return os.Executable()
}

// Rehearse runs the program as a child that says whether it could go on from state. What
// is wrong is an error, and nothing has changed.
func (s *Successor) Rehearse(ctx context.Context, state []byte) (Verdict, error) {
	found, err := os.Stat(s.Binary)
	if err != nil {
		return Verdict{}, fmt.Errorf("the new program: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, rehearseWithin)
	defer cancel()
	var out, said bytes.Buffer
	c := exec.CommandContext(ctx, s.Binary, append([]string{Command}, s.Args...)...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(state), &limited{&out}, &limited{&said}
	c.Env = environment(os.Environ())
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return unix.Kill(-c.Process.Pid, unix.SIGKILL) }
	c.WaitDelay = time.Second
	err = c.Run()
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Verdict{}, fmt.Errorf("%s was not ready after %v and was ended", s.Binary, rehearseWithin)
	case err != nil && c.ProcessState == nil:
		return Verdict{}, fmt.Errorf("start the new program: %w", err)
	case err != nil:
		why := strings.TrimSpace(said.String())
		if why == "" {
			why = err.Error()
		}
		return Verdict{}, fmt.Errorf("%s would not go on: %s", s.Binary, strings.TrimPrefix(why, "vippyd: "))
	}
	var v Verdict
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v.Version == "" {
		return Verdict{}, fmt.Errorf("%s does not know how to go on: is it a vippyd?", s.Binary)
	}
	s.rehearsed = found
	return v, nil
}

// environment leaves out what would make a child speak to the service manager.
func environment(all []string) (out []string) {
	for _, v := range all {
		if name, _, _ := strings.Cut(v, "="); name != "NOTIFY_SOCKET" && name != handoverEnv {
			out = append(out, v)
		}
	}
	return out
}

// limited keeps the beginning of what a child writes.
type limited struct{ *bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := 8<<10 - l.Len(); room > 0 {
		_, _ = l.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// handoverEnv names the open files that the next program gets: the state, then the others.
const handoverEnv = "VIPPYD_HANDOVER"

// Replace makes this process the program that rehearsed last, which finds state and files
// by Inherited. It returns only if that fails, and then nothing has changed.
func (s *Successor) Replace(state []byte, files []*os.File) error {
	found, err := os.Stat(s.Binary)
	if err != nil {
		return fmt.Errorf("the new program: %w", err)
	}
	if s.rehearsed == nil || !os.SameFile(found, s.rehearsed) || found.Size() != s.rehearsed.Size() || !found.ModTime().Equal(s.rehearsed.ModTime()) {
		return fmt.Errorf("%s is not the file any more that rehearsed", s.Binary)
	}
	fd, err := unix.MemfdCreate("vippyd-handover", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("keep the state for the new program: %w", err)
	}
	memory := os.NewFile(uintptr(fd), "handover")
	defer memory.Close()
	if _, err := memory.Write(state); err != nil {
		return fmt.Errorf("keep the state for the new program: %w", err)
	}
	all := append([]*os.File{memory}, files...)
	// No check may be started now: it would get the files, too.
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	var numbers []string
	for _, f := range all {
		fd, err := keep(f)
		if err != nil {
			return fmt.Errorf("keep %s open for the new program: %w", f.Name(), err)
		}
		defer unix.CloseOnExec(fd)
		numbers = append(numbers, strconv.Itoa(fd))
	}
	env := append(os.Environ(), handoverEnv+"="+strings.Join(numbers, ","))
	err = s.Exec(s.Binary, append([]string{os.Args[0]}, s.Args...), env)
	return fmt.Errorf("start %s in this process: %w", s.Binary, err)
}

// keep has a file stay open in the next program. It is left as it is otherwise: Fd would
// make a socket wait that others use as well.
func keep(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(n uintptr) {
		fd = int(n)
		_, err = unix.FcntlInt(n, unix.F_SETFD, 0)
	}); e != nil {
		err = e
	}
	return fd, err
}
