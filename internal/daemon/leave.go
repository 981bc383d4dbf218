package daemon

import (
	"fmt"
	"time"
)

// leaving is the way out: hand over, see the addresses gone, say farewell.
type leaving struct {
	asked bool
	// hurry: don't wait for successors.
	hurry bool
	// dropped: nothing is desired any more, whatever the core says.
	dropped  bool
	dropAt   time.Time
	giveUpAt time.Time
}

// The stop deadline is 5 s: handing over has most of it, seeing the addresses gone
// after that the rest.
const (
	handOverWithin = 4 * time.Second
	seeGoneWithin  = 800 * time.Millisecond
	// hooksEndWithin is how long after handOverWithin hooks may run.
	hooksEndWithin = 900 * time.Millisecond
)

// leave begins to leave.
func (l *loop) leave(now time.Time, why string) {
	if l.leaving.asked {
		return
	}
	l.log.Info("stopping: handing over", "why", why)
	l.notifier.stopping()
	l.leaving.asked = true
	l.leaving.dropAt = now.Add(handOverWithin)
	l.node.Leave(now)
	l.story.stopping(now)
}

// left says whether nothing is held any more, or too late to wait for that.
func (l *loop) left(now time.Time) bool {
	v := &l.leaving
	if l.node.Left() && l.kernel.empty() {
		return true
	}
	if !v.dropped && (v.hurry || !now.Before(v.dropAt)) {
		v.dropped, v.giveUpAt = true, now.Add(seeGoneWithin)
		l.kernel.desire(nil, l.grant)
	}
	deadline := v.dropAt
	if v.dropped {
		if l.kernel.empty() {
			return true
		}
		deadline = v.giveUpAt
	}
	l.wake = earliest(l.wake, deadline)
	return v.dropped && !now.Before(v.giveUpAt)
}

// The farewell is repeated, since packets get lost.
const (
	farewells     = 4
	farewellPause = 5 * time.Millisecond
)

// farewell tells the peers, unless an address might still be here: then the farewell
// would put it on two nodes. A kernel that didn't come to the newest Desired may be about
// to add one. The guard, of which no leave is taken then, removes it and says the farewell;
// without one the kernel's lifetime ends it.
func (l *loop) farewell(now time.Time) error {
	l.publish(now)
	if !l.kernel.empty() {
		err := fmt.Errorf("stop: %s; the guard removes what is left, or the kernel does after its lifetime", l.kernel.whyNotEmpty())
		l.log.Error(err.Error())
		return err
	}
	last := l.node.Farewell(now)
	for i := range farewells {
		if i > 0 {
			time.Sleep(farewellPause)
		}
		for _, d := range last {
			l.send(now, d)
		}
	}
	l.guard.Bye()
	l.log.Info("stopped")
	return nil
}
