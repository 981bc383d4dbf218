package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

func (a *app) events() *cobra.Command {
	follow := false
	c := &cobra.Command{
		Use:   "events",
		Short: "Show what happened: to groups, to nodes, and what was wrong",
		Long: `Show what happened, as far as the daemon remembers it, the oldest first: who took and
gave up which group, who was heard or eligible and who not, conflicts, alarms, other plans.
It is what this node did and saw; another one may tell it otherwise.

With -o json each line is one event (docs/reference.md has the fields).
Exit status: 0; 2 no daemon, or it ended while its events were followed.`,
		Example: `  vippyctl events
  vippyctl events -f
  vippyctl events -f -o json | jq -r 'select(.event == "moved") | [.group, .node] | @tsv'`,
		SuggestFor: []string{"history", "log", "watch"},
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.printEvents(cmd, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	return c
}

func (a *app) printEvents(cmd *cobra.Command, follow bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if !follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, askTime)
		defer cancel()
	}
	last := uint64(0) // the number of the newest event that was told
	var failed error  // to print, which is no fault of the daemon
	tell := func(line json.RawMessage) error {
		last, failed = a.printEvent(out, line)
		return failed
	}
	if !follow {
		return cmp.Or(a.client.Lines(ctx, ctlsocket.EventsPath(0, false), tell), failed)
	}
	now, err := a.soon(ctx)
	if err != nil {
		return err
	}
	for {
		err := a.client.Lines(ctx, ctlsocket.EventsPath(last, true), tell)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
			return cmp.Or(failed, err)
		}
		// Another program may go on in its place (vippyctl upgrade), and with its events.
		before := now
		if now, err = a.soon(ctx); err != nil {
			return fmt.Errorf("the events ended: %w", err)
		}
		if now.Program.Since.Equal(before.Program.Since) {
			return errors.New("the daemon ended")
		}
		if now.Program.Boot != before.Program.Boot {
			last = 0 // started anew, it counts anew
		}
	}
}

// printEvent returns the event's number.
func (a *app) printEvent(out io.Writer, line json.RawMessage) (uint64, error) {
	var e ctlsocket.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, fmt.Errorf("%s told something else than an event: %w (is it another version?)", a.client.Socket, err)
	}
	if a.output == "json" {
		_, err := fmt.Fprintf(out, "%s\n", line)
		return e.Seq, err
	}
	if e.Lost > 0 {
		if _, err := fmt.Fprintf(out, "(%s before this one not remembered)\n", vipgroup.Count(int(e.Lost), "event")); err != nil {
			return e.Seq, err
		}
	}
	text := fmt.Sprintf("%s  %-12s  %s", e.Time.Format("2006-01-02 15:04:05.000"), oneLine(e.Kind), oneLine(sentence(e)))
	_, err := fmt.Fprintln(out, strings.TrimRight(text, " "))
	return e.Seq, err
}

// sentence says what an event is about, in the columns' last one.
func sentence(e ctlsocket.Event) string {
	var parts []string
	switch {
	case e.Kind == "moved" && e.Node != "" && e.Node == e.Former:
		parts = append(parts, fmt.Sprintf("%s: %s has it still, or again", e.Group, e.Node))
	case e.Kind == "moved":
		parts = append(parts, fmt.Sprintf("%s: %s -> %s", e.Group, cmp.Or(e.Former, "nobody"), cmp.Or(e.Node, "nobody")))
	case e.Kind == "plan-changed":
		parts = append(parts, fmt.Sprintf("version %d", e.PlanVersion))
	case e.Group != "":
		parts = append(parts, e.Group)
	case e.Node != "":
		return strings.TrimSpace(e.Node + " " + e.Reason)
	}
	if e.Reason != "" {
		parts = append(parts, e.Reason)
	}
	return strings.Join(parts, ": ")
}
