package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) explain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain GROUP",
		Short: "Say why a group is where it is",
		Long: `Say why a group is where it is, and what each node has to do with it.

GROUP is its name, its key or any of its addresses.
Exit status: 0 it has one owner; 1 it has none or several; 2 no daemon, no such group.`,
		Example: `  vippyctl explain web
  vippyctl explain 10.8.3.38`,
		SuggestFor: []string{"why", "group"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("explain takes one GROUP: its name, its key or any of its addresses")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return ask(cmd, a, ctlsocket.GroupPath(args[0]), printExplanation)
		},
	}
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
