package app

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/lab"
)

func newLab(std stdio) *cobra.Command {
	var o lab.Options
	var partition string
	c := &cobra.Command{
		Use:   "lab",
		Short: "Watch nodes juggle addresses in network namespaces, under faults",
		Long: `Build nodes and a client in network namespaces, run this vippyd in each node, and
measure what the client sees while faults happen. Nothing outside the namespaces is
touched, and nothing is left.

Exit status: 0 after every fault every address was on one node, and never on two; 1 not
so; 2 can't tell, as where the kernel refuses namespaces.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if partition != "available" && partition != "single" {
				return fmt.Errorf("--partition: %q is not one of available, single", partition)
			}
			o.Single = partition == "single"
			if !cmd.Flags().Changed("seed") {
				o.Seed = rand.Uint64()
			}
			return runLab(cmd.Context(), o, std)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.JSON, "json", false, "print one JSON object a line")
	f.IntVar(&o.Nodes, "nodes", 3, "how many nodes")
	f.IntVar(&o.Groups, "groups", 6, "how many groups")
	f.IntVar(&o.VIPs, "vips", 0, "hit always node1, which has so many VIPs, instead of one node after the other")
	f.StringVar(&partition, "partition", "available", "or single: only a majority serves; two nodes get a voter, and the drill is shorter")
	f.BoolVar(&o.Unicast, "unicast", false, "the nodes talk by unicast only, as where multicast is filtered")
	f.BoolVar(&o.Notify, "notify", false, "the nodes tell the whole subnet, a /16, and each other's neighbours (notify)")
	f.Var((*seconds)(&o.Interval), "interval", "seconds between two announcements (default: vippyd's)")
	f.Var((*seconds)(&o.Stale), "stale", "seconds of silence that are borne (default: vippyd's)")
	f.StringArrayVar(&o.Faults, "fault", nil, "do only this fault (may be repeated): "+strings.Join(lab.FaultNames(), ", "))
	f.Var((*seconds)(&o.Flood), "flood", "how long the fault flood lasts (default: 2)")
	f.IntVar(&o.Runs, "runs", 1, "how often to do the drill")
	f.Var((*seconds)(&o.Soak), "soak", "do one or two faults at a time at random, for so long, and look for leaks")
	f.Uint64Var(&o.Seed, "seed", 0, "of the soak: the same faults again (default: a new one)")
	f.BoolVar(&o.Interactive, "interactive", false, "leave the nodes up and ask what to do")
	return c
}

func runLab(ctx context.Context, o lab.Options, std stdio) error {
	// SIGPIPE: nobody reads on, as behind a pipe to head. It takes itself down all the same.
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPIPE)
	defer stop()
	o.Stdin, o.Stdout, o.Stderr = std.in, std.out, std.err
	ok, err := lab.Run(ctx, o)
	switch {
	case err != nil:
		return exit{exitCantTell, fmt.Errorf("lab: %w", err)}
	case !ok:
		return exit{exitNo, nil}
	}
	return nil
}

// seconds is a flag that reads like the config: a number of seconds. Go's durations
// ("150ms") are understood as well.
type seconds time.Duration

func (s *seconds) String() string { return "" }

// Type names the flag's value in the help.
func (s *seconds) Type() string { return "SECONDS" }

// Set reads the value.
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n < math.MaxInt32 {
		*s = seconds(n * float64(time.Second))
		return nil
	}
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		*s = seconds(d)
		return nil
	}
	return fmt.Errorf("%q is not a number of seconds", text)
}
