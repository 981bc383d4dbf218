package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// starved is how long a starved daemon gets no processor: less than a lifetime of 1 s by
// more than the 0.4 s that may have passed since the last extension (docs/architecture.md "The
// guard"), so neither guard nor kernel may take anything from it.
const starved = 500 * time.Millisecond

// starvedMost is how long it may become on a busy machine and still be that fault.
const starvedMost = starved + 80*time.Millisecond

var errStarvedLab = errors.New("the lab itself was starved")

// guardPID asks a node's daemon for its guard.
func (n *node) guardPID(ctx context.Context) (int, error) {
	st, err := n.ask(ctx)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", n.name, err)
	}
	if st.Guard.PID == 0 {
		return 0, fmt.Errorf("%s: vippyd has no guard", n.name)
	}
	return st.Guard.PID, nil
}

// killGuard kills the guard of a node's daemon.
func (n *node) killGuard(ctx context.Context) error {
	pid, err := n.guardPID(ctx)
	if err != nil {
		return err
	}
	return n.signalGuard(pid, unix.SIGKILL)
}

// killBoth kills a node's guard and then its daemon: only the kernel is left to remove
// what it has.
func (n *node) killBoth(ctx context.Context) error {
	if err := n.killGuard(ctx); err != nil {
		return err
	}
	n.wanted = false
	return n.proc.kill()
}

func (n *node) signalGuard(pid int, sig unix.Signal) error {
	if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%s: send %v to guard %d: %w", n.name, sig, pid, err)
	}
	return nil
}

// starve stops a node's daemon for a while, to the millisecond: the thread that does it is
// as urgent as the probe's.
func (n *node) starve(length time.Duration) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		urgent(answerBudget)
		begin := now()
		err := n.proc.signal(unix.SIGSTOP)
		until := unix.NsecToTimespec(int64(begin.add(length)))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil) == unix.EINTR {
		}
		err = errors.Join(err, n.proc.signal(unix.SIGCONT))
		if took := begin.since(); err == nil && took > starvedMost {
			err = fmt.Errorf("%s: %w: vippyd stood still for %v, not %v; try a machine with less to do", n.name, errStarvedLab, took, length)
		}
		result <- err
	}()
	return <-result
}

// freeze stops a node's guard and daemon: nobody is left there who could remove anything.
func (n *node) freeze(ctx context.Context) error {
	pid, err := n.guardPID(ctx)
	if err != nil {
		return err
	}
	n.hung, n.wanted, n.frozen = true, false, pid
	return errors.Join(n.signalGuard(pid, unix.SIGSTOP), n.proc.signal(unix.SIGSTOP))
}

// thaw lets a frozen daemon and its guard go on, as a paused container does, the daemon first:
// whatever it is about to write, its addresses are elsewhere by now. Its guard ends it, unless
// the daemon was quicker to notice and starts over.
func (n *node) thaw() error {
	pid := n.frozen
	n.frozen, n.hung = 0, false
	return errors.Join(n.proc.signal(unix.SIGCONT), n.signalGuard(pid, unix.SIGCONT))
}

// endFrozen kills a stopped guard: it would outlive its daemon. It goes first, while the
// daemon, stopped too, can't have waited for it: the process id is still its own.
func (n *node) endFrozen() error {
	if n.frozen == 0 {
		return nil
	}
	pid := n.frozen
	n.frozen = 0
	return n.signalGuard(pid, unix.SIGKILL)
}

// stop orders a node's daemon to end, which hands over.
func (n *node) stop(ctx context.Context) error {
	n.wanted = false
	if err := n.proc.stop(ctx, stopLimit); err != nil {
		return fmt.Errorf("%s: stop vippyd: %w", n.name, err)
	}
	return nil
}

// bringBack starts a node's daemon, after it ended what is left of a frozen or foreign one.
func (c *cluster) bringBack(ctx context.Context, n *node) error {
	if n.frozen != 0 {
		if err := errors.Join(n.endFrozen(), n.proc.kill()); err != nil {
			return err
		}
	}
	n.hung = false
	if n.foreign {
		if err := n.stop(ctx); err != nil {
			return err
		}
		n.foreign, n.conf.secret, n.conf.mature = false, c.conf.secret, c.conf.mature
		if err := c.configure(n); err != nil {
			return err
		}
	}
	return c.start(n)
}
