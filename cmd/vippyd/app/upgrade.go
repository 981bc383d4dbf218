package app

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/daemon"
	"github.com/vippy-ha/vippy/internal/upgrade"
)

// newRehearse is how a running vippyd asks this program whether it could go on from where
// that one is. It is for vippyd itself.
func newRehearse(std stdio) *cobra.Command {
	var d daemonFlags
	c := &cobra.Command{
		Use:    upgrade.Command,
		Short:  "Say whether this program could take over from a running one (for vippyd itself)",
		Hidden: true,
		Args:   noArgs,
		RunE:   func(*cobra.Command, []string) error { return rehearse(d, std) },
	}
	d.add(c)
	return c
}

func rehearse(f daemonFlags, std stdio) error {
	if _, err := parseLevel(f.level); err != nil {
		return err
	}
	if _, err := extra(f.plugins); err != nil {
		return err
	}
	state, err := io.ReadAll(std.in)
	if err != nil {
		return exit{exitFailure, err}
	}
	c, node, err := load(f.file, f.node)
	if err != nil {
		return exit{exitConfig, err}
	}
	if err := daemon.Rehearse(daemon.Options{Config: c, Node: node}, state); err != nil {
		return exit{exitFailure, err}
	}
	return json.NewEncoder(std.out).Encode(upgrade.Verdict{Version: version()})
}

// newSuccessor returns the program that an upgrade would start, which is whatever stands
// by then where this one was started from.
func newSuccessor(s *signals, log *queue) (*upgrade.Successor, error) {
	path, err := upgrade.Path()
	if err != nil {
		return nil, fmt.Errorf("where this program is: %w", err)
	}
	return &upgrade.Successor{
		Binary: path,
		Args:   slices.Clone(os.Args[1:]),
		Exec: func(binary string, argv, env []string) error {
			log.flush()
			// A SIGHUP would kill a program that doesn't listen to it yet; and that one
			// reads the file anyway.
			signal.Ignore(unix.SIGHUP)
			err := unix.Exec(binary, argv, env)
			signal.Notify(s.caught, unix.SIGHUP)
			return err
		},
	}, nil
}
