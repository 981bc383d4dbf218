package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// How long a person waits before "it does not answer" is the better news. A change may
// have to wait for other nodes.
const (
	askTime    = 5 * time.Second
	changeTime = 30 * time.Second
)

// ask gets the JSON of a path and prints it, if JSON is wanted, with fields that this
// program doesn't know; else it prints what text makes of it. What text returns is the
// verdict in both cases.
func ask[T any](cmd *cobra.Command, a *app, path string, text func(*bytes.Buffer, T) error) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), askTime)
	defer cancel()
	data, err := a.client.Get(ctx, path)
	if err != nil {
		return err
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("%s answered something else than expected: %w (is it another version?)", a.client.Socket, err)
	}
	var b bytes.Buffer
	verdict := text(&b, v)
	if a.output == "json" {
		return cmp.Or(printJSON(cmd.OutOrStdout(), data), verdict)
	}
	_, err = b.WriteTo(cmd.OutOrStdout())
	return cmp.Or(err, verdict)
}

// soon returns the status of a daemon that answers within askTime.
func (a *app) soon(ctx context.Context) (ctlsocket.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return a.client.Status(ctx)
}

// change is a command that makes a change.
func (a *app) change(verb ctlsocket.Verb, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:     string(verb),
		Short:   short,
		Long:    long,
		Example: fmt.Sprintf("  sudo vippyctl %s", verb),
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd, ctlsocket.Command{Verb: verb})
		},
	}
}

// do makes a change and prints what the daemon says of it.
func (a *app) do(cmd *cobra.Command, c ctlsocket.Command) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), changeTime)
	defer cancel()
	message, err := a.client.Do(ctx, c)
	if err != nil {
		return err
	}
	return a.done(cmd, message)
}

// done prints that a change was made.
func (a *app) done(cmd *cobra.Command, message string) error {
	if a.output == "text" {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), printable(message))
		return err
	}
	data, err := json.Marshal(ctlsocket.Result{OK: true, Message: message})
	return cmp.Or(err, printJSON(cmd.OutOrStdout(), data))
}

func printJSON(w io.Writer, data []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := b.WriteTo(w)
	return err
}
