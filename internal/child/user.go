package child

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// nobody is who foreign programs of a daemon run by root are, and the number that the
// kernel itself uses for "somebody who has nothing" (user_namespaces(7), overflow).
const (
	nobody   = "nobody"
	nobodyID = 65534
)

func (s Spec) userName() string {
	if s.User == "" {
		return nobody
	}
	return s.User
}

// lookup returns what makes a child somebody else, nil where it stays who the daemon is.
func lookup(name string) (*syscall.Credential, error) {
	me := os.Geteuid()
	if name == "" {
		if me != 0 || !mapped(nobodyID) {
			return nil, nil
		}
		name = nobody
	}
	if name == strconv.Itoa(me) {
		return nil, nil // also where no account has that number, as in many containers
	}
	uid, gid, groups, err := account(name)
	if err != nil {
		return nil, err
	}
	if int(uid) == me {
		return nil, nil
	}
	return &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}, nil
}

// account reads a user, with all the groups that it is in.
func account(name string) (uid, gid uint32, groups []uint32, err error) {
	u, err := user.Lookup(name)
	if _, number := strconv.ParseUint(name, 10, 32); err != nil && number == nil {
		u, err = user.LookupId(name)
	}
	var unknown user.UnknownUserError
	var unknownID user.UnknownUserIdError
	switch {
	case err == nil:
	case name == nobody: // an image without users: its number is the same everywhere
		return nobodyID, nobodyID, nil, nil
	case errors.As(err, &unknown), errors.As(err, &unknownID):
		return 0, 0, nil, fmt.Errorf("user %q does not exist on this host: create it, or name another", name)
	default:
		return 0, 0, nil, fmt.Errorf("user %q: %w", name, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, 0, nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, text := range append([]string{u.Uid, u.Gid}, ids...) {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return 0, 0, nil, fmt.Errorf("user %q: %w", name, err)
		}
		groups = append(groups, uint32(n))
	}
	return groups[0], groups[1], groups[2:], nil
}

// mapped says whether this process's user namespace has the user: one that was made
// without privileges has a single one, and nobody else can be become there.
func mapped(uid uint32) bool {
	ranges, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return true // no /proc, no way to tell: try
	}
	return inRanges(string(ranges), uid)
}
