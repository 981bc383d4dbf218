// Package childtest holds what the tests of several packages ask of a program that was
// run by package child.
package childtest

import (
	"testing"

	"golang.org/x/sys/unix"
)

// WantDead wants that a process ends. It was killed, but may be on its way; nothing that
// passes waits for the end of patience.
func WantDead(t testing.TB, pid int) {
	t.Helper()
	const patience = 10_000 // milliseconds
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone and reaped
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, patience)
	if err != nil || n != 1 {
		t.Errorf("process %d lives on (%v)", pid, err)
	}
}
