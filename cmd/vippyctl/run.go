package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func (a *app) run() *cobra.Command {
	var group string
	grace := time.Second
	c := &cobra.Command{
		Use:                   "run --while-owner GROUP [--grace TIME] -- COMMAND [ARG...]",
		DisableFlagsInUseLine: true,
		Short:                 "Run a command while this node has a group",
		Long: `Start COMMAND whenever this node acquires the group, and stop it when the node loses the
group: with SIGTERM, and after the grace period with SIGKILL, together with all processes
that it started. It is stopped too when the daemon ends, or does not speak for as long as it may
have addresses. A group without addresses makes this a leader election.

While COMMAND runs, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 and SIGWINCH are passed
on to it; else the first four of them end vippyctl.
Exit status: that of COMMAND when it ends by itself, 128 + N when signal N ended it, or ended
vippyctl; 126 it can't be started, 127 it is not found; 2 no daemon, or it ended; no such group.`,
		Example: `  vippyctl run --while-owner leader -- /usr/local/bin/scheduler --config /etc/scheduler.conf
  vippyctl run --while-owner web --grace 10s -- sh -c 'echo "$VIPPY_GROUP is here"; exec backup'`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("run which command? (vippyctl run --while-owner GROUP -- COMMAND)")
			case group == "":
				return errors.New("run it while which group is here? (vippyctl run --while-owner GROUP -- COMMAND)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if grace < 0 {
				return fmt.Errorf("--grace %v: it can't be negative", grace)
			}
			s := &sidecar{group: group, args: args, grace: grace, log: cmd.ErrOrStderr()}
			return s.run(cmd.Context(), a)
		},
	}
	c.Flags().StringVar(&group, "while-owner", "", "`GROUP` that this node must have")
	timeVar(c, &grace, "grace", "how much `TIME` COMMAND has to end after SIGTERM, such as 10s; 0 kills it at once")
	c.Flags().SetInterspersed(false) // what follows COMMAND is its own
	_ = c.MarkFlagRequired("while-owner")
	return c
}

// exitCode is a command's exit code, as that of this program.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// The exit codes of shells for what can't be run, and what a signal ended.
const (
	exitCantRun  = 126
	exitNotFound = 127
	exitSignal   = 128
)

// A sidecar runs a command while this node has a group. It shares the standard input and
// output of this process.
type sidecar struct {
	group string
	args  []string
	grace time.Duration
	// log says what it does to the command.
	log io.Writer

	// running is the command with all that it started, nil for none.
	running *family
	// ending: it was told to end, because this node has the group no more; exited: it has
	// ended, and what it started is yet to.
	ending, exited bool
	// kill comes when what is left is killed.
	kill <-chan time.Time
}

// killAgain is how soon is killed what was not found the first time.
const killAgain = 20 * time.Millisecond

// passed are the signals that the command gets.
var passed = []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH}

// fatal says whether one of them ends this program while there is no command.
func fatal(s os.Signal) bool {
	return s == unix.SIGTERM || s == unix.SIGINT || s == unix.SIGHUP || s == unix.SIGQUIT
}

func (s *sidecar) run(ctx context.Context, a *app) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passed...)
	defer signal.Stop(signals)

	ctx, cancel := context.WithCancel(ctx)
	tenures, lost := make(chan ctlsocket.Tenure), make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lost <- a.followTenure(ctx, s.group, func(t ctlsocket.Tenure) error {
			select {
			case tenures <- t:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := s.supervise(signals, tenures, lost)
	cancel()
	<-done
	return err
}

// supervise is the loop. It returns when the command ended by itself, when nobody can
// tell any more who has the group, or when there is no command and a signal comes.
func (s *sidecar) supervise(signals <-chan os.Signal, tenures <-chan ctlsocket.Tenure, lost <-chan error) error {
	// granted comes when this node may not have the group any more, though nobody said so.
	granted := time.NewTimer(time.Hour)
	granted.Stop()
	defer granted.Stop()
	has := false
	var end error
	for {
		switch {
		case s.running != nil && !has:
			s.end()
		case s.running == nil && end != nil:
			return end
		case s.running == nil && has:
			if err := s.start(); err != nil {
				return err
			}
		}
		var exited, gone <-chan struct{}
		if s.running != nil {
			gone = s.running.gone
			if !s.exited {
				exited = s.running.exited
			}
		}
		select {
		case t := <-tenures:
			has = t.Owner
			granted.Reset(time.Duration(t.RemainingMS) * time.Millisecond)
		case <-granted.C:
			has = false
		case end = <-lost:
			has = false
		case sig := <-signals:
			if s.running != nil {
				s.running.signal(sig.(unix.Signal))
			}
			if fatal(sig) && (s.running == nil || s.ending) {
				end = exitCode(exitSignal + int(sig.(unix.Signal)))
			}
		case <-exited:
			s.exited = true
			if !s.ending { // what it left behind has no time
				s.kill = time.After(0)
			}
		case <-s.kill:
			s.running.kill()
			s.kill = time.After(killAgain)
		case <-gone:
			if !s.ending {
				return s.running.code
			}
			s.running, s.kill = nil, nil
		}
	}
}

func (s *sidecar) start() error {
	f, err := start(s.args, []string{"VIPPY_GROUP=" + s.group})
	if err == nil {
		s.running, s.ending, s.exited, s.kill = f, false, false, nil
		return nil
	}
	fmt.Fprintf(s.log, "vippyctl: %v\n", err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitCode(exitNotFound)
	}
	return exitCode(exitCantRun)
}

// end tells the command to end, once, unless it has.
func (s *sidecar) end() {
	if s.ending || s.exited {
		return
	}
	s.ending = true
	fmt.Fprintf(s.log, "vippyctl: this node does not have %s any more: %s is ended\n", s.group, s.args[0])
	if s.grace > 0 {
		s.running.signal(unix.SIGTERM)
	}
	s.kill = time.After(s.grace)
}
