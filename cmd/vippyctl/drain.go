package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) drain() *cobra.Command {
	var lasting time.Duration
	cmd := &cobra.Command{
		Use:   "drain [NODE]",
		Short: "Hand over what a node holds, and take nothing",
		Long: `Hand over, without a gap, what this node or the named one holds, and have it take nothing
until undrain, or for as long as --for says. A restart doesn't end it. Where there is no
successor the node goes on serving.

Exit status: 0 it is drained; 1 the other node is not heard; 2 nobody knows.`,
		Example: `  sudo vippyctl drain
  sudo vippyctl drain web2 --for 30m`,
		Args: maybeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("for") && (lasting < time.Second || lasting > ctlsocket.MaxFor) {
				return fmt.Errorf("--for: %v is not between 1s and %v", lasting, ctlsocket.MaxFor)
			}
			return a.do(cmd, ctlsocket.Command{Verb: ctlsocket.Drain, Node: first(args), For: lasting.Seconds()})
		},
	}
	timeVar(cmd, &lasting, "for", "end by itself after `TIME`, such as 30m or 1h30m")
	return cmd
}

func (a *app) undrain() *cobra.Command {
	return &cobra.Command{
		Use:   "undrain [NODE]",
		Short: "Take part again after drain",
		Long:  "Have this node, or the named one, take part again after drain.",
		Example: `  sudo vippyctl undrain
  sudo vippyctl undrain web2`,
		Args: maybeNode,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd, ctlsocket.Command{Verb: ctlsocket.Undrain, Node: first(args)})
		},
	}
}

// maybeNode refuses more than one word, and an empty one.
func maybeNode(cmd *cobra.Command, args []string) error {
	if len(args) > 1 || len(args) == 1 && args[0] == "" {
		return fmt.Errorf("%s takes one NODE at most (vippyctl %s -h)", cmd.Name(), cmd.Name())
	}
	return nil
}

// first is the first word, "" for none.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
