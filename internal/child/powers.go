package child

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// inRanges looks for a user in a uid_map (user_namespaces(7)): lines of first, first
// outside, count.
func inRanges(text string, uid uint32) bool {
	for line := range strings.Lines(text) {
		var first, outside, count uint64
		if n, _ := fmt.Sscan(line, &first, &outside, &count); n == 3 && uint64(uid) >= first && uint64(uid)-first < count {
			return true
		}
	}
	return false
}

// renounce takes from the calling thread what its children must not inherit. A child of
// a locked thread has the thread's credentials, and a thread can't get them back.
//
//   - What is ambient or inheritable would outlive exec (capabilities(7)).
//   - A child that stays root would get all capabilities by exec: with no_new_privs set,
//     it gets none that the thread doesn't have. Neither do set-user-ID programs.
//   - Where the child becomes somebody else, the thread keeps what that takes, and
//     CAP_KILL, without which the kernel wouldn't let the thread's end be the child's
//     (prctl(2), PR_SET_PDEATHSIG: as if the thread had sent the signal). Becoming
//     somebody else drops them from the child.
//   - The daemon goes before ordinary work; its children don't.
func renounce(becomes bool) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	keep := uint32(0)
	if becomes {
		keep = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_KILL
	}
	caps[0] = unix.CapUserData{Permitted: caps[0].Permitted & keep, Effective: caps[0].Permitted & keep}
	caps[1] = unix.CapUserData{}
	if err := unix.Capset(&header, &caps[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return calm()
}

// calm gives up the thread's precedence. What lets it go after others is left as it is.
func calm() error {
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("read the scheduling policy: %w", err)
	}
	realtime := now.Policy == unix.SCHED_FIFO || now.Policy == unix.SCHED_RR || now.Policy == unix.SCHED_DEADLINE
	if !realtime && now.Nice >= 0 {
		return nil
	}
	ordinary := unix.SchedAttr{Policy: now.Policy}
	if realtime {
		ordinary.Policy = unix.SCHED_NORMAL
	}
	if err := unix.SchedSetAttr(0, &ordinary, 0); err != nil {
		return fmt.Errorf("set the scheduling policy: %w", err)
	}
	return nil
}
