package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one run of a program (vippyd, a service, keepalived) in a host's namespace.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	result error // how it ended, once ended is closed
}

// daemonNice is the priority of a daemon (nice(2)).
const daemonNice = -15

// spawn starts a program in the namespace, in a process group of its own so that a ^C at
// the terminal is only for the lab, its output appended to a log. It is killed when the
// namespace's thread ends, also when the lab itself is killed.
func spawn(s *space, log string, path string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true}
	for _, v := range os.Environ() {
		// Not the lab's own mark, nor a service manager's: the daemon is not its service.
		if name, _, _ := strings.Cut(v, "="); name != insideEnv && name != "NOTIFY_SOCKET" && name != "JOURNAL_STREAM" {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	err = s.do(func() error {
		// As packaging/vippyd.service has it, where the user may; the child inherits it.
		unix.Setpriority(unix.PRIO_PROCESS, 0, daemonNice)
		return p.cmd.Start()
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		p.result = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// signal sends a signal; to a process that has ended it does nothing.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, p.cmd.Process.Pid, err)
	}
	return nil
}

// running says whether the process has not ended.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop orders the process to end and says how it did.
func (p *process) stop(ctx context.Context, limit time.Duration) error {
	if err := p.signal(unix.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return p.result
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limit):
		return fmt.Errorf("process %d has not ended %v after SIGTERM", p.cmd.Process.Pid, limit)
	}
}

// kill ends the process, stopped or not, and waits for it.
func (p *process) kill() error {
	err := p.signal(unix.SIGKILL)
	if err == nil {
		<-p.ended
	}
	return err
}
