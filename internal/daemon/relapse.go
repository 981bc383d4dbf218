package daemon

import (
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A relapse is what is remembered of something that a plugin finds sick and well in turn:
// its addresses must not go to and fro as fast as it changes its mind. What is sick is
// believed at once, what is well again only after a pause that doubles.
type relapse struct {
	falls int
	last  time.Time // the last fall
	// held is the good news that is not believed yet, nil for none; it is from until on.
	held  *plugin.Ballot
	until time.Time
}

const (
	// fallsFree is how often in a row something may fall and be believed well at once.
	fallsFree = 3
	// fallsApart is how far apart two falls are that have nothing to do with each other.
	fallsApart = 5 * time.Second
	// firstPause and lastPause bound how long good news waits, from the last fall on.
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// fell notes that a plugin finds sick what it found well.
func (b *ballots) fell(now time.Time, id pluginVoteID) {
	r := b.relapses[id]
	if r == nil || now.Sub(r.last) > fallsApart {
		r = &relapse{}
		b.relapses[id] = r
	}
	r.falls++
	r.last, r.held = now, nil
}

// doubt holds good news back where there were too many before, and says so.
func (b *ballots) doubt(now time.Time, ballot plugin.Ballot) bool {
	id := pluginVoteID{ballot.Source, ballot.Vote.Group}
	r := b.relapses[id]
	if r == nil || r.falls <= fallsFree {
		return false
	}
	until := r.last.Add(min(firstPause<<min(r.falls-fallsFree-1, 10), lastPause))
	if !now.Before(until) {
		return false
	}
	if r.held == nil {
		standing := b.plugins[id]
		standing.Vote.Reason += fmt.Sprintf(" (passing again; after %d relapses this counts only in %v)", r.falls-1, until.Sub(now).Round(time.Second/10))
		b.plugins[id] = standing
	}
	r.held, r.until = &ballot, until
	return true
}

// believe casts the good news whose time has come, and returns when the next one's does.
func (b *ballots) believe(now time.Time, core voter, plan vipgroup.Plan) (next time.Time) {
	for id, r := range b.relapses {
		switch {
		case r.held == nil && now.Sub(r.last) > fallsApart:
			delete(b.relapses, id)
		case r.held == nil:
		case now.Before(r.until):
			next = earliest(next, r.until)
		default:
			held := *r.held
			r.held = nil
			b.cast(now, core, plan, held)
			next = now
		}
	}
	return next
}
