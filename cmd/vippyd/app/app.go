// Package app is the vippyd command as a function, so that a program of your own can
// be vippyd with plugins compiled in:
//
//	func main() { os.Exit(app.Main(os.Args[1:], myPlugin{})) }
//
// It owns flags, signals, where the log goes, and exit codes, and leaves behaviour to
// the daemon.
package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/guard"
	"github.com/vippy-ha/vippy/plugin"
)

// The exit codes: of vippyd itself, and of check and lab, which answer a question.
const (
	exitStopped = 0
	exitFailure = 1
	exitConfig  = 78 // EX_CONFIG of sysexits.h

	exitYes      = 0
	exitNo       = 1
	exitCantTell = 2 // also: wrong usage
)

// guardCommand makes this program a guard. It is for vippyd itself, and comes before
// everything that a guard doesn't need.
const guardCommand = "guard"

// Main runs vippyd with the arguments that follow the program's name and returns its
// exit code. The plugins run as long as the daemon does, beside the checks of the
// config file.
func Main(args []string, plugins ...plugin.Plugin) int {
	if len(args) == 1 && args[0] == guardCommand {
		return guard.Main()
	}
	return run(args, stdio{os.Stdin, os.Stdout, os.Stderr}, plugins)
}

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// exit is an error that chose its exit code; without a cause there is nothing to print.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e exit) Unwrap() error { return e.err }

func run(args []string, std stdio, plugins []plugin.Plugin) int {
	root := newRoot(std, plugins)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for "look at os.Args"
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	err := root.Execute()
	if err == nil {
		return exitStopped
	}
	code := exitCantTell // what has no code of its own is wrong usage
	var chosen exit
	if errors.As(err, &chosen) {
		code = chosen.code
	}
	switch faults := config.AsFaults(err); {
	case faults != nil:
		fmt.Fprintln(std.err, faults.Error())
	case err.Error() != "":
		fmt.Fprintln(std.err, "vippyd: "+err.Error())
	}
	return code
}

func newRoot(std stdio, plugins []plugin.Plugin) *cobra.Command {
	var d daemonFlags
	root := &cobra.Command{
		Use:   "vippyd",
		Short: "Keep every virtual address on exactly one node",
		Long: `Keep every virtual address on exactly one node.

Runs in the foreground and logs to stderr until SIGTERM, SIGINT or SIGQUIT, then hands
over what it holds. SIGHUP reloads the config.

Exit status: 0 ordered to stop; 1 failure; 2 wrong usage; 78 config refused.`,
		Example: `  vippyd                             with /etc/vippy.conf, as this host's name
  vippyd -c my.conf -n node2         with another file, as another name
  vippyd check -c my.conf            is the file right, and what would this node do?
  vippyd lab                         watch three nodes juggle addresses, in namespaces`,
		Args:                       noArgs,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return runDaemon(cmd, d, std, plugins) },
	}
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.DisableDefaultCmd = true
	d.add(root)
	root.AddCommand(newCheck(std), newLab(std), newVersion(), newRehearse(std))
	return root
}

// noArgs is cobra.NoArgs with a next step.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("config") != nil && isFile(args[0]):
		return fmt.Errorf("unexpected %q: a config is named by -c (%s -c %s)", args[0], cmd.CommandPath(), args[0])
	case cmd.HasParent():
		return fmt.Errorf("%s takes no arguments, not %q (%s -h)", cmd.Name(), args[0], cmd.CommandPath())
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("no command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("no command %q (vippyd -h lists them)", args[0])
}

// flagError adds the next step to an error of the flags that has none.
func flagError(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "invalid argument") { // which says what is a valid one
		return err
	}
	return fmt.Errorf("%w (%s -h)", err, cmd.CommandPath())
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
