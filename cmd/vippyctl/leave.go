package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// How long a daemon may take to end, and how often it is looked for.
const (
	leaveTime  = 10 * time.Second
	leaveEvery = 50 * time.Millisecond
)

func (a *app) leave() *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "Hand over what this node holds, and end its daemon",
		Long: `Hand over what this node holds, drop what nobody takes, say farewell and end the daemon, as
SIGTERM does, and wait for that. It is out until it is started again (systemctl start vippyd).
To keep it in the cluster, but without groups, use drain.

Exit status: 0 it has ended; 1 it goes on, or was started again at once.`,
		Example:    "  sudo vippyctl leave",
		SuggestFor: []string{"stop", "exit", "quit", "shutdown"},
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), changeTime)
			defer cancel()
			before, err := a.client.Status(ctx)
			if err != nil {
				return err
			}
			if _, err := a.client.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Leave}); err != nil {
				return err
			}
			if err := a.awaitEnd(cmd.Context(), before); err != nil {
				return err
			}
			return a.done(cmd, before.Identity+" has left")
		},
	}
}

// awaitEnd returns when nobody listens any more. A daemon that doesn't answer has not ended.
func (a *app) awaitEnd(ctx context.Context, before ctlsocket.Status) error {
	late, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	for {
		now, err := a.client.Status(late)
		none := (*ctlsocket.NoAnswer)(nil)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &none) && none.Nobody():
			return nil
		case err == nil && now.Program.Boot != before.Program.Boot:
			return &ctlsocket.Error{Code: 409, Message: "it has left, and was started again at once",
				Hint: "the service manager did that: systemctl stop vippyd keeps it down"}
		case late.Err() != nil:
			return &ctlsocket.Error{Code: 409, Message: fmt.Sprintf("%s has not ended after %v", before.Identity, leaveTime), Hint: "its log says why"}
		}
		select {
		case <-time.After(leaveEvery):
		case <-late.Done():
		}
	}
}
