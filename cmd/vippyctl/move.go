package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) move() *cobra.Command {
	return &cobra.Command{
		Use:   "move GROUP NODE",
		Short: "Have a group go to a node, and stay there",
		Long: `Have a group handed over to a node, without a gap, and wait until it is there. It stays as
any group stays that nobody prefers; nothing of it is kept. So where another node would take
it back at once, by preference or for the sake of a check, it is refused with the remedy.

GROUP is its name, its key or any of its addresses.
Exit status: 0 it is there; 1 it is refused, or did not come; 2 nobody knows.`,
		Example: "  sudo vippyctl move web web2",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == "" || args[1] == "" {
				return fmt.Errorf("move takes a GROUP and a NODE (vippyctl move -h)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, ctlsocket.Command{Verb: ctlsocket.Move, Group: args[0], Node: args[1]})
		},
	}
}

func (a *app) rebalance() *cobra.Command {
	return a.change(ctlsocket.Rebalance, "Even the load now, one group after another",
		"Even the load now, by one move after another from the node that holds the most groups to\n"+
			"the one that holds the fewest. What is preferred where it is stays, and what a check keeps\n"+
			"from a node doesn't go there.\n\n"+
			"Exit status: 0 no move is left; 1 a move failed, or more are to be done: run it again.")
}
