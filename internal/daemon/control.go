package daemon

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A request is run by the loop, between two turns.
type request func(now time.Time)

// statusWithin is how long a status may wait for a busy loop before it is answered from
// the newest snapshot.
const statusWithin = 500 * time.Millisecond

// A snapshot is everything that the status and the story tell, at one moment. It is
// never changed.
type snapshot struct {
	now     time.Time
	status  cluster.Status
	config  *config.Config
	present map[netip.Addr]bool
	votes   []cluster.Vote
	alarms  []cluster.Alarm
	grant   time.Duration // what is left of it
	changes uint64
	leaving bool
	guard   ctlsocket.Guard
	program ctlsocket.Program
	drained *drain
	plugins []plugin.Report
	ruling  ruling
	// unwitnessed: nothing can tell a lost peer from a link of this node's own that is dead.
	unwitnessed bool
	// unwanted are the groups that are about to go from this host.
	unwanted map[vipgroup.Key]bool
}

func (l *loop) snapshot(now time.Time) *snapshot {
	l.trouble.state(ctlsocket.AlarmCannotPlumb, now, l.refusals())
	pid, noGuard := l.guard.Status()
	l.trouble.state(ctlsocket.AlarmNoGuard, now, noGuard)
	return &snapshot{
		now:     now,
		status:  l.node.Status(now),
		config:  l.config,
		present: l.kernel.present,
		votes:   l.ballots.standing(l.config.Plan),
		alarms:  l.trouble.standing(now),
		grant:   l.grant - l.boottime(),
		changes: l.story.changes,
		leaving: l.leaving.asked,
		guard:   ctlsocket.Guard{PID: pid, OK: pid != 0 && noGuard == ""},
		program: ctlsocket.Program{Version: l.version, Since: l.started, Boot: l.boot},
		drained: l.drained,
		plugins: l.runner.Reports(),
		ruling:  l.ruling,

		unwitnessed: len(l.config.Plan.Members()) == 2 && len(l.witnesses()) == 0,
		unwanted:    l.kernel.unwanted(),
	}
}

// publish takes a snapshot, leaves it for who asks, and tells the log what is new in it.
func (l *loop) publish(now time.Time) *snapshot {
	s := l.snapshot(now)
	// First: who is told of an event finds in the status what it is about.
	l.published.Store(s)
	l.story.tell(s)
	if s.changes != l.story.changes {
		counted := *s
		counted.changes = l.story.changes
		s = &counted
		l.published.Store(s)
	}
	return s
}

// inLoop runs f in the loop and returns when it has run, or an error when ctx ended
// before.
func (l *loop) inLoop(ctx context.Context, f request) error {
	done := make(chan struct{})
	select {
	case l.requests <- func(now time.Time) { f(now); close(done) }:
		<-done
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.life.Done():
		return errStopping
	}
}

var errStopping = &ctlsocket.Error{Code: http.StatusConflict, Message: "the daemon is stopping"}

// Status renders the state of this moment, or the newest snapshot if the loop is busy.
// It may be called from any goroutine.
func (l *loop) Status() ctlsocket.Status {
	ctx, cancel := context.WithTimeout(context.Background(), statusWithin)
	defer cancel()
	var s *snapshot
	if err := l.inLoop(ctx, func(now time.Time) { s = l.publish(now) }); err != nil {
		s = l.published.Load()
	}
	return render(s)
}

// Do carries out an operator's command. It may be called from any goroutine.
func (l *loop) Do(ctx context.Context, c ctlsocket.Command) (string, error) {
	switch c.Verb {
	case ctlsocket.Drain, ctlsocket.Undrain:
		return l.drainNamed(ctx, c)
	case ctlsocket.Move:
		return l.move(ctx, c)
	case ctlsocket.Rebalance:
		return l.rebalance(ctx, c.By)
	case ctlsocket.Leave:
		if err := l.inLoop(ctx, func(now time.Time) { l.leave(now, "ordered by "+c.By) }); err != nil {
			return "", err
		}
		return l.name + " leaves: what it holds goes to its successors", nil
	case ctlsocket.Upgrade:
		return l.upgrade(ctx)
	case ctlsocket.Reload:
		reply := make(chan reloadAnswer, 1)
		l.reloader.ask(reloadRequest{why: "command", reply: reply})
		select {
		case a := <-reply:
			return a.message, a.err
		case <-ctx.Done():
			select {
			case a := <-reply: // it moved the socket on which it was asked for
				return a.message, a.err
			default:
				return "", ctx.Err()
			}
		case <-l.life.Done():
			return "", errStopping
		}
	}
	return "", &ctlsocket.Error{Code: http.StatusNotFound, Message: "no such command"}
}
