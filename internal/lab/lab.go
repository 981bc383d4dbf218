// Package lab owns the drill on real daemons: network namespaces joined by a bridge,
// real vippyd processes in them, a client that probes every virtual address, the faults,
// and the judgement of what the client saw and which kernels held what.
//
// It leaves alone how vippy decides. It trusts no daemon's opinion: ownership is read from
// the kernels' address tables, service from the client's answers; the status of a daemon
// is only asked whether it has finished. Everything is done through netlink and system
// calls: no external command, no named namespace, nothing that outlives the process.
package lab

import (
	"context"
	"errors"
	"io"
	"time"
)

// Options say what lab to build and what to do in it. The zero value of each field is
// its default.
type Options struct {
	// Vippyd is the binary to test; empty means the running one.
	Vippyd string
	// Nodes is how many nodes there are: 2 to 32, default 3.
	Nodes int
	// Groups is how many VIP groups there are: 1 to 1000, default 6. The first one
	// prefers node1, the second one has two addresses.
	Groups int
	// Interval and Stale go into the nodes' configs; 0 means vippyd's own default.
	Interval, Stale time.Duration
	// Faults are the faults to drill, in the order of FaultNames; empty means all.
	Faults []string
	// Runs is how often the drill is repeated, default 1.
	Runs int
	// JSON writes one object a line (CONTRACT "Lab JSON") instead of tables.
	JSON bool
	// Interactive leaves the cluster up and reads commands from Stdin instead.
	Interactive bool
	// Stdin, Stdout and Stderr default to the process's own. Results go to Stdout,
	// everything else to Stderr.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// ErrRefused is what Run's error wraps when the kernel doesn't let this user make network
// namespaces; the error says which setting refuses and what to do.
var ErrRefused = errors.New("the kernel refuses namespaces")

// FaultNames lists the drill in its order.
func FaultNames() []string {
	return []string{"none", "stop", "return", "kill", "hang", "wake", "link-down", "link-up",
		"cut", "heal", "split", "one-way-in", "one-way-out"}
}

// Run builds the lab, runs the drill and takes everything down again before it returns,
// also when ctx ends. ok says that after every fault every VIP was on exactly one node and
// that nobody held one twice, except in split. An error means that the lab can't tell.
//
// Exit status of a command around it: 0 for ok, 1 for not ok, 2 for an error.
//
// A user who may not make network namespaces gets a user namespace: Run then starts the
// running executable again with the same arguments (os.Args) and passes its verdict on, so
// the command line must lead back to Run with the same Options.
func Run(ctx context.Context, o Options) (ok bool, err error) {
	return false, errors.New("lab: not built yet")
}
