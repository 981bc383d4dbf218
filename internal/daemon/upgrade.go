package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/upgrade"
)

// successor is what the daemon uses of upgrade.Successor.
type successor interface {
	Rehearse(ctx context.Context, state []byte) (upgrade.Verdict, error)
	Replace(state []byte, files []*os.File) error
}

// upgrader lets another program take this one's place.
type upgrader struct {
	busy sync.Mutex
}

// Rehearse says why a program with these options could not go on from what another one of
// this host would hand to it; nil where it could. Nothing is touched.
func Rehearse(o Options, state []byte) error {
	h, err := readHandover(state)
	if err != nil {
		return err
	}
	if err := h.fits(o.Config, o.Node); err != nil {
		return err
	}
	return permitted(o.Config)
}

const (
	// settleWithin bounds how long an upgrade waits for a moment without moves.
	settleWithin = 5 * time.Second
	settleEvery  = 10 * time.Millisecond
)

// upgrade finds out whether the next program could go on, and has it do so as soon as the
// answer to this is out: when ctx ends.
func (l *loop) upgrade(ctx context.Context) (string, error) {
	refuse := func(code int, err error) (string, error) {
		l.log.Error("upgrade refused, this program goes on", "err", err)
		return "", &ctlsocket.Error{Code: code, Message: err.Error(), Hint: "nothing has changed: this vippyd goes on"}
	}
	if l.successor == nil {
		return refuse(http.StatusConflict, errors.New("this program can't be replaced"))
	}
	if !l.upgrader.busy.TryLock() {
		return "", &ctlsocket.Error{Code: http.StatusConflict, Message: "an upgrade is under way", Hint: "vippyctl status tells when it is done"}
	}
	handed := false
	defer func() {
		if !handed {
			l.upgrader.busy.Unlock()
		}
	}()
	var state []byte
	var err error
	if e := l.inLoop(ctx, func(now time.Time) { state, err = json.Marshal(l.handover(now)) }); e != nil || err != nil {
		return "", errors.Join(e, err)
	}
	verdict, err := l.successor.Rehearse(ctx, state)
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, err)
	}
	if err := l.settle(ctx, func(time.Time) error { return nil }); err != nil {
		return refuse(http.StatusConflict, err)
	}
	handed = true
	l.helpers.Go(func() error {
		defer l.upgrader.busy.Unlock()
		<-ctx.Done()
		if err := l.settle(l.life, l.giveWay); err != nil {
			l.log.Error("upgrade failed, this program goes on", "err", err)
		}
		return nil
	})
	return fmt.Sprintf("%s goes on from %s", verdict.Version, l.version), nil
}

// settle runs do in the loop once nothing is on the move, or says what is for too long.
func (l *loop) settle(ctx context.Context, do func(now time.Time) error) error {
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	for {
		var unready string
		var err error
		if e := l.inLoop(ctx, func(now time.Time) {
			if unready = l.unready(now); unready == "" {
				err = do(now)
			}
		}); e != nil {
			return e
		}
		if unready == "" {
			return err
		}
		pause := time.NewTimer(settleEvery)
		select {
		case <-pause.C:
		case <-late.C:
			pause.Stop()
			return fmt.Errorf("%s: try again later", unready)
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// unready says what speaks against another program just now. A holder that a peer does not hear
// has to go on listening: it must let go of what that one claims.
func (l *loop) unready(now time.Time) string {
	boot, unheard := l.boottime(), l.node.Unheard(now)
	switch {
	case l.leaving.asked:
		return "this daemon is stopping"
	case l.node.Plan().Digest() != l.config.Plan.Digest():
		return "a new plan is coming into force"
	case !l.guard.Steady():
		return "the guard is being replaced"
	case l.hooking.runner.Busy():
		return "hooks are running"
	case !l.kernel.settled():
		return "addresses are being moved"
	case len(l.kernel.hold) > 0 && unheard != "":
		return unheard + " does not hear this node (see vippyctl peers)"
	case len(l.kernel.hold) > 0 && l.deadline(l.term, l.grant)-boot < l.room():
		return "this host is too busy"
	}
	return ""
}

// room is what must be left of the grant for another program to start: many times what
// that takes, and well below what a grant is after a turn.
func (l *loop) room() time.Duration {
	return min(l.config.Lifetime/3, l.config.Stale/2)
}

// giveWay makes this process the next program. It returns only if that fails.
func (l *loop) giveWay(now time.Time) error {
	h := l.handover(now)
	h.Events, h.Hosts = l.history.Newest(handedEvents), l.kernel.Hosts(handedHosts)
	files, err := l.files()
	if err != nil {
		return err
	}
	defer files[controlFile].Close() // a copy
	left, keep, err := l.guard.Bequeath()
	if err != nil {
		return err
	}
	defer keep()
	if h.Guard = left; left != nil {
		files = append(files, left.Line)
	}
	state, err := json.Marshal(h)
	if err != nil {
		return err
	}
	l.log.Info("another program takes over: vippyd " + l.version + " ends here")
	return l.successor.Replace(state, files)
}

// settled says whether the kernel is known to have what is desired, and nothing else.
func (k *kernel) settled() bool {
	if k.dirty || k.report.Seq < k.seq {
		return false
	}
	addresses := 0
	for _, h := range k.groups {
		has := k.count(h.group)
		if h.group.Election {
			continue
		}
		if h.lost || h.held && has.missing > 0 || !h.held && k.leaves(h) {
			return false
		}
		addresses += has.present
	}
	return addresses == 0 || k.Expires() != 0
}
