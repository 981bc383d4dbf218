package child

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Process is a running program and its process group. Whoever started it calls Kill
// and then Reap, whatever happened before.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a program. It dies with the daemon: the kernel kills it (though not its
// own children) when the daemon ends, however that ends.
func Start(s Spec) (*Process, error) {
	cmd, err := s.command()
	if err != nil {
		return nil, err
	}
	keepOurs()
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	// Powers and PR_SET_PDEATHSIG are a thread's, not the daemon's (prctl(2)): so a thread
	// is the child's alone, and lives as long.
	onThread(func() {
		err := renounce(cmd.SysProcAttr.Credential != nil)
		if err == nil {
			err = s.explain(cmd.Start(), cmd.SysProcAttr.Credential)
		}
		started <- err
		if err != nil {
			return
		}
		defer close(p.exited)
		spare(cmd.Process.Pid)
		// Not reaped yet: until then the group's number can't become another's.
		for errors.Is(unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	})
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// onThread runs f on a thread that nobody else had or will have. It ends with f: what f
// did to it is gone.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked, which ends the thread with the goroutine
		if unix.Gettid() != os.Getpid() {
			f()
			return
		}
		// But not the main thread, whose powers are what everybody sees of the daemon's.
		// While it is held here, another goroutine is on another one.
		other := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(other)
			f()
		}()
		<-other
		runtime.UnlockOSThread()
	}()
}

// keepOurs marks what the daemon itself was started with, by whom ever: Go marks only
// the files that it opens. The lock keeps it away from an upgrade, which unmarks some.
var keepOurs = sync.OnceFunc(func() {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // from Linux 5.11 on
})

// spare lets the kernel end the child rather than others when memory is short, where
// the daemon is exempt from that. It is refused where the child is another user and the
// daemon, though root, has no CAP_DAC_OVERRIDE: no harm to the daemon, which is exempt.
func spare(pid int) {
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	if err == nil && len(own) > 0 && own[0] == '-' {
		_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("0"), 0)
	}
}

// PID is the process's id and that of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the program has ended. Its children may live on.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill kills the whole process group, after a success too: nothing may pile up. Of a program
// that runs it also kills what has left the group, as far as who started that runs, too. It
// is not for after Reap.
func (p *Process) Kill() {
	fled := halt(p.PID(), p.PID())
	_ = unix.Kill(-p.PID(), unix.SIGKILL)
	for _, pid := range fled {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// halt stops a process and all that come from it, and returns those that are not in a process
// group. Who is stopped starts no other, and lets no number become another's (proc(5),
// children).
func halt(pid, group int) (others []int) {
	_ = unix.Kill(pid, unix.SIGSTOP)
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, path := range tasks {
		list, _ := os.ReadFile(path) // of a thread that has just ended there is none
		for _, word := range strings.Fields(string(list)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if at, err := unix.Getpgid(child); err == nil && at != group {
				others = append(others, child)
			}
			others = append(others, halt(child, group)...)
		}
	}
	return others
}

// Reap waits until a killed program is gone, and returns how it ended: nil for exit
// status 0. It is gone at once, unless it waits in the kernel for a dead disk or file
// server: then gone is false after the given time, and Reap is to be called again.
func (p *Process) Reap(wait time.Duration) (gone bool, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true, p.cmd.Wait()
	case <-timer.C:
		return false, nil
	}
}
