package plugin

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
)

// A Program is a plugin that is a program of its own: any that reads and writes the lines
// of docs/plugins.md. It runs without the daemon's powers (see internal/child). It ends,
// and is started again by the runner, when it writes what is no such line.
type Program struct {
	// Label is the plugin's name.
	Label string
	// Command is the program and its arguments; no shell is involved.
	Command []string
	// User is who it runs as; "" means nobody where the daemon is root, else the daemon's
	// own user.
	User string
	// Timeout is how long it may say nothing before it counts as hanging and is killed;
	// 0 means for ever.
	Timeout time.Duration
	// Penalty is what its end costs this node; 0 means that it bars it.
	Penalty int
	// Silent says that its end costs nothing: it only listens.
	Silent bool
	// Groups limits what its end means to groups, by name, key or address; none means the
	// whole node.
	Groups []string
}

// Name returns the label.
func (p Program) Name() string { return p.Label }

// Ended implements Ender.
func (p Program) Ended(reason string) []Vote {
	if p.Silent {
		return nil
	}
	vote := Vote{Bar: p.Penalty == 0, Penalty: p.Penalty, Reason: reason}
	if len(p.Groups) == 0 {
		return []Vote{vote}
	}
	votes := make([]Vote, len(p.Groups))
	for i, group := range p.Groups {
		votes[i] = vote
		votes[i].Group = group
	}
	return votes
}

// How a program ends: it is told, has stopWithin to end by itself, and is killed. A killed
// one is gone within killWithin, unless it hangs in the kernel.
const (
	stopWithin = time.Second
	killWithin = 500 * time.Millisecond
)

// Run starts the program and works for it until it ends, or ctx is cancelled and it was
// made to end. Then nobody of its process group is left.
func (p Program) Run(ctx context.Context, h Host) error {
	files, theirs, err := pipes()
	if err != nil {
		return err
	}
	s := &supervised{Program: p, host: h, files: files, silence: time.NewTimer(math.MaxInt64)}
	s.state, _ = h.(interface{ note(func(*Report)) })
	process, err := child.Start(child.Spec{
		Command: p.Command, Env: []string{"VIPPY_PLUGIN=" + p.Label}, User: p.User,
		Stdin: theirs.in, Stdout: theirs.out, Stderr: theirs.err,
	})
	theirs.close()
	if err != nil {
		files.close()
		return fmt.Errorf("cannot start: %w", err)
	}
	s.note(func(r *Report) { r.PID = process.PID() })
	return s.attend(ctx, process)
}

// stdio are the three files between the daemon and a program, one end of each.
type stdio struct{ in, out, err *os.File }

func (s stdio) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		_ = f.Close()
	}
}

func pipes() (ours, theirs stdio, err error) {
	var ends []*os.File
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			for _, f := range ends {
				_ = f.Close()
			}
			return ours, theirs, fmt.Errorf("make a pipe: %w", err)
		}
		ends = append(ends, r, w)
	}
	return stdio{ends[1], ends[2], ends[4]}, stdio{ends[0], ends[3], ends[5]}, nil
}
