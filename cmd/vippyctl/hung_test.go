package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
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
		}, "the daemon did not say within 1s whether this node has web"},
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

// Who waits no longer than for a time is told that the group isn't here, once it was said.
func TestWaitIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &app{client: ctlsocket.Client{Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				_, _ = http.ReadRequest(bufio.NewReader(there))
				_, _ = io.WriteString(there, "HTTP/1.1 200 OK\r\n\r\n{\"owner\":false}\n")
			}()
			return here, nil
		}}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err, refusal := a.awaitOwner(ctx, "web", time.Second), (*ctlsocket.Error)(nil)
		if !errors.As(err, &refusal) || refusal.Message != "this node does not have web after 1s" || refusal.Hint != "vippyctl explain web says why" {
			t.Errorf("got %v", err)
		}
	})
}
