package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"

	"github.com/vippy-ha/vippy/plugin"
)

// File watches whether a file is there. That it comes or goes is noticed at once
// (inotify(7)); where its folder can't be watched, at the next look.
type File struct {
	Common
	// Path is the file, absolute.
	Path string
	// Missing says that it is healthy while the file is missing, rather than there.
	Missing bool
}

// Validate says what is wrong with the settings, all at once.
func (f File) Validate() error {
	err := f.validate()
	if !filepath.IsAbs(f.Path) {
		err = errors.Join(err, f.fault("file: %q is not an absolute path", f.Path))
	}
	return err
}

// Run checks until ctx is cancelled, and returns nil then.
func (f File) Run(ctx context.Context, host plugin.Host) error {
	if err := f.Validate(); err != nil {
		return err
	}
	wake := make(chan struct{}, 1)
	w, err := fsnotify.NewWatcher()
	if err != nil { // there is a limit to how many of them a host has
		host.Log().Warn("cannot be told of the file: it is looked for every interval", "file", f.Path, "err", err)
		f.watchStubborn(ctx, host, f.look, nil, func() {})
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for e := range w.Events {
			if e.Name == filepath.Clean(f.Path) || e.Name == filepath.Dir(f.Path) {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range w.Errors { // what was missed is seen at the next look
		}
	}()
	f.watchStubborn(ctx, host, func() string {
		// Anew each time, since the folder may be another one; an unchanged one costs nothing.
		_ = w.Add(filepath.Dir(f.Path))
		return f.look()
	}, wake, func() {
		_ = w.Close()
		<-ended
		<-drained
	})
	return nil
}

func (f File) look() string {
	_, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.Missing, err == nil && !f.Missing:
		return ""
	case err == nil:
		return f.Path + " is there"
	case errors.Is(err, fs.ErrNotExist):
		return f.Path + " is not there"
	}
	return fmt.Sprintf("cannot tell: %v", err)
}
