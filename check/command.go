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

// A commander runs one command again and again, never twice at a time.
type commander struct {
	Exec
	// stuck is a killed process that is not gone yet: it waits in the kernel, for a
	// dead disk or file server.
	stuck *process
}

// once runs the command once and says why that counts as unhealthy, "" if it doesn't.
// When it returns, the command's process group is gone, or known to be stuck.
func (c *commander) once(ctx context.Context) string {
	if c.stuck != nil {
		if !c.stuck.gone(grace) {
			return fmt.Sprintf("process %d was killed but hangs in the kernel", c.stuck.pid())
		}
		c.stuck = nil
	}
	limit := c.Timeout
	if limit == 0 {
		limit = c.Interval
	}
	p, err := start(c.Exec)
	if err != nil {
		return fmt.Sprintf("cannot start: %v", err)
	}

	timer := time.NewTimer(limit)
	defer timer.Stop()
	late := false
	select {
	case <-p.exited:
	case <-timer.C:
		late = true
	case <-ctx.Done():
	}
	p.kill()
	if !p.gone(grace) {
		c.stuck = p
		return fmt.Sprintf("not done within %v", limit)
	}
	what := p.failure
	if late {
		what = fmt.Sprintf("not done within %v", limit)
	}
	if line := p.stderr.line(); what != "" && line != "" {
		what += ": " + line
	}
	return what
}

// grace is how long to wait for a killed process to be gone, and then for the end of
// its output. Both are there at once but for a stuck process, or one that fled.
const grace = time.Second

// A process is a running command, its process group, and the end of what it wrote.
type process struct {
	cmd    *exec.Cmd
	out    *os.File
	exited chan struct{} // closed when the command is over, but not reaped
	read   chan struct{} // closed when stderr is complete
	// stderr and failure ("" for exit status 0) are valid once the process is gone.
	stderr  tail
	failure string
}

func start(e Exec) (*process, error) {
	cmd := exec.Command(e.Command[0], e.Command[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C", "VIPPY_CHECK=" + e.Label}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	// A pipe of our own: exec's would make Wait wait for whoever keeps it open.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = w
	err = errors.Join(cmd.Start(), w.Close())
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p := &process{cmd: cmd, out: r, exited: make(chan struct{}), read: make(chan struct{})}
	go func() {
		defer close(p.read)
		io.Copy(&p.stderr, r) // ends with the last writer, or by gone's deadline
	}()
	go func() {
		defer close(p.exited)
		awaitExit(cmd.Process.Pid)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill kills the whole process group, after a success too: nothing may pile up. As the
// command is not reaped yet, the group's number can't have become another's.
func (p *process) kill() { _ = unix.Kill(-p.pid(), unix.SIGKILL) }

// gone waits for the killed process to be gone and reaps it; false if that takes longer.
func (p *process) gone(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		return false
	}
	if err := p.cmd.Wait(); err != nil {
		p.failure = err.Error()
	}
	// Only a process that left the group can still hold the pipe open.
	_ = p.out.SetReadDeadline(time.Now().Add(grace))
	<-p.read
	_ = p.out.Close()
	return true
}

// awaitExit waits for a child to end and leaves it to be reaped.
func awaitExit(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}
