package main

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A daemon that hangs is neither gone, for who waits for its end, nor silent because nothing
// happens, for who follows its events; nor is a group elsewhere, for who waits for it.
func TestHung(t *testing.T) {
	for name, tt := range map[string]struct {
		run  func(context.Context, *app) error
		want string
	}{
		"leave": {func(ctx context.Context, a *app) error {
			return a.awaitEnd(ctx, ctlsocket.Status{Identity: "node1"})
		}, "node1 has not ended after 10s"},
		"events -f": {func(ctx context.Context, a *app) error {
			c := &cobra.Command{}
			c.SetContext(ctx)
			c.SetOut(io.Discard)
			return a.printEvents(c, true)
		}, "does not answer: is it stopped or hung?"},
		"wait": {func(ctx context.Context, a *app) error {
			return a.awaitOwner(ctx, "web", time.Minute)
		}, "does not answer: is it stopped or hung?"},
		"wait a second": {func(ctx context.Context, a *app) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			return a.awaitOwner(ctx, "web", time.Second)
		}, "does not answer: is it stopped or hung?"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &app{client: ctlsocket.Client{Dial: func(context.Context) (net.Conn, error) {
					here, there := net.Pipe()
					go func() { _, _ = io.Copy(io.Discard, there) }() // it listens, and says nothing
					return here, nil
				}}}
				if err := tt.run(t.Context(), a); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
			})
		})
	}
}
