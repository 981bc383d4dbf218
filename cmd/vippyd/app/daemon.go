package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/daemon"
	"github.com/vippy-ha/vippy/internal/upgrade"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

type daemonFlags struct {
	file, node, level string
	plugins           []string
}

func (d *daemonFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&d.file, "config", "c", config.DefaultPath, "config `FILE`")
	f.StringVarP(&d.node, "node", "n", "", "this node's `NAME` in the config (default: the host name, or its part before the first dot)")
	f.StringArrayVarP(&d.plugins, "plugin", "p", nil, "run the program `FILE` as a plugin beside those of the config (may be repeated)")
	f.StringVar(&d.level, "log-level", "", "log from `LEVEL` on (debug, info, warn, error) instead of by the config's mask")
}

// runDaemon is vippyd without a subcommand.
func runDaemon(cmd *cobra.Command, f daemonFlags, std stdio, plugins []plugin.Plugin) error {
	level, err := parseLevel(f.level)
	if err != nil {
		return err
	}
	useOneProcessor()
	outlivePipes()
	left, err := upgrade.Inherited()
	if err != nil {
		return exit{exitFailure, err}
	}
	named, err := extra(f.plugins)
	if err != nil && left == nil { // what took over has to go on, be it with a plugin that fails
		return err
	}
	ctx, s := catch(cmd.Context())
	defer s.stop()
	c, node, err := load(f.file, f.node)
	if err != nil {
		return exit{exitConfig, err}
	}
	if left == nil { // what took over has addresses to extend
		c.Notices = append(c.Notices, advice(c, node)...)
	}
	out, err := openLog(c.Logging, level, std.err)
	if err != nil {
		return exit{exitFailure, err}
	}
	log := newQueue(out)
	defer log.close()
	slog.SetDefault(log.logger()) // for what libraries say
	next, err := newSuccessor(s, log)
	if err != nil {
		return exit{exitFailure, err}
	}
	err = daemon.Run(ctx, daemon.Options{
		Config:  c,
		Load:    loadHere,
		Node:    node,
		Version: version(),
		Plugins: func(c *config.Config) []plugin.Plugin { return slices.Concat(plugins, checks(c), programs(c), named) },
		Log:     log.logger(),
		Relog: func(l config.Logging) (func(bool), error) {
			next, err := openLog(l, level, std.err)
			return func(use bool) { log.settle(next, use) }, err
		},
		Reload: s.reload,
		Hurry:  s.hurry,
		Guard:  []string{guardCommand},

		Successor: next,
		Handover:  left,
	})
	if err != nil {
		return exit{exitFailure, err}
	}
	return nil
}

// outlivePipes keeps a log pipe whose reader died from taking the daemon with it. The
// signal is taken and thrown away, since one that is ignored would be ignored by all that
// the daemon starts, too: a check's pipelines would not end, nor plugins whose daemon did.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE) }

// parseLevel returns nil for "", which leaves the choice to the config.
func parseLevel(name string) (*slog.Level, error) {
	if name == "" {
		return nil, nil
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return nil, fmt.Errorf("--log-level: %q is not one of debug, info, warn, error", name)
	}
	return &l, nil
}

// load reads the file as the node of the given name; "" means the host name, or the
// part before its first dot where only that is in the plan.
func load(file, node string) (*config.Config, string, error) {
	if node != "" {
		c, err := config.Load(file, node)
		return c, node, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, "", fmt.Errorf("host name: %w (-n NAME says it)", err)
	}
	c, err := config.Load(file, host)
	if err != nil {
		return nil, "", err
	}
	if node = nameIn(c.Plan, host); node != host {
		c, err = config.Load(file, node) // for its notices
	}
	return c, node, err
}

// loadHere is config.Load, with what is worth a thought on this host among the notices.
func loadHere(file, node string) (*config.Config, error) {
	c, err := config.Load(file, node)
	if err == nil {
		c.Notices = append(c.Notices, advice(c, node)...)
	}
	return c, err
}

// nameIn returns the name of a host in a plan, be it one of nodes or of voters.
func nameIn(p vipgroup.Plan, host string) string {
	short, _, _ := strings.Cut(host, ".")
	if p.Member(host) < 0 && p.Member(short) >= 0 {
		return short
	}
	return host
}

// signals are the ones that a daemon understands. SIGABRT is left to Go, which prints
// all goroutines.
type signals struct {
	// reload has a value for SIGHUPs not yet answered.
	reload chan struct{}
	// hurry is closed by the second order to stop.
	hurry chan struct{}
	stop  func()
	// caught is where they arrive.
	caught chan os.Signal
}

// catch returns a context that SIGTERM, SIGINT or SIGQUIT ends, with the signal's name as the
// cause, which the log tells. stop gives the signals back and waits for the goroutine that
// listens.
func catch(parent context.Context) (context.Context, *signals) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 8)
	s := &signals{reload: make(chan struct{}, 1), hurry: make(chan struct{}), caught: caught}
	signal.Notify(caught, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP)
	quit, done := make(chan struct{}), make(chan struct{})
	s.stop = func() {
		signal.Stop(caught)
		close(quit)
		<-done
		cancel(nil)
	}
	go func() {
		defer close(done)
		orders := 0
		for {
			select {
			case sig := <-caught:
				if sig == unix.SIGHUP {
					select {
					case s.reload <- struct{}{}:
					default:
					}
					continue
				}
				switch orders++; orders {
				case 1:
					cancel(errors.New(sig.String()))
				case 2:
					close(s.hurry)
				}
			case <-quit:
				return
			}
		}
	}()
	return ctx, s
}
