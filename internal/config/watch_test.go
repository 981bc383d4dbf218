package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/renameio/v2"
	"go.uber.org/goleak"
)

// patience bounds a wait for what must happen; it is no measure of speed.
const patience = 10 * time.Second

// watched runs Watch on path until the test ends.
func watched(t *testing.T, path string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changed, done := make(chan struct{}, 1), make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		done <- watch(ctx, path, changed, func() { close(ready) })
	}()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return changed
}

func expect(t *testing.T, changed <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatalf("%s was not noticed", what)
	}
}

func expectNone(t *testing.T, changed <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-changed:
		t.Fatalf("%s was taken for a change", what)
	case <-time.After(3 * debounce):
	}
}

// overwrite changes a file in one step: a file that is first emptied has two contents.
func overwrite(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		path := write(t, dir, "vippy.conf", "a", 0o600)
		changed := watched(t, path)

		replace := func(text string) {
			t.Helper()
			if err := renameio.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		write(t, dir, "other", "x", 0o600)
		expectNone(t, changed, "another file")
		replace("a")
		expectNone(t, changed, "the same content")
		overwrite(t, path, "b")
		expect(t, changed, "a write in place")
		for _, text := range []string{"c", "d"} { // the second one finds the watch alive
			replace(text)
			expect(t, changed, "an atomic replacement")
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expectNone(t, changed, "a removal")
		replace("d")
		expectNone(t, changed, "the same content after a removal")
		replace("e")
		expect(t, changed, "new content after a removal")
	})
	t.Run("configmap", func(t *testing.T) {
		// As Kubernetes mounts one: vippy.conf -> ..data/vippy.conf, ..data -> ..1.
		dir := t.TempDir()
		link := func(to, from string) {
			t.Helper()
			if err := renameio.Symlink(to, filepath.Join(dir, from)); err != nil {
				t.Fatal(err)
			}
		}
		for _, version := range []string{"..1", "..2", "..3"} {
			if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, version), "vippy.conf", version, 0o600)
		}
		link("..1", "..data")
		link("..data/vippy.conf", "vippy.conf")
		changed := watched(t, filepath.Join(dir, "vippy.conf"))
		for _, version := range []string{"..2", "..3"} {
			link(version, "..data")
			expect(t, changed, "a swap to "+version)
		}
	})
	t.Run("link to another directory", func(t *testing.T) {
		here, there := t.TempDir(), t.TempDir()
		target := write(t, there, "real.conf", "a", 0o600)
		path := filepath.Join(here, "vippy.conf")
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		changed := watched(t, path)
		overwrite(t, target, "b")
		expect(t, changed, "a write behind the link")
	})
}

func TestWatchWithoutDirectory(t *testing.T) {
	if err := Watch(context.Background(), filepath.Join(t.TempDir(), "none", "vippy.conf"), nil); err == nil {
		t.Error("a directory that doesn't exist is watched")
	}
}
