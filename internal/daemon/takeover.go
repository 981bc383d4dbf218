package daemon

import (
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// takeOver is what a program does that was handed over to, instead of prepare: what is
// held stays, as far as it is there.
func (l *loop) takeOver(h *handover) error {
	if err := l.runner.Set(l.plugins(l.config)); err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	l.hooking.runner.Set(hooksOf(l.config))
	l.history.GoOn(h.Events)
	l.kernel.Learn(l.name, 0, 1, h.Hosts)
	for _, b := range l.runner.Inherit(h.Votes) {
		l.ballots.plugins[pluginVoteID{b.Source, b.Vote.Group}] = b
	}
	l.term, l.grant, l.turned = h.Term, h.Grant, h.Turned
	var held []vipgroup.Key
	for _, g := range h.Core.Groups {
		if g.Wanted {
			held = append(held, g.Key)
		}
	}
	l.kernel.desire(held, l.grant)
	late := time.NewTimer(clearWithin)
	defer late.Stop()
	for {
		select {
		case <-l.kernel.Changed():
			// Not yet observed: the core that is told doesn't exist.
			if r := l.kernel.Report(); r.Seq >= l.kernel.seq {
				l.complainOf(time.Now(), r.Errors)
				l.logOps(r.Ops)
				return nil
			}
		case <-late.C:
			return fmt.Errorf("take over: the kernel does not answer")
		case <-l.life.Done():
			return errHelper
		}
	}
}

// goOn makes the core go on, where the program before left it.
func (l *loop) goOn(now time.Time, h *handover) {
	for _, notice := range l.config.Notices {
		l.log.Info(notice)
	}
	l.drained = h.Drain
	l.node = cluster.Resume(now, l.boottime()-h.At, l.coreOptions(0), h.Core)
	l.boot = h.Core.Boot
	l.tellNode(now)
	l.wake = now
	s := l.snapshot(now)
	l.story.goOn(s, h.Changes)
	l.hooking.eligible = s.status.Eligible
	for i, g := range s.status.Plan.Groups {
		if s.status.Groups[i].Held { // all of it was there: see settled
			l.hooking.taken[g.Key] = true
		}
	}
	l.published.Store(s)
	l.log.Info(fmt.Sprintf("vippyd %s took over from %s after %v: node %s goes on with %s of plan %d",
		l.version, h.Version, (l.boottime()-h.At).Round(time.Millisecond), l.name, vipgroup.Count(len(l.kernel.hold), "group"), l.config.Plan.Version),
		"at", netplumb.Monotonic().Nanoseconds())
	l.notifier.ready()
}

// goOn takes what there is for known: it was told by the program before.
func (s *story) goOn(now *snapshot, changes uint64) {
	s.begin()
	s.last, s.next, s.changes = now, now.now.Add(lookEvery), changes
	now.changes = changes
	for i, g := range now.status.Plan.Groups {
		is := now.status.Groups[i]
		if at := stageOf(now, g, is); at != idle {
			s.doing[g.Key] = at
		}
		if owner := ownerOf(now.status.Name, "", is.Owners); owner != "" {
			s.owners[g.Key], s.seen[g.Key] = owner, owner
		}
	}
}
