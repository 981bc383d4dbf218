package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a guard process as the daemon has it.
type child struct {
	proc *os.Process
	wait func() error // for its end
	line *net.UnixConn
	raw  syscall.RawConn
	// asked and answered count messages. The first answer is to the start: it is ready.
	asked, answered atomic.Uint64
	ready           chan struct{}
	ended           chan struct{}
	result          error // how it ended, once ended is closed
}

// lineBuffer holds the largest message several times.
const lineBuffer = 4 * maxMessage

// The guard's Go runtime is told to be small: it has next to nothing to collect.
var environment = []string{"GOMAXPROCS=1", "GOMEMLIMIT=4MiB", "GOGC=20"}

// spawn starts a guard with this program, whatever has become of its file meanwhile. It
// gets a session of its own, so that what is meant for the daemon and its checks doesn't
// reach it, and nothing of the daemon's environment.
func spawn(args []string, lock *os.File) (*child, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("guard: make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "guard"), os.NewFile(uintptr(pair[1]), "daemon")
	defer ours.Close()
	defer theirs.Close()
	for _, fd := range pair {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, lineBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, lineBuffer) // as much as there may be
		}
	}
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("guard: refer to this process: %w (needs Linux 5.3)", err)
	}
	me := os.NewFile(uintptr(self), "pidfd")
	defer me.Close()
	c, err := newChild(ours)
	if err != nil {
		return nil, err
	}
	c.asked.Store(1)
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = environment
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs, me}
	if lock != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, lock)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: %w", err), c.line.Close())
	}
	c.proc, c.wait = cmd.Process, cmd.Wait
	go c.attend()
	return c, nil
}

// newChild is a child at the other end of a line, yet without process.
func newChild(line *os.File) (*child, error) {
	conn, err := net.FileConn(line)
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	c := &child{ready: make(chan struct{}), ended: make(chan struct{})}
	var ok bool
	if c.line, ok = conn.(*net.UnixConn); !ok {
		return nil, errors.Join(errors.New("guard: its line is no unix socket"), conn.Close())
	}
	if c.raw, err = c.line.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: %w", err), c.line.Close())
	}
	return c, nil
}

// adopt returns the guard that another program in this process started.
func adopt(h *Heirloom) (*child, error) {
	defer h.Line.Close()
	c, err := newChild(h.Line)
	if err != nil {
		return nil, err
	}
	if c.proc, err = os.FindProcess(h.PID); err != nil {
		return nil, errors.Join(fmt.Errorf("guard %d: %w", h.PID, err), c.line.Close())
	}
	c.wait = func() error {
		state, err := c.proc.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		return err
	}
	go c.attend()
	return c, nil
}

// begin returns once the guard is ready, or why it won't be.
func (c *child) begin(ctx context.Context) error {
	late := time.NewTimer(startWithin)
	defer late.Stop()
	var err error
	select {
	case <-c.ready:
		return nil
	case <-c.ended:
		return fmt.Errorf("guard %d ended at its start: %w", c.pid(), c.result)
	case <-late.C:
		err = fmt.Errorf("guard %d was not ready after %v and was killed", c.pid(), startWithin)
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.kill()
	<-c.ended
	return err
}

// attend counts answers until the guard has ended. The line stays open as long as the guard
// lives, for its end is the guard's sign.
func (c *child) attend() {
	buf := make([]byte, 16)
	for {
		n, err := c.line.Read(buf)
		if err != nil || n == 0 {
			break
		}
		if c.answered.Add(1) == 1 {
			close(c.ready)
		}
	}
	if c.result = c.wait(); c.result == nil {
		c.result = errors.New("it left")
	}
	_ = c.line.Close()
	close(c.ended)
}

func (c *child) pid() int { return c.proc.Pid }

// send sends a message or fails; it never waits.
func (c *child) send(m []byte) error {
	var err error
	if e := c.raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendto(int(fd), m, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
			if !errors.Is(err, unix.EINTR) {
				return true
			}
		}
	}); e != nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("guard %d takes no message: %w", c.pid(), err)
	}
	c.asked.Add(1)
	return nil
}

// kill makes sure that the guard does nothing any more.
func (c *child) kill() { _ = c.proc.Kill() }
