package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A Keeper is the daemon's side: it keeps one guard running and tells it what it must
// know. Its methods never wait, but for Run and End, and may be called by any goroutine.
type Keeper struct {
	args    []string
	lock    *os.File
	log     *slog.Logger
	changed chan struct{}

	// change is held while there may be another guard than the one that is told: one that
	// starts, or one that is being relieved. Another program must not get only one of them.
	change sync.Mutex

	mu    sync.Mutex
	guard *child // nil: none that can be told anything
	why   string // there is none
	over  bool   // the guard was told to end
	// What every guard must know, as last said, in the order in which a new one is told.
	will, charge, grant []byte
	until               time.Duration // of grant
	told                chan struct{} // closed with the first will
	// former is the guard of the program before, until Run has relieved it.
	former *child
}

// Options are what a Keeper starts with.
type Options struct {
	// Args are the arguments of this program that lead to Main.
	Args []string
	// Lock is the lock of the state directory, for the guard to share; nil for none.
	Lock *os.File
	Log  *slog.Logger
	// Former is the guard of the program that this one took the place of; nil for none.
	// It goes on until one of this program's has taken over from it.
	Former *Heirloom
}

// NewKeeper returns a Keeper that has started nothing yet.
func NewKeeper(o Options) *Keeper {
	k := &Keeper{args: o.Args, lock: o.Lock, log: o.Log, changed: make(chan struct{}, 1), told: make(chan struct{}), why: "the guard is starting"}
	if o.Former == nil {
		return k
	}
	g, err := adopt(o.Former)
	if err != nil {
		k.log.Error("the guard of the former program is lost", "err", err)
		return k
	}
	k.guard, k.former, k.why = g, g, ""
	k.until, k.grant = o.Former.Grant, encodeGrant(o.Former.Grant)
	return k
}

const (
	// startPause is how long a guard must have lived for the next to be started at once.
	startPause = time.Second
	// startWithin is how long a guard may take to be ready.
	startWithin = 5 * time.Second
	// listenEvery is how often the guard is found deaf or not: it answers in
	// microseconds, and what it didn't answer for so long twice, it won't.
	listenEvery = time.Second
)

// Run starts a guard, and another whenever one ended, until ctx ends. The guard stays
// then; End ends it.
func (k *Keeper) Run(ctx context.Context) error {
	former := k.former
	if former != nil {
		select {
		case <-k.told: // a guard that doesn't know what to say is no relief
		case <-ctx.Done():
			return nil
		}
	}
	for level := slog.LevelDebug; ; level = slog.LevelInfo {
		began := time.Now()
		g, err := k.start(ctx, former)
		if err == nil {
			former = nil
			k.log.Log(ctx, level, "guard started", "pid", g.pid())
			err = k.attend(ctx, g)
		}
		if err != nil && former != nil && ctx.Err() == nil {
			k.log.Error("the guard of the former program stays", "err", err)
			err = k.attend(ctx, former)
			former = nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if k.dismiss(err) {
			return nil
		}
		k.log.Error("there is no guard: if this daemon is killed now, its addresses live on for their lifetime", "err", err)
		if wait := startPause - time.Since(began); wait > 0 {
			late := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				late.Stop()
				return nil
			case <-late.C:
			}
		}
	}
}

// start starts a guard and makes it the one, in place of the former if there is one.
func (k *Keeper) start(ctx context.Context, former *child) (*child, error) {
	k.change.Lock()
	defer k.change.Unlock()
	g, err := spawn(k.args, k.lock)
	if err != nil {
		return nil, err
	}
	if err := g.begin(ctx); err != nil {
		return nil, err
	}
	k.welcome(g)
	relieve(former)
	return g, nil
}

// relieve ends the guard of the former program, which has nothing to look after any more.
// Until then both would act on this program's end: each only removes, and no other program
// starts before both have ended.
func relieve(former *child) {
	if former == nil {
		return
	}
	if former.send([]byte{byte(letterBye)}) == nil {
		late := time.NewTimer(startWithin)
		defer late.Stop()
		select {
		case <-former.ended:
			return
		case <-late.C:
		}
	}
	former.kill()
	<-former.ended
}

// welcome tells a new guard all that it must know, and makes it the one.
func (k *Keeper) welcome(g *child) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.guard, k.why = g, ""
	if k.over {
		k.put([]byte{byte(letterBye)})
		return
	}
	for _, m := range [][]byte{k.charge, k.will, k.grant} {
		if m != nil && k.guard != nil {
			k.put(m)
		}
	}
	k.tellChange()
}

// attend returns when the guard has ended, or ctx has.
func (k *Keeper) attend(ctx context.Context, g *child) error {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for unheard := uint64(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-g.ended:
			return fmt.Errorf("guard %d ended: %w", g.pid(), g.result)
		case <-tick.C:
			if unheard != 0 && g.answered.Load() < unheard {
				g.kill()
				<-g.ended
				return fmt.Errorf("guard %d did not answer for %v and was killed", g.pid(), listenEvery)
			}
			unheard = g.asked.Load()
		}
	}
}

// dismiss takes note that there is no guard. It says whether that is as it should be.
func (k *Keeper) dismiss(err error) (over bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.guard, k.why = nil, fmt.Sprint(err)
	k.tellChange()
	return k.over
}

func (k *Keeper) tellChange() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// Changed has a value after a guard came or went.
func (k *Keeper) Changed() <-chan struct{} { return k.changed }

// Status returns the guard's process, and what is wrong with it, "" for nothing.
func (k *Keeper) Status() (pid int, trouble string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.guard != nil {
		pid = k.guard.pid()
	}
	return pid, k.why
}

// Charge tells what is to be looked after.
func (k *Keeper) Charge(c Charge) {
	m := encode(letterCharge, c)
	if len(m) > maxMessage {
		c.Managed = nil // the mark in the kernel tells as well
		m = encode(letterCharge, c)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.charge = m
	k.put(m)
}

// Will tells the farewell, whenever it became another.
func (k *Keeper) Will(will []cluster.Datagram) {
	m := encode(letterWill, will)
	k.mu.Lock()
	defer k.mu.Unlock()
	if slices.Equal(k.will, m) {
		return
	}
	if k.will == nil {
		close(k.told)
	}
	k.will = m
	k.put(m)
}

// Grant tells until which instant of CLOCK_BOOTTIME the daemon may have addresses, 0 for
// not having any. It returns false when the guard was not told: then the grant doesn't
// count. Without a guard there is nobody to tell, and it does.
func (k *Keeper) Grant(until time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if until == k.until && k.grant != nil {
		return true
	}
	m := encodeGrant(until)
	if k.guard != nil && !k.put(m) {
		return false
	}
	k.grant, k.until = m, until
	return true
}

// put sends a message to the guard, if there is one. One that takes no message is ended,
// for Run to start another: once the signal is sent, it does nothing any more.
func (k *Keeper) put(m []byte) bool {
	if k.guard == nil {
		return true
	}
	if err := k.guard.send(m); err != nil {
		k.why = err.Error()
		k.guard.kill()
		k.guard = nil
		k.tellChange()
		return false
	}
	return true
}

// Bye tells that nothing is held and the farewell is said: the guard ends.
func (k *Keeper) Bye() { k.last(letterBye) }

// Yours tells that this process writes no address any more: the guard removes what is
// left, says the farewell and ends.
func (k *Keeper) Yours() { k.last(letterYours) }

func (k *Keeper) last(l letter) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	k.over = true
	k.put([]byte{byte(l)})
}

// endWithin is how long End waits for a guard that was told to end. One that removes a
// thousand addresses takes a tenth of that.
const endWithin = 2 * time.Second

// End waits until the guard has ended that Bye or Yours told to.
func (k *Keeper) End() error {
	k.mu.Lock()
	g := k.guard
	k.mu.Unlock()
	if g == nil {
		return nil
	}
	late := time.NewTimer(endWithin)
	defer late.Stop()
	select {
	case <-g.ended:
		return nil
	case <-late.C:
		return errors.New("the guard has not ended")
	}
}
