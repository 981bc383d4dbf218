package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) explain() *cobra.Command {
	var down string
	cmd := &cobra.Command{
		Use:   "explain GROUP",
		Short: "Say why a group is where it is",
		Long: `Say why a group is where it is, and what each node has to do with it; with --if-down, where
it would be without a node.

GROUP is its name, its key or any of its addresses.
Exit status: 0 it has one owner; 1 it has none or several; 2 no daemon, no such group.`,
		Example: `  vippyctl explain web
  vippyctl explain 10.8.3.38
  vippyctl explain web --if-down node1`,
		SuggestFor: []string{"why", "group"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("explain takes one GROUP: its name, its key or any of its addresses")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path := ctlsocket.GroupPath(args[0])
			if cmd.Flags().Changed("if-down") {
				if down == "" {
					return errors.New("--if-down takes a NODE")
				}
				path += "?if_down=" + url.QueryEscape(down)
			}
			return ask(cmd, a, path, printExplanation)
		},
	}
	cmd.Flags().StringVar(&down, "if-down", "", "foretell who would have it if `NODE` was lost")
	return cmd
}

func printExplanation(b *bytes.Buffer, e ctlsocket.Explanation) error {
	g := e.Group
	var facts table
	facts.row("Group:", fmt.Sprintf("%s (key %s), as %s sees it", g.Name, g.Key, e.Identity))
	held := owner(g)
	if !g.Since.IsZero() {
		held += ", for " + since(g.Since)
	}
	facts.row("Owner:", held)
	facts.row("Assigned:", dash(g.Assigned))
	facts.row("Why:", dash(g.Reason))
	if len(e.Prefer) > 0 {
		facts.row("Prefers:", strings.Join(e.Prefer, ", "))
	}
	for _, a := range g.Addresses {
		where := "not in this host's kernel"
		if a.Plumbed {
			where = "in this host's kernel"
		}
		if a.ContestedBy != "" {
			where += "; CONTESTED: " + a.ContestedBy + " claims it"
		}
		facts.row("Address:", fmt.Sprintf("%s on %s, %s", a.Address, dash(a.Interface), where))
	}
	if f := e.IfDown; f != nil {
		text := "it would go to " + f.Owner
		switch f.Owner {
		case "":
			text = "nobody would have it"
		case g.Owner:
			text = "it would stay on " + f.Owner
		}
		facts.row("If down:", fmt.Sprintf("without %s %s (%s)", f.Node, text, f.Reason))
	}
	facts.print(b)
	b.WriteByte('\n')
	var t table
	t.row("NODE", "STATE", "ELIGIBLE", "GROUPS", "WHY NOT")
	for _, n := range e.Nodes {
		t.row(n.Node, string(n.State), yes(n.Eligible), fmt.Sprint(n.Groups), n.Reason)
	}
	t.print(b)
	if !g.Once() {
		return errNo
	}
	return nil
}
