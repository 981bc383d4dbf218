package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// completeTime is how long a shell waits for the daemon's words; tests have more of it.
var completeTime = time.Second

// offers are the words for a placeholder, as the usage of commands and flags has it.
var offers = map[string]func(ctlsocket.Status) []cobra.Completion{
	"GROUP":  groups,
	"NODE":   nodes,
	"FORMAT": func(ctlsocket.Status) []cobra.Completion { return []cobra.Completion{"text", "json"} },
}

func groups(s ctlsocket.Status) (out []cobra.Completion) {
	for _, g := range s.Groups {
		out = append(out, cobra.CompletionWithDesc(g.Name, "at "+owner(g)))
	}
	return out
}

func nodes(s ctlsocket.Status) (out []cobra.Completion) {
	for _, node := range s.Config.Nodes {
		what := "this node"
		if i := slices.IndexFunc(s.Peers, func(p ctlsocket.Peer) bool { return p.Node == node }); i >= 0 {
			what = string(s.Peers[i].State)
		}
		out = append(out, cobra.CompletionWithDesc(node, what))
	}
	return out
}

// complete teaches a command and those below it what a shell may offer: what its usage
// asks for.
func (a *app) complete(c *cobra.Command) error {
	for _, sub := range c.Commands() {
		if err := a.complete(sub); err != nil {
			return err
		}
	}
	places := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(c.Use))[1:]
	if !c.HasSubCommands() && !slices.Contains(places, "--") && !slices.Contains(places, "FILE") {
		c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(places) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.offer(places[len(args)])
		}
	}
	var err error
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if value, _ := pflag.UnquoteUsage(f); offers[value] != nil {
			err = cmp.Or(err, c.RegisterFlagCompletionFunc(f.Name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return a.offer(value)
			}))
		}
	})
	return err
}

// completion is cobra's command of that name. For a shell that it doesn't know it would say
// how it is used, on standard output, and that all was well.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = nil
			c.RunE = func(*cobra.Command, []string) error {
				return errors.New("completion takes a SHELL: bash, zsh or fish (vippyctl completion -h)")
			}
		}
	}
}

// offer asks the daemon for the words for a placeholder; without one there are none.
func (a *app) offer(placeholder string) ([]cobra.Completion, cobra.ShellCompDirective) {
	offer := offers[placeholder]
	if offer == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	status, _ := a.client.Status(ctx)
	return offer(status), cobra.ShellCompDirectiveNoFileComp
}
