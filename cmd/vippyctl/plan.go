package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

func (a *app) plan() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show the plan that all nodes must agree on, and what differs from it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			_ = cmd.Help()
			return errors.New("plan show, or plan diff?")
		},
	}
	c.AddCommand(a.planShow(), a.planDiff())
	return c
}

func (a *app) planShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show the plan that rules, and where it came from",
		Example: "  vippyctl plan show\n  vippyctl plan show -o json | jq .encoding",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, a, "/plan", func(b *bytes.Buffer, r ctlsocket.PlanReport) error {
				from := r.Plan.From
				if from == "file" {
					from = r.File.Path
				}
				fmt.Fprintf(b, "# plan of %s, from %s, digest %s\n", oneLine(r.Identity), oneLine(from), oneLine(r.Plan.Digest))
				if r.Plan.Note != "" {
					fmt.Fprintf(b, "# %s\n", oneLine(r.Plan.Note))
				}
				for _, l := range r.Lines {
					fmt.Fprintf(b, "%s: %s\n", oneLine(l.Subject), oneLine(l.Text))
				}
				return nil
			})
		},
	}
}

func (a *app) planDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff [FILE]",
		Short: "Show in what the config file and the peers differ from the plan that rules",
		Long: `Show in what the config file and the peers differ from the plan that rules here; or,
with FILE, in what that config does.

Lines with - are those of the plan that rules, lines with + those of the other.
Exit status: 0 no difference; 1 there is one; 2 no daemon, or it can't tell.`,
		Example: `  vippyctl plan diff
  vippyctl plan diff new.conf`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.New("plan diff takes one FILE at most (vippyctl plan diff -h)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return ask(cmd, a, "/plan", printPlanDiff)
			}
			return a.diffFile(cmd, args[0])
		},
	}
}

// printPlanDiff says in what the file and each peer differ. A peer that isn't heard has no
// say; of one whose plan isn't there yet nobody can tell.
func printPlanDiff(b *bytes.Buffer, r ctlsocket.PlanReport) error {
	differs, unknown := false, false
	tell := func(who string, version uint64, changes []ctlsocket.PlanChange) {
		if len(changes) == 0 {
			fmt.Fprintf(b, "%s: the same, version %d\n", oneLine(who), version)
			return
		}
		differs = true
		fmt.Fprintf(b, "%s: version %d, and here version %d rules\n", oneLine(who), version, r.Plan.Version)
		printChanges(b, changes)
	}
	if r.File.Fault != "" {
		differs = true
		fmt.Fprintf(b, "%s: not right: %s\n", oneLine(r.File.Path), oneLine(r.File.Fault))
	} else {
		tell(r.File.Path, r.File.Version, r.File.Changes)
	}
	for _, p := range r.Peers {
		switch {
		case p.Digest == "" || p.State == ctlsocket.PeerAbsent:
			fmt.Fprintf(b, "%s: not heard\n", oneLine(p.Node))
		case p.Known:
			tell(p.Node, p.Version, p.Changes)
		default:
			unknown = true
			fmt.Fprintf(b, "%s: version %d, which is not known here yet\n", oneLine(p.Node), p.Version)
		}
	}
	switch {
	case differs:
		return errNo
	case unknown:
		return errors.New("can't tell: the plan of a peer is not known here yet")
	}
	return nil
}

func printChanges(b *bytes.Buffer, changes []ctlsocket.PlanChange) {
	line := func(sign, subject, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %s %s: %s\n", sign, oneLine(subject), oneLine(text))
		}
	}
	for _, c := range changes {
		line("-", c.Subject, c.Was)
		line("+", c.Subject, c.Is)
	}
}

// diffFile compares a file, of which nothing but the plan is looked at, with the plan that
// rules.
func (a *app) diffFile(cmd *cobra.Command, path string) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), askTime)
	defer cancel()
	r, err := a.client.Plan(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c, err := config.Parse(path, text)
	if err != nil {
		return &ctlsocket.Error{Code: 422, Message: strings.TrimSpace(err.Error())}
	}
	ruling, err := vipgroup.Decode(r.Encoding)
	if err != nil {
		return fmt.Errorf("the daemon's plan makes no sense here: %w (is it another version?)", err)
	}
	file := ctlsocket.FilePlan{Path: path, Version: c.Plan.Version, Digest: c.Plan.Digest().String()}
	for _, x := range vipgroup.Differ(ruling, c.Plan) {
		file.Changes = append(file.Changes, ctlsocket.PlanChange(x))
	}
	r.File, r.Peers = file, nil
	var b bytes.Buffer
	verdict := printPlanDiff(&b, r)
	if a.output == "json" {
		data, err := json.Marshal(r)
		return cmp.Or(err, printJSON(cmd.OutOrStdout(), data), verdict)
	}
	_, err = b.WriteTo(cmd.OutOrStdout())
	return cmp.Or(err, verdict)
}
