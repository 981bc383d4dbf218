package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) wait() *cobra.Command {
	var group string
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "wait --owner GROUP",
		Short: "Wait until this node has a group",
		Long: `Wait until this node has a group: all of its addresses are in its kernel. A group
without addresses is an election, and who has it has been elected.

Exit status: 0 this node has it; 1 it had not within the timeout; 2 no daemon, or it
ended; no such group.`,
		Example: `  vippyctl wait --owner web
  vippyctl wait --owner leader --timeout 30s && echo "elected"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 || group == "" {
				return errors.New("wait for which group? (vippyctl wait --owner GROUP)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout < 0 {
				return fmt.Errorf("--timeout %v: it can't be negative", timeout)
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return a.awaitOwner(ctx, group, timeout)
		},
	}
	c.Flags().StringVar(&group, "owner", "", "`GROUP` that this node is to have")
	timeVar(c, &timeout, "timeout", "wait at most for `TIME`, such as 30s or 5m; 0 waits for ever")
	_ = c.MarkFlagRequired("owner")
	return c
}

// errHas ends the wait.
var errHas = errors.New("this node has the group")

func (a *app) awaitOwner(ctx context.Context, group string, timeout time.Duration) error {
	heard := false
	err := a.followTenure(ctx, group, func(t ctlsocket.Tenure) error {
		heard = true
		if t.Owner {
			return errHas
		}
		return nil
	})
	switch {
	case errors.Is(err, errHas):
		return nil
	case ctx.Err() == nil || !errors.Is(err, context.DeadlineExceeded):
		return err
	case !heard: // it may just have had too little time
		return &ctlsocket.Error{Code: 409, Message: fmt.Sprintf("the daemon did not say within %v whether this node has %s", timeout, group), Hint: "vippyctl status says whether it answers"}
	}
	return &ctlsocket.Error{Code: 409, Message: fmt.Sprintf("this node does not have %s after %v", group, timeout), Hint: "vippyctl explain " + group + " says why"}
}
