// Package app is the vippyd command as a function, so that a program of your own can
// be vippyd with plugins compiled in:
//
//	func main() { os.Exit(app.Main(os.Args[1:], myPlugin{})) }
//
// It owns flags, signals and exit codes, and leaves behaviour to the daemon.
package app

import "github.com/vippy-ha/vippy/plugin"

// Exit codes of vippyd; its subcommands check and lab answer 0 (yes), 1 (no) and 2
// (can't tell) instead.
const (
	exitStopped = 0
	exitFailure = 1
	exitUsage   = 2
	exitConfig  = 78 // EX_CONFIG of sysexits.h
)

// Main runs vippyd with the arguments that follow the program's name and returns its
// exit code. The plugins run as long as the daemon does.
func Main(args []string, plugins ...plugin.Plugin) int { return exitFailure }
