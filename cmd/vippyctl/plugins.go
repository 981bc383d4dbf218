package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) plugins() *cobra.Command {
	return &cobra.Command{
		Use:   "plugins",
		Short: "Show what this node's checks and plugins think, and how they fare",
		Long: `Show what this node's checks and plugins think, and how they fare.

STATE is runs, ended (it is started again after a pause), or waits (a reload changed it,
and its former self has not ended yet). VOTE is what speaks against this node or a group here, "healthy" for nothing, "-"
while nothing is known. LAST LINE is what a program last wrote to stderr, or how
it ended.

Exit status: 0 all of them run and have nothing against this node; 1 not so; 2 no daemon.`,
		Example:    "  vippyctl plugins",
		SuggestFor: []string{"checks", "votes", "health"},
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, a, "/plugins", printPlugins)
		},
	}
}

func printPlugins(b *bytes.Buffer, plugins []ctlsocket.Plugin) error {
	if len(plugins) == 0 {
		fmt.Fprintln(b, "this node has no checks and no plugins")
		return nil
	}
	well := true
	var t table
	t.row("", "NAME", "STATE", "SINCE", "RESTARTS", "VOTE", "LAST LINE")
	for _, p := range plugins {
		mark, state, last := "", "runs", p.Stderr
		if !p.Well() {
			well, mark = false, "!!"
		}
		switch {
		case p.Running:
		case p.Since.IsZero():
			state = "waits" // for the one before it to end, after a reload
		default:
			state = "ended"
		}
		if !p.Running {
			if last == "" {
				last = p.Failure
			}
		}
		vote, more := "-", []string(nil)
		switch {
		case len(p.Votes) > 0:
			vote = pluginVote(p.Votes[0])
			for _, v := range p.Votes[1:] {
				more = append(more, pluginVote(v))
			}
		case p.Voted:
			vote = "healthy"
		}
		t.row(mark, p.Name, state, since(p.Since), strconv.Itoa(p.Restarts), vote, last)
		for _, v := range more {
			t.row("", "", "", "", "", v)
		}
	}
	t.print(b)
	if !well {
		return errNo
	}
	return nil
}

// pluginVote is "bar: REASON", or "GROUP: penalty N: REASON".
func pluginVote(v ctlsocket.PluginVote) string {
	text := "bar"
	if !v.Bar {
		text = fmt.Sprintf("penalty %d", v.Penalty)
	}
	if v.Group != "" {
		text = v.Group + ": " + text
	}
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	return text
}
