package child

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTrusted(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(dir string) error // dir/bin/prog is a good program
		path string                 // from dir
		want string                 // "" for trusted; DIR stands for dir
	}{
		"good":            {path: "bin/prog"},
		"roundabout":      {path: "bin/../bin/./prog"},
		"a link":          {path: "link", set: func(dir string) error { return os.Symlink("bin/prog", dir+"/link") }},
		"a folder's link": {path: "sbin/prog", set: func(dir string) error { return os.Symlink(dir+"/bin", dir+"/sbin") }},
		"sticky folder":   {path: "bin/prog", set: func(dir string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }},
		"program":         {path: "bin/prog", set: chmod("bin/prog", 0o757), want: "others can write DIR/bin/prog (mode 0757; chmod go-w)"},
		"sticky program":  {path: "bin/prog", set: chmod("bin/prog", 0o757|os.ModeSticky), want: "others can write DIR/bin/prog (mode 0757; chmod go-w)"},
		"folder":          {path: "bin/prog", set: chmod("bin", 0o777), want: "others can write DIR/bin (mode 0777; chmod go-w)"},
		"folder above":    {path: "bin/prog", set: chmod("", 0o777), want: "others can write DIR (mode 0777; chmod go-w)"},
		"link's folder": {path: "open/link", want: "others can write DIR/open (mode 0777; chmod go-w)", set: func(dir string) error {
			return first(os.Mkdir(dir+"/open", 0), os.Chmod(dir+"/open", 0o777), os.Symlink(dir+"/bin/prog", dir+"/open/link"))
		}},
		"target's folder": {path: "link", want: "others can write DIR/open (mode 0777; chmod go-w)", set: func(dir string) error {
			return first(os.Mkdir(dir+"/open", 0), os.Chmod(dir+"/open", 0o777), os.Rename(dir+"/bin/prog", dir+"/open/prog"), os.Symlink("open/prog", dir+"/link"))
		}},
		"circle":   {path: "link", set: func(dir string) error { return os.Symlink("link", dir+"/link") }, want: "too many levels of symbolic links"},
		"a folder": {path: "bin", want: "it is no ordinary file"},
		"nothing":  {path: "bin/none", want: "lstat DIR/bin/none: no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := testFolder(t)
			if err := first(os.Mkdir(dir+"/bin", 0o755), os.WriteFile(dir+"/bin/prog", []byte("#!/bin/sh\n"), 0o755)); err != nil {
				t.Fatal(err)
			}
			if test.set != nil {
				if err := test.set(dir); err != nil {
					t.Fatal(err)
				}
			}
			err := Trusted(filepath.Join(dir) + "/" + test.path)
			if test.want == "" && err != nil {
				t.Errorf("got %v, want it to be trusted", err)
			} else if want := strings.ReplaceAll(test.want, "DIR", dir); want != "" && (err == nil || !strings.HasSuffix(err.Error(), want)) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// What belongs to somebody else isn't trusted, whatever its mode.
func TestTrustedOwner(t *testing.T) {
	if os.Geteuid() != 0 || !mapped(1234) {
		t.Skip("SKIPPED: only root can give files away")
	}
	for _, what := range []string{"prog", "", "link"} {
		dir := testFolder(t)
		if err := first(os.WriteFile(dir+"/prog", nil, 0o755), os.Symlink("prog", dir+"/link"), os.Lchown(filepath.Join(dir, what), 1234, 0)); err != nil {
			t.Fatal(err)
		}
		err := Trusted(dir + "/link")
		want := filepath.Join(dir, what) + " belongs to user 1234, neither root nor the daemon's (chown root)"
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func chmod(name string, mode os.FileMode) func(string) error {
	return func(dir string) error { return os.Chmod(filepath.Join(dir, name), mode) }
}

// testFolder returns a folder that is trusted; those above it are as the tests' are.
func testFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := Trusted(dir); err == nil || !strings.HasSuffix(err.Error(), "it is no ordinary file") {
		t.Fatalf("set TMPDIR to a folder that others can't write: %v", err)
	}
	return dir
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
