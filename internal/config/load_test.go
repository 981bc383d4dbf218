package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// write puts text into a file of a test's own directory with exactly this mode.
func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

const withoutSecret = "nodes: [node1, node2]\nvips: []\n"

func TestLoad(t *testing.T) {
	path := write(t, t.TempDir(), "vippy.conf", minimal, 0o600)
	c, err := Load(path, "node1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != path || len(c.Secrets) != 1 || len(c.Notices) != 0 {
		t.Errorf("got %+v", c)
	}
	c, err = Load(path, "other")
	if err != nil {
		t.Fatal(err)
	}
	want := `"other" is not one of nodes (node1, node2, node3): this node only listens; -n NAME gives it another name`
	if len(c.Notices) != 1 || c.Notices[0] != want {
		t.Errorf("a node outside of the plan: %q", c.Notices)
	}
}

// TestLoadModes: a secret that others can read is refused with what to type, and so is a
// file that others can write, since root runs what it says.
func TestLoadModes(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		text string
		want string
	}{
		{0o600, minimal, ""},
		{0o400, minimal, ""},
		{0o640, minimal, "holds the secret, and its mode 0640 opens it to others: chmod 600 %s"},
		{0o604, minimal, "holds the secret, and its mode 0604 opens it to others: chmod 600 %s"},
		{0o602, minimal, "holds the secret, and its mode 0602 opens it to others: chmod 600 %s"},
		{0o644, "secrets: [a secret text of length]\n" + withoutSecret, "holds the secret, and its mode 0644 opens it to others: chmod 600 %s"},
		{0o644, "secret_file: SECRET\n" + withoutSecret, ""},
		{0o664, "secret_file: SECRET\n" + withoutSecret, "its mode 0664 lets others change it: chmod go-w %s"},
		{0o666, "secret_file: SECRET\n" + withoutSecret, "its mode 0666 lets others change it: chmod go-w %s"},
	} {
		dir := t.TempDir()
		secret := write(t, dir, "secret", "a secret text of length\n", 0o600)
		path := write(t, dir, "vippy.conf", strings.ReplaceAll(c.text, "SECRET", secret), c.mode)
		_, err := Load(path, "node1")
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v: %v", c.mode, err)
		case c.want != "" && (err == nil || err.Error() != path+": "+fmt.Sprintf(c.want, path)):
			t.Errorf("%v: %v", c.mode, err)
		}
	}
}

func TestLoadSecretFile(t *testing.T) {
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    string
	}{
		{"a secret text of length\n", 0o600, ""},
		{"a secret text of length\r\n", 0o400, ""},
		{"a secret text of length", 0o600, ""},
		{"a secret text of length\n", 0o640, "holds the secret, and its mode 0640 opens it to others: chmod 600 "},
		{"", 0o600, "is empty: it holds the secret on one line"},
		{"\n", 0o600, "is empty: it holds the secret on one line"},
		{"hunter2\nhunter3\n", 0o600, "holds more than one line: it holds the secret on one line"},
		{strings.Repeat("x", MaxSecret) + "\n", 0o600, ""},
		{strings.Repeat("x", MaxSecret+1), 0o600, "a secret has at most 4096 bytes"},
	} {
		dir := t.TempDir()
		secret := write(t, dir, "secret", c.content, c.mode)
		path := write(t, dir, "vippy.conf", "secret_file: "+secret+"\n"+withoutSecret, 0o644)
		cfg, err := Load(path, "node1")
		if c.want == "" {
			if err != nil || string(cfg.Secrets[0].Reveal()) != strings.TrimRight(c.content, "\r\n") {
				t.Errorf("%.20q: %v", c.content, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), path+":1:14: secret_file: "+secret) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%.20q: %v", c.content, err)
		}
	}
}

// TestLoadHashesTheSecretFile: a rotated secret is a changed config.
func TestLoadHashesTheSecretFile(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, dir, "secret", "a secret text of length\n", 0o600)
	path := write(t, dir, "vippy.conf", "secret_file: "+secret+"\n"+withoutSecret, 0o644)
	first, err := Load(path, "node1")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "secret", "another secret text\n", 0o600)
	second, err := Load(path, "node1")
	if err != nil {
		t.Fatal(err)
	}
	if first.Hash == second.Hash || first.Secrets[0].Equal(second.Secrets[0]) {
		t.Error("nothing changed")
	}
}

// TestLoadNamesAllFaults: a wrong mode doesn't hide the wrong keys.
func TestLoadNamesAllFaults(t *testing.T) {
	path := write(t, t.TempDir(), "it's.conf", minimal+"intervl: 1\nstael: 1\n", 0o644)
	_, err := Load(path, "node1")
	fs := AsFaults(err)
	if len(fs) != 3 || !strings.Contains(fs[0].Text, `chmod 600 '`) || !strings.HasSuffix(fs[0].Text, `/it'\''s.conf'`) {
		t.Errorf("got %v", err)
	}
}

func TestLoadWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none"), "node1"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "-c FILE") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Load(dir, "node1"); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(fifo, "node1"); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a fifo: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write(t, dir, "vippy.conf", minimal, 0o600), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link, "node1"); err != nil {
		t.Errorf("a link: %v", err)
	}
}

func TestLoadOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("giving a file away needs root")
	}
	path := write(t, t.TempDir(), "vippy.conf", minimal, 0o600)
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	want := path + ": belongs to user 65534, who could change it: chown root " + path
	if _, err := Load(path, "node1"); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// Who may not read the file is told another remedy than who names none.
func TestUnreadable(t *testing.T) {
	for err, want := range map[error]string{
		fs.ErrPermission: "ask as root",
		fs.ErrNotExist:   "-c FILE names another; the default is /etc/vippy.conf",
	} {
		if got := unreadable(&fs.PathError{Op: "open", Path: "x", Err: err}); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q in it", err, got, want)
		}
	}
}
