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
		Use:   "drain",
		Short: "Hand over what this node holds, and take nothing",
		Long: `Hand over, without a gap, what this node holds, and take nothing until undrain, or for as
long as --for says. A restart doesn't end it. Where there is no successor the node goes on
serving.`,
		Example: `  sudo vippyctl drain
  sudo vippyctl drain --for 30m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("for") && (lasting < time.Second || lasting > ctlsocket.MaxFor) {
				return fmt.Errorf("--for: %v is not between 1s and %v", lasting, ctlsocket.MaxFor)
			}
			return a.do(cmd, ctlsocket.Command{Verb: ctlsocket.Drain, For: lasting.Seconds()})
		},
	}
	cmd.Flags().DurationVar(&lasting, "for", 0, "end by itself after `TIME`, such as 30m or 1h30m")
	return cmd
}
