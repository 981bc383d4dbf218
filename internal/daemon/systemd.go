package daemon

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/vippy-ha/vippy/netplumb"
)

// notifier tells the service manager what the daemon is doing (sd_notify(3)), from a
// goroutine of its own: the manager may be slow to read, the loop may not wait for it.
type notifier struct {
	states chan string
	// every is the time between two signs of life; 0 where nobody watches.
	every time.Duration
	fed   time.Time
}

func newNotifier() *notifier {
	n := &notifier{states: make(chan string, 8)}
	// A value that isn't understood means that nobody watches.
	if limit, err := systemd.SdWatchdogEnabled(false); err == nil {
		n.every = limit / 3
	}
	return n
}

// run passes states on until ctx ends, and what is waiting then.
func (n *notifier) run(ctx context.Context) error {
	for {
		select {
		case s := <-n.states:
			// Where there is no service manager this does nothing.
			_, _ = systemd.SdNotify(false, s)
		case <-ctx.Done():
			for {
				select {
				case s := <-n.states:
					_, _ = systemd.SdNotify(false, s)
				default:
					return nil
				}
			}
		}
	}
}

func (n *notifier) tell(state string) {
	select {
	case n.states <- state:
	default:
	}
}

func (n *notifier) ready()    { n.tell(systemd.SdNotifyReady) }
func (n *notifier) stopping() { n.tell(systemd.SdNotifyStopping) }

// reloading must be followed by ready (Type=notify-reload, systemd.service(5)).
func (n *notifier) reloading() {
	n.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", systemd.SdNotifyReloading, netplumb.Monotonic().Microseconds()))
}

// feed says that a turn of the loop is finished.
func (n *notifier) feed(now time.Time) {
	if n.every > 0 && now.Sub(n.fed) >= n.every {
		n.fed = now
		n.tell(systemd.SdNotifyWatchdog)
	}
}
