package netplumb

import (
	"time"

	"golang.org/x/sys/unix"
)

// Boottime returns CLOCK_BOOTTIME, which goes on while the machine is suspended: the
// clock of grants and lifetimes.
func Boottime() time.Duration { return clock(unix.CLOCK_BOOTTIME) }

// Monotonic returns CLOCK_MONOTONIC, which all processes of a host share: the stamp of
// applied operations.
func Monotonic() time.Duration { return clock(unix.CLOCK_MONOTONIC) }

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		panic("netplumb: the kernel has no such clock: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
