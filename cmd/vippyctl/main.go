// Vippyctl asks a running vippyd, and tells it what to do.
//
// It owns the words for people: commands, tables, exit codes. What there is to know it
// has from ctlsocket; it never looks at the network or the kernel itself.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// The exit codes. A script that asks "is all well?" must be able to tell "no" from
// "nobody knows".
const (
	exitYes  = 0 // yes, or done
	exitNo   = 1 // no, or not done because the daemon says no
	exitDont = 2 // don't know: wrong usage, no daemon, can't tell
)

// errNo is a bad answer that has been printed already.
var errNo = errors.New("the answer is no")

// run is the whole program.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	completion(root)
	// Cobra takes nil for "look at os.Args".
	root.SetArgs(append([]string{}, args...))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitYes
	}
	if errors.Is(err, errNo) {
		return exitNo
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	refusal := (*ctlsocket.Error)(nil)
	if !errors.As(err, &refusal) {
		hint := ""
		if none, is := err.(*ctlsocket.NoAnswer); is && none.Nobody() { // not one that ended meanwhile
			hint = " (-s PATH for another)"
		}
		fmt.Fprintf(stderr, "vippyctl: %s%s\n", printable(err.Error()), hint)
		return exitDont
	}
	fmt.Fprintf(stderr, "vippyctl: %s\n", printable(refusal.Message))
	if refusal.Hint != "" {
		fmt.Fprintf(stderr, "vippyctl: hint: %s\n", printable(refusal.Hint))
	}
	if refusal.Answered() {
		return exitNo
	}
	return exitDont
}

// An app is what the flags before and after a command say.
type app struct {
	client ctlsocket.Client
	output format
}

func newRoot() *cobra.Command {
	a := &app{output: "text"}
	root := &cobra.Command{
		Use:   "vippyctl COMMAND",
		Short: "Ask a running vippyd, and tell it what to do",
		Example: `  vippyctl status                  who has which address, and is all well?
  vippyctl explain 10.8.3.38       why is this address where it is?
  vippyctl drain --for 30m         hand everything over before maintenance
  vippyctl undrain                 and take part again
  vippyctl move web node2          hand a group over to a node
  vippyctl upgrade                 run the new program, moving nothing
  vippyctl status -o json | jq     the same for scripts`,
		Long: `Ask a running vippyd, and tell it what to do.

Exit status: 0 yes or done; 1 the answer is bad; 2 wrong usage, no daemon, can't tell.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			_ = cmd.Help()
			return errors.New("which command?")
		},
		SuggestionsMinimumDistance: 2,
	}
	root.PersistentFlags().StringVarP(&a.client.Socket, "socket", "s", ctlsocket.DefaultSocket, "`PATH` of the daemon's management socket")
	root.PersistentFlags().VarP(&a.output, "output", "o", "text for people or json for scripts")
	root.AddCommand(a.status(), a.peers(), a.explain(), a.events(), a.plan(), a.plugins(),
		a.drain(),
		a.undrain(),
		a.move(),
		a.rebalance(),
		a.leave(),
		a.change(ctlsocket.Reload, "Read the config file again",
			"Read the config file again. A file with faults changes nothing: they are printed,\n"+
				"and the exit status is 1. Groups that did not change are not touched."),
		a.upgrade(), a.wait(), a.run(),
		version())
	root.SetFlagErrorFunc(flagError)
	if err := a.complete(root); err != nil {
		panic("vippyctl: " + err.Error()) // a flag that there isn't
	}
	return root
}

// knownCommand refuses a word that is none of the commands and names the nearest one.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 || args[0] == "" {
		return nil
	}
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("no command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("no command %q (vippyctl -h lists them)", args[0])
}

// noArgs refuses words after a command that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, not %q (vippyctl %s -h)", cmd.Name(), args[0], cmd.Name())
	}
	return nil
}

// flagError adds the next step to an error of the flags that has none.
func flagError(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "invalid argument") { // which says what is a valid one
		return err
	}
	return fmt.Errorf("%w (%s -h)", err, cmd.CommandPath())
}

// A format is the value of the flag -o.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "FORMAT" }

// Set refuses what is not a format.
func (f *format) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("it is text or json")
	}
	*f = format(s)
	return nil
}
