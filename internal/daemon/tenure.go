package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A tenant wants to know at once whether this node has a group: whole, and not about to
// go. The loop writes it, the one who asked reads it.
type tenant struct {
	group string // its name

	mu sync.Mutex
	// known: the loop has looked.
	known, owner bool
	// lapsed: it had the group, lost it, and the reader doesn't know yet.
	lapsed bool
	// until is the CLOCK_BOOTTIME up to which that is granted.
	until time.Duration
	// changed has a token when that is news.
	changed chan struct{}
}

// tenureEvery is how often a tenant is told that all is as it was: often enough that one
// delay doesn't make a grant run out, of which the shortest is a second.
const tenureEvery = 200 * time.Millisecond

// lookAtTenures tells the tenants what is desired and was seen in this turn.
func (l *loop) lookAtTenures() {
	for t := range l.tenants {
		i := l.config.Plan.Find(t.group)
		t.set(i >= 0 && l.kernel.has(l.config.Plan.Groups[i].Key), l.grant)
	}
}

// has says whether a group is desired and there, all of it.
func (k *kernel) has(key vipgroup.Key) bool {
	h := k.groups[key]
	switch {
	case h == nil || !h.held || h.lost:
		return false
	case h.group.Election:
		return h.told.present > 0
	}
	return k.count(h.group).missing == 0
}

func (t *tenant) set(owner bool, until time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
	if t.known && t.owner == owner {
		return
	}
	t.known, t.owner, t.lapsed = true, owner, t.lapsed || t.owner
	t.stir()
}

// stir is for a tenant that is locked.
func (t *tenant) stir() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// get is what to tell next. A reader who was too slow to see the group go is told of that
// first, be it back: meanwhile another node had it.
func (t *tenant) get(now time.Duration) ctlsocket.Tenure {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := ctlsocket.Tenure{Group: t.group}
	lapsed := t.lapsed
	t.lapsed = false
	switch {
	case lapsed && t.owner:
		t.stir()
	case t.owner && t.until > now:
		out.Owner, out.RemainingMS = true, (t.until - now).Milliseconds()
	}
	return out
}

// Tenure tells whether this node has a group, given by its name: now, when that changes,
// and every now and then. It returns when ctx ends, the daemon does, or tell fails. It may
// be called from any goroutine.
func (l *loop) Tenure(ctx context.Context, group string, tell func(ctlsocket.Tenure) error) error {
	t := &tenant{group: group, changed: make(chan struct{}, 1)}
	// What the loop turns next finds out: it may only just have been handed what it has.
	if err := l.inLoop(ctx, func(time.Time) { l.tenants[t] = true }); err != nil {
		return err
	}
	defer func() {
		_ = l.inLoop(context.WithoutCancel(ctx), func(time.Time) { delete(l.tenants, t) })
	}()
	for {
		timer := time.NewTimer(tenureEvery)
		select {
		case <-t.changed:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.life.Done():
			return errStopping
		}
		timer.Stop()
		if err := tell(t.get(l.boottime())); err != nil {
			return err
		}
	}
}
