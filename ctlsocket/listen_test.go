package ctlsocket

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// socketPath is short enough for a socket, however long the test's name is.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "vippy.socket")
}

func TestListen(t *testing.T) {
	path := socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fs.ModeSocket | 0o660; info.Mode() != want {
		t.Errorf("mode %v, want %v", info.Mode(), want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close the socket is still there: %v", err)
	}
}

// Where there is a group vippy, its members may open the socket, and nobody else.
func TestAdmit(t *testing.T) {
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// Who is not root can give a file only to a group of his own.
	own, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	gid := append(own, os.Getegid())[0]
	if os.Geteuid() == 0 {
		gid = 4711
	}
	group := func() (uint32, os.FileMode) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Gid, info.Mode().Perm()
	}
	before, _ := group()
	none := func(string) (*user.Group, error) { return nil, user.UnknownGroupError(SocketGroup) }
	if err := admit(path, none); err != nil {
		t.Fatal(err)
	}
	if gid, mode := group(); gid != before || mode != 0o660 {
		t.Errorf("without a group: group %d, mode %v", gid, mode)
	}
	asked := ""
	vippy := func(name string) (*user.Group, error) {
		asked = name
		return &user.Group{Gid: strconv.Itoa(gid)}, nil
	}
	if err := admit(path, vippy); err != nil {
		t.Fatal(err)
	}
	if got, mode := group(); int(got) != gid || mode != 0o660 || asked != "vippy" {
		t.Errorf("with group %q: group %d, mode %v, want %d, 0660", asked, got, mode, gid)
	}
}

// Who can write the folder may put a link in the socket's place: what it points to stays as it is.
func TestAdmitFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "shadow"), filepath.Join(dir, "socket")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	none := func(string) (*user.Group, error) { return nil, user.UnknownGroupError(SocketGroup) }
	if err := admit(path, none); err == nil || !strings.Contains(err.Error(), "put something else there") {
		t.Errorf("admit returned %v", err)
	}
	if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
}

// In a user namespace that doesn't know the group (vippyd lab without root) the socket does
// without it.
func TestAdmitWithoutTheGroup(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: needs a user namespace")
	}
	if os.Getenv("VIPPY_ADMIT") == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^TestAdmitWithoutTheGroup$")
		c.Env = append(os.Environ(), "VIPPY_ADMIT=1")
		own := func(id int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		}
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: own(os.Geteuid()), GidMappings: own(os.Getegid())}
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := admit(path, func(string) (*user.Group, error) { return &user.Group{Gid: "4711"}, nil }); err != nil {
		t.Error(err)
	}
}

func TestListenTakesOverFromTheDead(t *testing.T) {
	path := socketPath(t)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the dead daemon should have left its socket: %v", err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestListenLeavesTheLivingAlone(t *testing.T) {
	path := socketPath(t)
	living, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	_, err = Listen(path)
	if err == nil {
		t.Fatal("a second listener took the socket of a living one")
	}
	if want := fmt.Sprintf("process %d already answers", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%v: does not say %q", err, want)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the living one is not reached any more: %v", err)
	}
	c.Close()
}

func TestListenRefuses(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	long := filepath.Join(dir, strings.Repeat("x", 108))
	for _, c := range []struct{ path, says string }{
		{filepath.Join(missing, "s"), "the directory " + missing + " does not exist (mkdir -p " + missing},
		{file, "not a socket is there, and is left alone"},
		{link, "not a socket is there, and is left alone"},
		{dir, "not a socket is there, and is left alone"},
		{long, "a unix socket's at most 107"},
	} {
		l, err := Listen(c.path)
		if err == nil {
			l.Close()
			t.Errorf("%s: listens", c.path)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: does not say %q", err, c.says)
		}
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "precious" {
		t.Errorf("the file is now %q, %v", data, err)
	}
}
