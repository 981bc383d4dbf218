package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A family is a command and all processes that come from it. The command leads a process
// group. What leaves that group becomes a child of this process when its own parent ends,
// and so is found, too. This process has no other children, and one family at a time.
type family struct {
	pid int
	// exited is closed when the command itself has ended, with code; gone when nobody of
	// the family is left.
	exited, gone chan struct{}
	code         exitCode
}

// start starts a command that shares standard input and output with this process.
func start(args, env []string) (*family, error) {
	// Orphans come to this process instead of to init: prctl(2).
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of orphans: %w", err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	f := &family{exited: make(chan struct{}), gone: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The command is killed when the thread that started it ends, prctl(2): so that
		// one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			f.pid = cmd.Process.Pid
			err = cmd.Process.Release()
		}
		started <- err
		if err == nil {
			f.reap()
		}
	}()
	return f, <-started
}

// reap waits for all children, own and adopted ones, as init does.
func (f *family) reap() {
	defer close(f.gone)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // ECHILD: there are no more
			return
		case pid == f.pid:
			f.code = exitCode(status.ExitStatus())
			if status.Signaled() {
				f.code = exitCode(exitSignal + int(status.Signal()))
			}
			close(f.exited)
		}
	}
}

// signal reaches the command's process group.
func (f *family) signal(s unix.Signal) { _ = unix.Kill(-f.pid, s) }

// kill kills the process group, and whoever left it and is this process's child by now.
// Their children come next: it is to be called again until the family is gone.
func (f *family) kill() {
	f.signal(unix.SIGKILL)
	for _, pid := range children() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// children lists this process's children.
func children() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // without /proc the process group has to do
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has just ended
		}
		// proc_pid_stat(5): the name in parentheses, which may contain any, the state,
		// the parent.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
