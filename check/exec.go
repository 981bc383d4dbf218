package check

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/vippy-ha/vippy/internal/child"
	"github.com/vippy-ha/vippy/plugin"
)

// Exec runs a command every so often: exit status 0 says healthy, anything else
// unhealthy, with the last line that it wrote to stderr, else the first of stdout, as the
// reason. A run that takes longer than Timeout is killed with its children.
//
// The command gets PATH, LANG=C and VIPPY_CHECK (the label) as its environment, / as
// its directory, nothing on stdin, and none of the daemon's powers (see internal/child).
type Exec struct {
	Common
	// Command is the program and its arguments; no shell is involved. A program
	// without a slash is looked up in the daemon's PATH.
	Command []string
	// User is who the command runs as; "" means nobody where the daemon is root, else
	// the daemon's own user.
	User string
	// Nagios says that the exit status is that of a Nagios plugin: 0 and 1 (a warning)
	// are healthy, 2 (critical), 3 (unknown) and others are not; the reason is what stands
	// before the first "|" on stdout.
	Nagios bool
}

// Validate says what is wrong with the settings, all at once.
func (e Exec) Validate() error {
	err := e.validate()
	if len(e.Command) == 0 || e.Command[0] == "" {
		err = errors.Join(err, e.fault("command: nothing to run"))
	}
	return err
}

// Run checks until ctx is cancelled, and returns nil then. When it returns, the
// command and all processes of its group are killed; when the daemon is killed, the
// kernel kills the command with it (but not the command's children).
func (e Exec) Run(ctx context.Context, host plugin.Host) error {
	if err := e.Validate(); err != nil {
		return err
	}
	var slot child.Slot
	e.watch(ctx, host, func(ctx context.Context) string { return e.once(ctx, &slot) }, nil)
	return nil
}

// once runs the command once and says why that counts as unhealthy, "" if it doesn't.
func (e Exec) once(ctx context.Context, slot *child.Slot) string {
	spec := child.Spec{Command: e.Command, Env: []string{"VIPPY_CHECK=" + e.Label}, User: e.User}
	r := slot.Run(ctx, spec, nil, e.limit())
	said := cmp.Or(r.Stderr, r.Stdout)
	if e.Nagios {
		text, _, _ := strings.Cut(r.Stdout, "|")
		said = cmp.Or(strings.TrimSpace(text), r.Stderr)
		if r.Code == 1 {
			r.Err = nil
		}
	}
	switch {
	case r.Err == nil:
		return ""
	case said == "":
		return r.Err.Error()
	default:
		return r.Err.Error() + ": " + said
	}
}
