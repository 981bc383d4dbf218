package ctlsocket

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

const (
	// DefaultSocket is where a daemon listens unless its config says otherwise.
	DefaultSocket = "/var/run/vippy.socket"
	// SocketGroup is the group whose members may read the status, if it exists.
	SocketGroup = "vippy"

	socketMode = 0o660
	// maxPath is what fits sockaddr_un with its final zero, unix(7).
	maxPath = 107
)

// Listen opens the socket for Serve, mode 0660, with the group vippy if there is one.
// What a dead daemon left there is removed; a living one is an error that names its
// process, and so is anything that is not a socket.
func Listen(path string) (net.Listener, error) {
	if err := vacate(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("management socket: %w", err)
	}
	if err := admit(path, user.LookupGroup); err != nil {
		l.Close()
		return nil, fmt.Errorf("management socket: %w", err)
	}
	return l, nil
}

// Inherit returns the listener that another program in this process opened by Listen, and
// whose file it handed over: who connects meanwhile waits, and is answered.
func Inherit(f *os.File) (net.Listener, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("management socket: go on listening: %w", err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("management socket: go on listening: it is no unix socket")
	}
	unix.SetUnlinkOnClose(true) // as one that Listen opened
	return l, nil
}

// vacate makes sure that the path is free to be listened on.
func vacate(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("management socket %s: the path has %d bytes, a unix socket's at most %d", path, len(path), maxPath)
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("management socket %s: the directory %s does not exist (mkdir -p %s, or set management)", path, dir, dir)
		}
		return fmt.Errorf("management socket: %w", err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("management socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("management socket %s: something that is not a socket is there, and is left alone (move it, or set management)", path)
	}

	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		defer conn.Close()
		if p, err := peerOf(conn); err == nil {
			return fmt.Errorf("management socket %s: process %d already answers there (stop it, or set management)", path, p.pid)
		}
		return fmt.Errorf("management socket %s: another process already answers there (stop it, or set management)", path)
	case errors.Is(err, syscall.EAGAIN):
		// The queue of a listener is full, so there is one.
		return fmt.Errorf("management socket %s: another process listens there and is busy (stop it, or set management)", path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("management socket: see whether it is in use: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("management socket: remove what a dead daemon left: %w", err)
	}
	return nil
}

// oPath is O_PATH (open(2)), which package syscall lacks.
const oPath = 0x200000

// admit opens the socket to its group and to nobody else. Until then the umask rules,
// and changes are refused to strangers whatever the mode says.
//
// What is at the path by now may be a link that somebody put there: the socket itself is
// meant, or nothing.
func admit(path string, lookup func(name string) (*user.Group, error)) error {
	fd, err := syscall.Open(path, oPath|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFSOCK {
		return errors.New("somebody put something else there: use a folder that nobody else can write")
	}
	path = fmt.Sprintf("/proc/self/fd/%d", fd)
	if g, err := lookup(SocketGroup); err == nil {
		gid, err := strconv.Atoi(g.Gid)
		if err != nil {
			return fmt.Errorf("group %s: its number is %q", SocketGroup, g.Gid)
		}
		// A daemon that is neither root nor a member can't give it the group, and a user
		// namespace may not know it.
		if err := os.Chown(path, -1, gid); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return os.Chmod(path, socketMode)
}
