package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
	"github.com/vippy-ha/vippy/plugin"
)

// Exec runs a command every so often: exit status 0 says healthy, anything else
// unhealthy, with the last line that it wrote to stderr as the reason.
//
// Until the first result nothing is known and nothing is voted. The first result is a
// verdict by itself; later ones need Rise or Fall of them in a row.
//
// The command gets PATH, LANG=C and VIPPY_CHECK (the label) as its environment, / as
// its directory, nothing on stdin, and none of the daemon's powers (see internal/child).
type Exec struct {
	// Label is the check's name.
	Label string
	// Command is the program and its arguments; no shell is involved. A program
	// without a slash is looked up in the daemon's PATH.
	Command []string
	// User is who the command runs as; "" means nobody where the daemon is root, else
	// the daemon's own user.
	User string
	// Interval is the time from one start to the next; runs never overlap.
	Interval time.Duration
	// Timeout is how long one run may take before it is killed with its children,
	// which counts as unhealthy. 0 means Interval.
	Timeout time.Duration
	// Rise and Fall are how many equal results in a row change the verdict; 0 means 1.
	Rise, Fall int
	// Penalty is what a failing check costs this node; 0 means that it bars it.
	Penalty int
	// Groups limits the vote to groups, by name, key or address; none means the node.
	Groups []string
}

// Name returns the label.
func (e Exec) Name() string { return e.Label }

// Validate says what is wrong with the settings, all at once.
func (e Exec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("check %s: "+format, append([]any{e.Label}, args...)...))
	}
	if e.Label == "" {
		errs = append(errs, errors.New("a check needs a name"))
	}
	if len(e.Command) == 0 || e.Command[0] == "" {
		bad("command: nothing to run")
	}
	if e.Interval <= 0 {
		bad("interval: %v is not a positive time", e.Interval)
	}
	if e.Timeout < 0 {
		bad("timeout: %v is negative", e.Timeout)
	}
	if e.Rise < 0 || e.Fall < 0 {
		bad("rise %d, fall %d: a count can't be negative", e.Rise, e.Fall)
	}
	if e.Penalty < 0 {
		bad("penalty: %d is negative", e.Penalty)
	}
	return errors.Join(errs...)
}

// Run checks until ctx is cancelled, and returns nil then. When it returns, the
// command and all processes of its group are killed; when the daemon is killed, the
// kernel kills the command with it (but not the command's children).
func (e Exec) Run(ctx context.Context, host plugin.Host) error {
	if err := e.Validate(); err != nil {
		return err
	}
	var slot child.Slot
	v := verdict{rise: e.Rise, fall: e.Fall}
	tick := time.NewTicker(e.Interval)
	defer tick.Stop()
	for {
		failure := e.once(ctx, &slot)
		if ctx.Err() != nil {
			return nil
		}
		if v.take(failure == "") {
			// The daemon tells the story of votes; this is for those who debug a check.
			if failure == "" {
				host.Log().Debug("check is healthy")
			} else {
				host.Log().Debug("check failed", "reason", failure)
			}
			host.Vote(e.votes(failure)...)
		} else if failure != "" && !v.healthy {
			host.Vote(e.votes(failure)...) // the reason may have changed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// once runs the command once and says why that counts as unhealthy, "" if it doesn't.
func (e Exec) once(ctx context.Context, slot *child.Slot) string {
	r := slot.Run(ctx, child.Spec{Command: e.Command, Env: []string{"VIPPY_CHECK=" + e.Label}, User: e.User}, nil, cmp.Or(e.Timeout, e.Interval))
	switch said := cmp.Or(r.Stderr, r.Stdout); {
	case r.Err == nil:
		return ""
	case said == "":
		return r.Err.Error()
	default:
		return r.Err.Error() + ": " + said
	}
}

// votes makes votes of why the check fails, "" when it doesn't.
func (e Exec) votes(failure string) []plugin.Vote {
	vote := plugin.Vote{Reason: failure}
	if failure != "" {
		vote.Bar, vote.Penalty = e.Penalty == 0, e.Penalty
	}
	if len(e.Groups) == 0 {
		return []plugin.Vote{vote}
	}
	votes := make([]plugin.Vote, len(e.Groups))
	for i, group := range e.Groups {
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
}

// take takes a result and says whether the verdict is new.
func (v *verdict) take(healthy bool) bool {
	if !v.known {
		v.known, v.healthy = true, healthy
		return true
	}
	if healthy == v.healthy {
		v.against = 0
		return false
	}
	need := v.fall
	if healthy {
		need = v.rise
	}
	if v.against++; v.against < need {
		return false
	}
	v.healthy, v.against = healthy, 0
	return true
}
