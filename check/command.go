package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// once runs the command once and says why that counts as unhealthy, "" if it doesn't.
// The command's process group is gone when it returns.
func (e Exec) once(ctx context.Context) string {
	limit := e.Timeout
	if limit == 0 {
		limit = e.Interval
	}
	cmd := exec.Command(e.Command[0], e.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C", "VIPPY_CHECK=" + e.Label}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	// A pipe of our own: exec's would make Wait wait for whoever keeps it open.
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Sprintf("cannot start: %v", err)
	}
	defer r.Close()
	cmd.Stderr = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Sprintf("cannot start: %v", err)
	}

	var stderr tail
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(&stderr, r) // ends with the last writer, or by the deadline below
	}()
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		awaitExit(cmd.Process.Pid)
	}()

	timer := time.NewTimer(limit)
	defer timer.Stop()
	late := false
	select {
	case <-exited:
	case <-timer.C:
		late = true
	case <-ctx.Done():
	}
	// The command is not reaped yet, so the number of its group can't be another's. Its
	// children end with it even after a success: nothing may pile up.
	unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	<-exited
	err = cmd.Wait()
	// Only a process that left the group can still hold the pipe.
	r.SetReadDeadline(time.Now().Add(grace))
	<-read

	if late {
		return reason(fmt.Sprintf("not done within %v", limit), stderr.line())
	}
	if err != nil {
		return reason(err.Error(), stderr.line())
	}
	return ""
}

// grace is how long to wait for the output of a process that is gone.
const grace = 100 * time.Millisecond

// awaitExit waits for a child to end and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func reason(what, line string) string {
	if line == "" {
		return what
	}
	return what + ": " + line
}
