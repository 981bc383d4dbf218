package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// dirPattern names the lab's directories below os.TempDir. Short: the path of a socket
// has at most 107 bytes (unix(7)).
const dirPattern = "vippy-lab-*"

// A workdir holds the nodes' files. Its lock ends with the lab, however that ends, and in
// whatever process namespace it ran; so a directory whose lock is free was left behind.
type workdir struct {
	path string
	lock *os.File
}

// newWorkdir makes the directory, after it removed those that killed labs left behind.
func newWorkdir() (*workdir, error) {
	sweep()
	for {
		path, err := os.MkdirTemp("", dirPattern)
		if err != nil {
			return nil, err
		}
		lock, err := lockDir(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EWOULDBLOCK) {
			continue // a lab that starts at the same time swept it away before it was locked
		}
		if err != nil {
			os.RemoveAll(path)
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if _, err := os.Lstat(path); err == nil {
			return &workdir{path, lock}, nil
		}
		lock.Close()
	}
}

// lockDir takes the lock, or fails at once when another lab has it.
func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes what labs of this user left behind. What can't be removed stays.
func sweep() {
	paths, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPattern))
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
			continue
		}
		if lock, err := lockDir(path); err == nil {
			os.RemoveAll(path)
			lock.Close()
		}
	}
}

func (w *workdir) close() error {
	defer w.lock.Close()
	return os.RemoveAll(w.path)
}
