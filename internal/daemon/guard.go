package daemon

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/internal/guard"
)

// guardian is what the daemon uses of guard.Keeper.
type guardian interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Status() (pid int, trouble string)
	Charge(c guard.Charge)
	Will(will []cluster.Datagram)
	Grant(until time.Duration) bool
	Bye()
	Yours()
	End() error
	Steady() bool
	Bequeath() (h *guard.Heirloom, keep func(), err error)
}

// unguarded is the guardian of a daemon that has none.
type unguarded struct{}

func (unguarded) Run(context.Context) error { return nil }
func (unguarded) Changed() <-chan struct{}  { return nil }
func (unguarded) Status() (int, string)     { return 0, "" }
func (unguarded) Charge(guard.Charge)       {}
func (unguarded) Will([]cluster.Datagram)   {}
func (unguarded) Grant(time.Duration) bool  { return true }
func (unguarded) Bye()                      {}
func (unguarded) Yours()                    {}
func (unguarded) End() error                { return nil }
func (unguarded) Steady() bool              { return true }
func (unguarded) Bequeath() (*guard.Heirloom, func(), error) {
	return nil, func() {}, nil
}

// keeping is when the guard is told what it would need.
type keeping struct {
	// due is when it is told next; zero: now.
	due time.Time
}

// willEvery is how often the guard gets a new will. What changes in it unnoticed is which
// peers get a copy, and the plan that it names, which says nothing in a farewell.
const willEvery = time.Second

// stale says that the guard's knowledge is void: before anything is held by the new plan,
// with the new keys or the new boot id, it must be told.
func (k *keeping) stale() { k.due = time.Time{} }

// instruct tells the guard what it would have to remove, and what to say then.
func (l *loop) instruct(now time.Time) {
	if now.Before(l.keeping.due) {
		return
	}
	if l.keeping.due.IsZero() {
		l.guard.Charge(guard.Charge{
			Managed:    l.kernel.desired.Managed,
			Chat:       l.config.Chat,
			Interfaces: l.config.ChatInterfaces,
			Stamps:     l.log.Enabled(context.Background(), slog.LevelDebug),
		})
	}
	l.keeping.due = now.Add(willEvery)
	will := l.node.Will(now)
	for _, peer := range l.config.Peers {
		if !slices.ContainsFunc(will, func(d cluster.Datagram) bool { return d.To == peer }) {
			will = append(will, cluster.Datagram{To: peer, Data: will[0].Data})
		}
	}
	l.guard.Will(will)
}

// extend grants the addresses another lifetime, if this turn's announcement went out and
// the guard knows. A grant that is nearly as long is left as it is: neither guard nor
// plumber need wake for it. With nothing held, now or after this turn, a grant is for
// nothing, and the guard needs no proof of life. What is held for a majority is granted
// until that lapses (on CLOCK_BOOTTIME; 0 for nothing such), if that is sooner.
func (l *loop) extend(boot time.Duration, announced, idle bool, lapse time.Duration) {
	slack := l.config.Lifetime / 20
	term := l.term
	if until := boot + l.config.Lifetime; announced && until-term > slack {
		term = until
	}
	grant := term
	if lapse != 0 && lapse < term {
		grant = lapse
		if more := lapse - l.grant; more > 0 && more <= slack && l.grant > boot {
			grant = l.grant
		}
	}
	told := true
	switch {
	case idle:
		told = l.guard.Grant(0)
	case grant > boot:
		told = l.guard.Grant(l.deadline(term, grant))
	}
	if told {
		l.term, l.grant = term, grant
	}
}

// reassure tells the guard between two turns that the kernel has the addresses for longer
// now. A process that is starved again before its next turn would lose them otherwise,
// although it was granted them.
func (l *loop) reassure() {
	if len(l.kernel.hold) > 0 && l.grant > l.risen {
		l.guard.Grant(l.deadline(l.term, l.grant))
	}
}

// lapseOf brings the moment at which a majority lapses onto CLOCK_BOOTTIME. A stop of the
// process between the two looks makes it sooner, never later.
func lapseOf(boot time.Duration, lapse time.Time) time.Duration {
	if lapse.IsZero() {
		return 0
	}
	return max(boot+time.Until(lapse), 1)
}

// guardMargin is how long before the kernel may drop an address the guard acts: a farewell
// that comes after the address is gone leaves clients without an answer meanwhile. The
// kernel may be 20 ms early.
const guardMargin = 50 * time.Millisecond

// deadline returns when the guard must act for a grant: while the kernel has everything
// that is held. What a majority's end takes is removed by the daemon, which has a moment
// for that: nobody else takes it before the kernel has dropped it, too.
func (l *loop) deadline(term, grant time.Duration) time.Duration {
	end := term
	if expires := l.kernel.Expires(); expires != 0 {
		end = min(end, expires)
	}
	end -= guardMargin
	if grant < term {
		end = min(end, grant+guardMargin)
	}
	return end
}

// guardWithin bounds how long the start waits for the guard. Without one it goes on.
const guardWithin = 2 * time.Second

// awaitGuard waits until a guard was started, or could not be.
func (l *loop) awaitGuard(ctx context.Context) {
	changed := l.guard.Changed()
	if changed == nil {
		return
	}
	late := time.NewTimer(guardWithin)
	defer late.Stop()
	select {
	case <-changed:
	case <-late.C:
	case <-ctx.Done():
	case <-l.life.Done():
	}
}
