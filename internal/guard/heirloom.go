package guard

import (
	"errors"
	"os"
	"time"
)

// An Heirloom is a running guard that one program of a process leaves to the next, which
// speaks to it as the one before did: the letters of the line are a part of what two
// versions must agree on.
type Heirloom struct {
	// PID is the guard's process, a child of this one.
	PID int
	// Line is this end of the line.
	Line *os.File `json:"-"`
	// Grant is the newest grant that it was told.
	Grant time.Duration
}

// errChanging says that there is not one guard just now that could be left to anybody.
var errChanging = errors.New("its guard is being replaced")

// Steady says whether a guard could be left to another program just now.
func (k *Keeper) Steady() bool {
	if !k.change.TryLock() {
		return false
	}
	k.change.Unlock()
	return true
}

// Bequeath returns the guard for the next program, nil when there is none. Until keep is
// called, which is for when there will be no next program, no other guard is started.
func (k *Keeper) Bequeath() (h *Heirloom, keep func(), err error) {
	if !k.change.TryLock() {
		return nil, nil, errChanging
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.guard == nil || k.grant == nil {
		return nil, k.change.Unlock, nil
	}
	line, err := k.guard.line.File()
	if err != nil {
		k.change.Unlock()
		return nil, nil, err
	}
	keep = func() {
		_ = line.Close()
		k.change.Unlock()
	}
	return &Heirloom{PID: k.guard.pid(), Line: line, Grant: k.until}, keep, nil
}
