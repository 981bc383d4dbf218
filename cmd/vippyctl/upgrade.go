package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) upgrade() *cobra.Command {
	return &cobra.Command{
		Use:   "upgrade",
		Short: "Start the daemon's new program, moving nothing",
		Long: `Start the program anew that stands where the daemon was started from, without giving
anything up: after a new package was installed. The new program is first asked whether it
could go on; if not, the reason is printed, and the old one goes on.

Exit status: 0 the new program goes on with what the old one held; 1 it does not.`,
		Example: "  sudo vippyctl upgrade",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), changeTime)
			defer cancel()
			message, err := a.runUpgrade(ctx)
			if err != nil {
				return err
			}
			return a.done(cmd, message)
		},
	}
}

// How long the new program may take to answer, and how often it is asked.
const (
	takeOverTime  = 10 * time.Second
	takeOverEvery = 20 * time.Millisecond
)

// runUpgrade returns when the new program answers.
func (a *app) runUpgrade(ctx context.Context) (string, error) {
	before, err := a.client.Status(ctx)
	if err != nil {
		return "", err
	}
	if _, err := a.client.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Upgrade}); err != nil {
		return "", err
	}
	late, cancel := context.WithTimeout(ctx, takeOverTime)
	defer cancel()
	for {
		// What hinders an answer is the change itself, unless it lasts.
		now, err := a.client.Status(late)
		if err == nil && !now.Program.Since.Equal(before.Program.Since) {
			return sayUpgraded(before, now)
		}
		select {
		case <-time.After(takeOverEvery):
			continue
		case <-late.Done():
		}
		if err != nil {
			return "", fmt.Errorf("the daemon ended instead: its log says why (%w)", err)
		}
		return "", &ctlsocket.Error{Code: 409, Message: "the daemon goes on with its old program", Hint: "its log says why"}
	}
}

// sayUpgraded compares what was held before with what is held now.
func sayUpgraded(before, now ctlsocket.Status) (string, error) {
	versions := before.Program.Version + " -> " + now.Program.Version
	had, has := heldBy(before), heldBy(now)
	switch {
	case now.Program.Boot != before.Program.Boot:
		return "", &ctlsocket.Error{Code: 409, Message: versions + ": the new program failed and the daemon was started anew",
			Hint: "its log says why; vippyctl status shows where the groups are"}
	case !slices.Equal(had, has):
		return "", &ctlsocket.Error{Code: 409, Message: fmt.Sprintf("upgraded %s; held before: %s; now: %s", versions, list(had), list(has)),
			Hint: "vippyctl explain GROUP says why"}
	}
	return "upgraded " + versions + ", nothing moved", nil
}

func heldBy(s ctlsocket.Status) (names []string) {
	for _, g := range s.Groups {
		if g.Held {
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	return names
}

func list(names []string) string { return cmp.Or(strings.Join(names, ", "), "nothing") }
