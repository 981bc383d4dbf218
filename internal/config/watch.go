package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// debounce is how long a burst of events is left to end before the file is looked at.
const debounce = 150 * time.Millisecond

// Watch tells changed whenever the content of the file at path is another than before,
// until ctx ends; then it returns nil. It watches the directory, since editors and
// config managers replace the file and Kubernetes swaps a symbolic link beside it. A
// file that is gone for a while has not changed, nor is told what changed before Watch
// began. changed is never waited for: give it room for one.
func Watch(ctx context.Context, path string, changed chan<- struct{}) error {
	return watch(ctx, path, changed, func() {})
}

// watch is Watch; it calls ready when later changes will be seen.
func watch(ctx context.Context, path string, changed chan<- struct{}, ready func()) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	defer func() { _ = watcher.Close() }()
	if err := watchDirs(watcher, path); err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	last := fingerprint(path, [32]byte{})
	ready()

	// The first event of a burst starts the timer and later ones don't push it back: a
	// directory in which something always happens must not keep us from looking.
	var look <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-watcher.Events:
			if !ok {
				return fmt.Errorf("watch %s: the watcher ended", path)
			}
			// Whatever its name: behind a chain of links any name may matter, and the
			// content decides.
			if look == nil {
				look = time.After(debounce)
			}
		case err := <-watcher.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", path, err)
			}
			if look == nil {
				look = time.After(debounce)
			}
		case <-look:
			look = nil
			// A link may lead elsewhere by now. What cannot be watched now can't be
			// read either, and its return is an event in a directory that is watched.
			_ = watchDirs(watcher, path)
			now := fingerprint(path, last)
			if now == last {
				continue
			}
			last = now
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}
}

// watchDirs watches the directory of path and that of the file which it leads to.
func watchDirs(watcher *fsnotify.Watcher, path string) error {
	err := watcher.Add(filepath.Dir(path))
	if target, terr := filepath.EvalSymlinks(path); terr == nil {
		err = errors.Join(err, watcher.Add(filepath.Dir(target)))
	}
	return err
}

// fingerprint is the hash of the file's content, or otherwise where it can't be read.
func fingerprint(path string, otherwise [32]byte) [32]byte {
	data, _, err := readFile(path, MaxSize)
	if err != nil {
		return otherwise
	}
	return sha256.Sum256(data)
}
