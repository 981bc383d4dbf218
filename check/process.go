package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/plugin"
)

// Process watches a process: healthy while it lives. Its death is noticed at once
// (pidfd_open(2)); that it is there again, at the next look.
type Process struct {
	Common
	// Target is the absolute path of a file that begins with the process id, or the name
	// of a program: of several processes with that name, the oldest is watched.
	Target string
}

// Validate says what is wrong with the settings, all at once.
func (p Process) Validate() error {
	err := p.validate()
	if p.Target == "" || !filepath.IsAbs(p.Target) && strings.Contains(p.Target, "/") {
		err = errors.Join(err, p.fault("process: %q is neither the absolute path of a pid file nor a program's name", p.Target))
	}
	return err
}

// Run checks until ctx is cancelled, and returns nil then.
func (p Process) Run(ctx context.Context, host plugin.Host) error {
	if err := p.Validate(); err != nil {
		return err
	}
	w := watched{wake: make(chan struct{}, 1)}
	p.watchStubborn(ctx, host, func() string { return p.look(&w) }, w.wake, w.leave)
	return nil
}

// look says why the process isn't there, and begins to watch it where it is.
func (p Process) look(w *watched) string {
	lives := w.lives()
	if lives && !filepath.IsAbs(p.Target) {
		return ""
	}
	pid, named, err := p.find()
	if lives && err == nil && pid == w.pid {
		return "" // else the pid file names another one by now
	}
	died := w.pid
	w.leave()
	if died != 0 {
		w.died, w.named = died, named
	}
	if err == nil && pid == w.died && named.Equal(w.named) {
		// By now the number may be another's, but nobody has written it anew.
		err = fmt.Errorf("%s still names it", p.Target)
		died = pid
	}
	if err == nil {
		err = w.follow(pid)
	}
	switch {
	case err == nil:
		return ""
	case died != 0:
		return fmt.Sprintf("process %d ended: %v", died, err)
	}
	return err.Error()
}

// find returns the process, and when a pid file was written.
func (p Process) find() (pid int, named time.Time, err error) {
	if filepath.IsAbs(p.Target) {
		return fromFile(p.Target)
	}
	pid, err = byName(p.Target)
	return pid, time.Now(), err
}

// fromFile reads a pid file. What is in it otherwise isn't shown: the path may be wrong.
func fromFile(path string) (pid int, written time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, written, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, written, err
	}
	buf := make([]byte, 64)
	n, _ := f.Read(buf)
	text, _, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(text))
	if err != nil || pid < 1 {
		return 0, written, fmt.Errorf("%s has no process id", path)
	}
	return pid, info.ModTime(), nil
}

// byName finds the oldest process of a program, by what the kernel calls it (proc(5),
// comm: 15 bytes) or by the last part of its first argument.
func byName(name string) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	pid, first := 0, uint64(0)
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil || !called(n, name) {
			continue
		}
		if at, ok := startOf(n); ok && (pid == 0 || at < first) {
			pid, first = n, at
		}
	}
	if pid == 0 {
		return 0, fmt.Errorf("no process is called %s", name)
	}
	return pid, nil
}

func called(pid int, name string) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	comm, err := os.ReadFile(dir + "/comm")
	if err != nil {
		return false
	}
	if strings.TrimSuffix(string(comm), "\n") == name {
		return true
	}
	cmdline, _ := os.ReadFile(dir + "/cmdline")
	argv0, _, _ := bytes.Cut(cmdline, []byte{0})
	return filepath.Base(string(argv0)) == name
}

// startOf returns when a process started, in clock ticks since boot, unless it is dead and
// just not reaped (proc_pid_stat(5), fields 3 and 22; the second one may hold anything).
func startOf(pid int) (uint64, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0, false
	}
	at, err := strconv.ParseUint(fields[19], 10, 64)
	return at, err == nil
}

// watched is the process that is being watched, if there is one.
type watched struct {
	wake chan struct{} // holds a token when it has ended
	pid  int           // 0 for none
	file *os.File      // refers to it (pidfd_open(2))
	done sync.WaitGroup
	// died is the one that was watched before, and named when the file that named it was
	// written.
	died  int
	named time.Time
}

// follow begins to watch a process.
func (w *watched) follow(pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("there is no process %d", pid)
	} else if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	raw, err := f.SyscallConn()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if dead(raw) {
		return errors.Join(fmt.Errorf("process %d has ended", pid), f.Close())
	}
	w.pid, w.file = pid, f
	w.done.Go(func() {
		// Waits until the file is readable, which is the process's end, or closed.
		if raw.Read(func(fd uintptr) bool { return readable(fd) }) != nil {
			return
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	})
	return nil
}

func (w *watched) lives() bool {
	if w.pid == 0 {
		return false
	}
	raw, err := w.file.SyscallConn()
	return err == nil && !dead(raw)
}

func (w *watched) leave() {
	if w.pid != 0 {
		_ = w.file.Close()
		w.done.Wait()
		w.pid = 0
	}
}

func dead(raw interface{ Control(func(uintptr)) error }) (ended bool) {
	err := raw.Control(func(fd uintptr) { ended = readable(fd) })
	return ended || err != nil
}

func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}
