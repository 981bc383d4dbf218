package main

import (
	"bytes"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) peers() *cobra.Command {
	return &cobra.Command{
		Use:   "peers",
		Short: "Show how this node and the others hear each other",
		Long: `Show how this node and the others hear each other.

  live     both hear each other
  one-way  heard here, but it doesn't hear this node
  deaf     heard here, but it hears nobody
  absent   not heard here

Exit status: 0 every peer is live; 1 one is not; 2 no daemon.`,
		Example:    "  vippyctl peers",
		SuggestFor: []string{"nodes", "members"},
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd, a, "/peers", printPeers)
		},
	}
}

func printPeers(b *bytes.Buffer, peers []ctlsocket.Peer) error {
	if len(peers) == 0 {
		fmt.Fprintln(b, "the plan has no other nodes")
		return nil
	}
	live := 0
	var t table
	t.row("", "NODE", "STATE", "ELIGIBLE", "PLAN", "HEARD", "WHY NOT")
	for _, p := range peers {
		mark := "!!"
		if p.State == ctlsocket.PeerLive {
			live++
			mark = ""
		}
		plan, heard := "-", "never"
		if p.PlanDigest != "" {
			plan = fmt.Sprintf("%d (%.8s)", p.PlanVersion, p.PlanDigest)
		}
		if p.LastHeardMS != ctlsocket.NeverHeard {
			heard = age(time.Duration(p.LastHeardMS)*time.Millisecond) + " ago"
		}
		t.row(mark, p.Node, string(p.State), yes(p.Eligible), plan, heard, p.Reason)
	}
	t.print(b)
	if live < len(peers) {
		return errNo
	}
	return nil
}
