package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links one path may lead through (path_resolution(7)).
const maxLinks = 40

// Trusted says why a program must not be run with this host's addresses at stake: it,
// or a folder on the way to it, belongs to or can be written by somebody other than
// root and the daemon's user. A folder with the sticky bit, such as /tmp, is good
// enough: there, nobody can replace what isn't his (inode(7)).
func Trusted(path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	refuse := func(err error) error { return fmt.Errorf("%s is not run: %w", path, err) }
	left := strings.Split(path, "/")[1:]
	at, links := "/", 0
	if err := trustedAt(at, false); err != nil {
		return refuse(err)
	}
	for len(left) > 0 {
		name := left[0]
		left = left[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = filepath.Dir(at) // at is free of links, so that this is the kernel's meaning
			continue
		}
		next := filepath.Join(at, name)
		info, err := os.Lstat(next)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			// Who may replace the link is who may write its folder, and who owns it.
			if err := trustedOwner(next, info); err != nil {
				return refuse(err)
			}
			if links++; links > maxLinks {
				return refuse(syscall.ELOOP)
			}
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}
			if filepath.IsAbs(target) {
				at = "/"
			}
			left = append(strings.Split(target, "/"), left...)
			continue
		}
		if err := trustedAt(next, len(left) == 0); err != nil {
			return refuse(err)
		}
		at = next
	}
	return nil
}

// trustedAt judges one file or folder that is no link.
func trustedAt(path string, program bool) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if program && !info.Mode().IsRegular() {
		return errors.New("it is no ordinary file")
	}
	if err := trustedOwner(path, info); err != nil {
		return err
	}
	mode := info.Mode()
	group := mode.Perm()&0o020 != 0 && info.Sys().(*syscall.Stat_t).Gid != 0
	if (group || mode.Perm()&0o002 != 0) && (program || mode&fs.ModeSticky == 0) {
		return fmt.Errorf("others can write %s (mode %04o; chmod go-w)", path, mode.Perm())
	}
	return nil
}

func trustedOwner(path string, info fs.FileInfo) error {
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner == 0 || int(owner) == os.Geteuid() || owner == nobodyID && !mapped(nobodyID) {
		// The last: in a user namespace without the host's users all of them, root too,
		// look like this one.
		return nil
	}
	return fmt.Errorf("%s belongs to user %d, neither root nor the daemon's (chown root)", path, owner)
}
