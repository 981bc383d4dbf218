package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// Common is what all checks have.
//
// Until the first result nothing is known and nothing is voted. The first result is a
// verdict by itself; later ones need Rise or Fall of them in a row.
type Common struct {
	// Label is the check's name.
	Label string
	// Interval is the time from one start to the next; looks never overlap.
	Interval time.Duration
	// Timeout is how long one look may take, which then counts as unhealthy. 0 means
	// Interval.
	Timeout time.Duration
	// Rise and Fall are how many equal results in a row change the verdict; 0 means 1.
	// With each relapse soon after a recovery twice as many as before make it healthy, up
	// to 16 Rise.
	Rise, Fall int
	// Penalty is what a failing check costs this node; 0 means that it bars it.
	Penalty int
	// Groups limits the vote to groups, by name, key or address; none means the node.
	Groups []string
}

// Name returns the label.
func (c Common) Name() string { return c.Label }

// Ended implements plugin.Ender: a check that ended is a check that fails.
func (c Common) Ended(reason string) []plugin.Vote { return c.votes(reason) }

// fault returns an error for a fault of this check's settings.
func (c Common) fault(format string, args ...any) error {
	return fmt.Errorf("check %s: "+format, append([]any{c.Label}, args...)...)
}

// validate says what is wrong with the common settings, all at once.
func (c Common) validate() error {
	var errs []error
	if c.Label == "" {
		errs = append(errs, errors.New("a check needs a name"))
	}
	if c.Interval <= 0 {
		errs = append(errs, c.fault("interval: %v is not a positive time", c.Interval))
	}
	if c.Timeout < 0 {
		errs = append(errs, c.fault("timeout: %v is negative", c.Timeout))
	}
	if c.Rise < 0 || c.Fall < 0 {
		errs = append(errs, c.fault("rise %d, fall %d: a count can't be negative", c.Rise, c.Fall))
	}
	if c.Penalty < 0 {
		errs = append(errs, c.fault("penalty: %d is negative", c.Penalty))
	}
	return errors.Join(errs...)
}

func (c Common) limit() time.Duration { return cmp.Or(c.Timeout, c.Interval) }

// wakeEvery is the shortest time between two looks of a check that is woken.
const wakeEvery = 10 * time.Millisecond

// watch looks every interval, and at once when woken, until ctx is cancelled. look says
// what is wrong, "" for nothing.
func (c Common) watch(ctx context.Context, host plugin.Host, look func(context.Context) string, wake <-chan struct{}) {
	v := verdict{rise: c.Rise, fall: c.Fall}
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for {
		looked := time.Now()
		failure := look(ctx)
		if ctx.Err() != nil {
			return
		}
		if v.take(failure == "") {
			// The daemon tells the story of votes; this is for those who debug a check.
			if failure == "" {
				host.Log().Debug("check is healthy")
			} else {
				host.Log().Debug("check failed", "reason", failure)
			}
			host.Vote(c.votes(failure)...)
		} else if failure != "" && !v.healthy {
			host.Vote(c.votes(failure)...) // the reason may have changed
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
			// What wakes may do so all the time.
			select {
			case <-ctx.Done():
				return
			case <-time.After(wakeEvery - time.Since(looked)):
			}
		case <-tick.C:
		}
	}
}

// watchStubborn is watch for a look that nothing can cut short: one at a file, whose server
// may not answer. Such a look has failed for now, and no other begins beside it. end is
// called once none is under way, which Run doesn't wait for.
func (c Common) watchStubborn(ctx context.Context, host plugin.Host, look func() string, wake <-chan struct{}, end func()) {
	result, busy := make(chan string, 1), false
	late := fmt.Sprintf("not done within %v", c.limit())
	c.watch(ctx, host, func(ctx context.Context) string {
		if busy {
			select {
			case <-result: // of long ago
			default:
				return late
			}
		}
		busy = true
		go func() { result <- look() }()
		timer := time.NewTimer(c.limit())
		defer timer.Stop()
		select {
		case failure := <-result:
			busy = false
			return failure
		case <-timer.C:
		case <-ctx.Done():
		}
		return late
	}, wake)
	if !busy {
		end()
		return
	}
	go func() {
		<-result
		end()
	}()
}

// votes makes votes of why the check fails, "" when it doesn't.
func (c Common) votes(failure string) []plugin.Vote {
	vote := plugin.Vote{Reason: failure}
	if failure != "" {
		vote.Bar, vote.Penalty = c.Penalty == 0, c.Penalty
	}
	if len(c.Groups) == 0 {
		return []plugin.Vote{vote}
	}
	votes := make([]plugin.Vote, len(c.Groups))
	for i, group := range c.Groups {
		votes[i] = vote
		votes[i].Group = group
	}
	return votes
}

// A verdict is what is believed after some results.
type verdict struct {
	rise, fall int
	known      bool
	healthy    bool
	against    int // results in a row that say otherwise
	steady     int // healthy results since the last recovery, as far as they count
	relapses   int // falls in a row that came soon after a recovery
}

const (
	// steadyAfter is how many healthy results make a recovery a lasting one.
	steadyAfter = 30
	// maxRelapses bounds how often the way back to health is doubled.
	maxRelapses = 4
)

// take takes a result and says whether the verdict is new.
func (v *verdict) take(healthy bool) bool {
	if !v.known {
		v.known, v.healthy, v.steady = true, healthy, steadyAfter // of a past that nobody knows no evil
		return true
	}
	if healthy == v.healthy {
		v.against = 0
		if healthy {
			if v.steady++; v.steady >= steadyAfter {
				v.relapses = 0
			}
		}
		return false
	}
	need := v.fall
	if healthy {
		need = max(v.rise, 1) << v.relapses
	}
	if v.against++; v.against < need {
		return false
	}
	v.healthy, v.against = healthy, 0
	if healthy {
		v.steady = 0
	} else if v.steady < steadyAfter {
		v.relapses = min(v.relapses+1, maxRelapses)
	}
	return true
}
