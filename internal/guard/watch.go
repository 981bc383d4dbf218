package guard

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// ward is what a guard knows of its daemon.
type ward struct {
	charge Charge
	will   []cluster.Datagram
	grant  time.Duration // CLOCK_BOOTTIME; 0: nothing is held
}

// world is what a guard can see and do. Its methods are called by one goroutine.
type world interface {
	// next returns the next message. It is io.EOF once the daemon has closed its end, and
	// errExpired when no message waits and CLOCK_BOOTTIME has reached until, unless that
	// is 0. The message is valid until the next call.
	next(until time.Duration) ([]byte, error)
	// answer says that a message was taken.
	answer()
	// prepare opens what a charge needs.
	prepare(Charge)
	// end kills the daemon, if it lives, and returns once it can't run any more.
	end() error
	// clear removes the addresses and sees them gone.
	clear([]vipgroup.VIP) ([]netplumb.Op, error)
	// say sends the datagrams once.
	say([]cluster.Datagram) bool
	// sleep waits.
	sleep(time.Duration)
}

var errExpired = errors.New("the grant ran out")

// verdict is what a guard did in its life.
type verdict struct {
	why     string // "" when there was nothing to do
	removed []netplumb.Op
	said    bool // farewell
	err     error
}

// watch lives until the daemon takes its leave or the guard has acted.
func watch(w world) (ward, verdict) {
	var d ward
	for {
		m, err := w.next(d.grant)
		switch {
		case errors.Is(err, errExpired):
			return d, act(w, d, "the daemon hung: its grant ran out", true)
		case errors.Is(err, io.EOF):
			return d, act(w, d, "the daemon is gone", true)
		case err != nil:
			// Without the line nothing can be known of the daemon's grants.
			return d, act(w, d, err.Error(), true)
		case len(m) == 1 && letter(m[0]) == letterBye:
			w.answer()
			return d, verdict{}
		case len(m) == 1 && letter(m[0]) == letterYours:
			return d, act(w, d, "the daemon gave up", false)
		}
		if err := d.take(m); err != nil {
			// The daemon sees an end and starts another guard; ending it for that would turn
			// a fault here into one of the service.
			return d, verdict{err: err}
		}
		if letter(m[0]) == letterCharge {
			w.prepare(d.charge)
		}
		w.answer()
	}
}

// The farewell is repeated, since packets get lost.
const (
	farewells     = 4
	farewellPause = 5 * time.Millisecond
)

// What can't be removed is tried again; the kernel drops it by its lifetime meanwhile.
const (
	clearTries = 50
	clearPause = 100 * time.Millisecond
)

// act does what a guard is for. kill is false where the daemon has said that it writes
// nothing any more.
func act(w world, d ward, why string, kill bool) verdict {
	v := verdict{why: why}
	if kill {
		if v.err = w.end(); v.err != nil {
			// Two that write would be worse: the kernel's lifetime remains.
			v.err = fmt.Errorf("end the daemon: %w", v.err)
			return v
		}
	}
	if d.will == nil {
		return v // it never told of anything, so it never held anything
	}
	for try := range clearTries {
		if try > 0 {
			w.sleep(clearPause)
		}
		var ops []netplumb.Op
		ops, v.err = w.clear(d.charge.Managed)
		v.removed = append(v.removed, ops...)
		if v.err == nil {
			break
		}
	}
	if v.err != nil {
		return v // a farewell would put it on two nodes
	}
	for i := range farewells {
		if i > 0 {
			w.sleep(farewellPause)
		}
		v.said = w.say(d.will) || v.said
	}
	return v
}
