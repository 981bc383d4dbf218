package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// state is the state directory while this process has its lock.
type state struct {
	dir  string
	lock *os.File
}

// openState makes the directory where it is missing and locks it, so that a second
// daemon can't speak with the same name and boot ids from it.
func openState(dir string) (*state, error) {
	hint := "create it for this user, or set state_dir in the config"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state_dir: %w (%s)", err, hint)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w (%s)", err, hint)
	}
	if err := lockState(f); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("state_dir: another vippyd (pid %s) uses %s: stop it, or, in another network namespace, give this one a state_dir and a management socket of its own",
				lockedBy(f), dir)
		}
		return nil, fmt.Errorf("state_dir: lock %s: %w", f.Name(), err)
	}
	s := &state{dir: dir, lock: f}
	if err := s.writePID(); err != nil {
		s.close()
		return nil, fmt.Errorf("state_dir: %w (is the disk full?)", err)
	}
	return s, nil
}

// A guard shares the lock, and may still be removing what a dead daemon left: until it
// has ended, this process must not write addresses.
const (
	guardEndsWithin = 3 * time.Second
	lockEvery       = 10 * time.Millisecond
)

// lockState takes the lock, at once or when the guard of a dead daemon has ended.
func lockState(f *os.File) error {
	for began := time.Now(); ; time.Sleep(lockEvery) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Since(began) > guardEndsWithin {
			return err
		}
		pid, _ := strconv.Atoi(lockedBy(f))
		if pid <= 0 || unix.Kill(pid, 0) == nil {
			return err // it lives
		}
	}
}

// lockedBy returns the process that a lock file names.
func lockedBy(f *os.File) string {
	pid, _ := os.ReadFile(f.Name())
	return strings.TrimSpace(string(pid))
}

// writePID writes the pid in place: a renamed file would lose the lock.
func (s *state) writePID() error {
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err := s.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// close gives the lock up. The file stays: removing it would let two daemons lock two
// files of one name.
func (s *state) close() { _ = s.lock.Close() }

// nextBoot returns a boot id larger than every earlier one of this directory, and
// keeps it before anybody can hear of it. With the directory lost, the wall clock
// keeps ids growing.
func (s *state) nextBoot() (uint64, error) {
	path := filepath.Join(s.dir, "boot")
	boot := uint64(max(time.Now().UnixNano(), 1))
	switch data, err := os.ReadFile(path); {
	case err == nil:
		// A file that can't be understood says as little as none.
		if last, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil {
			boot = max(boot, last+1)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("state_dir: %w", err)
	}
	if err := renameio.WriteFile(path, strconv.AppendUint(nil, boot, 10), 0o600); err != nil {
		return 0, fmt.Errorf("state_dir: keep the boot id: %w (the directory must be writable)", err)
	}
	return boot, nil
}
