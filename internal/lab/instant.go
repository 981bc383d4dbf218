package lab

import (
	"time"

	"golang.org/x/sys/unix"
)

// An instant is nanoseconds of CLOCK_MONOTONIC: the one clock that all processes of a
// machine share, so that the stamps of different daemons can be compared.
type instant int64

func now() instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("clock_gettime(CLOCK_MONOTONIC): " + err.Error()) // it can't fail on Linux
	}
	return instant(ts.Nano())
}

func (i instant) sub(o instant) time.Duration { return time.Duration(i - o) }
func (i instant) add(d time.Duration) instant { return i + instant(d) }
func (i instant) since() time.Duration        { return now().sub(i) }
