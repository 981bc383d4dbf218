// Package lab owns the drill on real daemons: network namespaces joined by a bridge,
// real vippyd processes in them, a client that probes every virtual address, the faults,
// and the judgement of what the client saw and which kernels held what.
//
// It leaves alone how vippy decides. It trusts no daemon's opinion: ownership is read from
// the kernels' address tables, service from the client's answers, neither ever from a status;
// some faults also judge what the status says. The lab sets up and faults the network by
// netlink and system calls; only a node's stand-in service and its hostile plugins are
// external programs. No named namespace, nothing outlives the process.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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
	// VIPs, where not 0, makes the first node the victim of every fault and gives it so many
	// VIPs, 1 to 900, each a group that prefers it; each other node gets one. Groups is then
	// what that makes.
	VIPs int
	// Interval and Stale go into the nodes' configs; 0 means vippyd's own default.
	Interval, Stale time.Duration
	// Flood is how long the fault flood lasts, default 2 s.
	Flood time.Duration
	// Single makes the plan's partition "single": only a majority serves. Two nodes get a
	// voter. The drill is then a shorter one, for faults that a majority can bear.
	Single bool
	// Unicast lets the nodes talk by unicast only (chat: none), on a switch that carries no
	// multicast.
	Unicast bool
	// Notify has the nodes tell every host of the subnet, a /16, of each address that they take.
	Notify bool
	// Faults are the faults to drill, done in the order of FaultNames; empty means all.
	Faults []string
	// Runs is how often the drill is repeated, default 1.
	Runs int
	// Soak, if positive, replaces the drill by random faults for that long; Seed determines
	// them. It needs root.
	Soak time.Duration
	Seed uint64
	// JSON writes one object a line (docs/reference.md "Lab") instead of tables.
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
	if err := o.complete(); err != nil {
		return false, err
	}
	if err := mayNamespace(); err != nil {
		if !errors.Is(err, os.ErrPermission) || os.Getenv(insideEnv) != "" {
			return false, refusal(err)
		}
		return inUserNamespace(ctx, o)
	}
	defer steady(o.Nodes)()
	s := newScreen(o)
	c, err := newCluster(o)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return false, fmt.Errorf("build the lab: %w", err)
	}
	s.say("lab: %d nodes and a client on a bridge, %d groups; every VIP is probed every %v, or up to %d of the victim's every %v",
		len(c.nodes), len(c.groups), c.probe.turn(), inFocus, tick)
	defer func() {
		if cerr := c.close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("take the lab down: %w", cerr))
		}
	}()
	d := &driller{cluster: c, screen: s}
	if o.VIPs > 0 {
		d.always = c.nodes[0]
	}
	begin := now()
	s.doing("start", "")
	wrong, err := c.settle(ctx, nil, 0, d.see)
	if err != nil {
		return false, fmt.Errorf("wait until all VIPs are held: %w", err)
	}
	if wrong != "" {
		s.say("lab: the cluster does not come up: %s", wrong)
		s.summary(nil, c.times())
		return false, nil
	}
	s.say("lab: all VIPs are held %.1f s after the start", begin.since().Seconds())
	if o.Interactive {
		c.probe.begin()
		return true, d.interact(ctx, o.Stdin)
	}
	if o.Soak > 0 {
		return d.soak(ctx, o)
	}
	results, err := d.run(ctx, o.scenarios(), o.Faults, o.Runs)
	if err != nil {
		return false, fmt.Errorf("ended after %d results: %w", len(results), err)
	}
	s.summary(results, c.times())
	return verdict(results), nil
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	o.streams()
	for v, def := range map[*int]int{&o.Nodes: 3, &o.Groups: 6, &o.Runs: 1} {
		if *v == 0 {
			*v = def
		}
	}
	switch {
	case o.Nodes < 2 || o.Nodes > 32:
		return fmt.Errorf("%d nodes; it has 2 to 32", o.Nodes)
	case o.Groups < 1 || o.Groups > 1000:
		return fmt.Errorf("%d groups; it has 1 to 1000", o.Groups)
	case o.VIPs < 0 || o.VIPs > 900:
		return fmt.Errorf("%d VIPs; the victim can have 1 to 900", o.VIPs)
	case o.Runs < 1:
		return fmt.Errorf("%d runs", o.Runs)
	case o.Soak < 0:
		return fmt.Errorf("a soak of %v", o.Soak)
	case o.Soak > 0 && (o.Single || o.Nodes < 3):
		return errors.New("a soak needs three nodes of which each side serves: two faults at once leave no majority")
	case o.Soak > 0 && os.Getenv(insideEnv) != "":
		return errors.New("a soak needs root: it reads from /proc what daemons use")
	case o.Interval < 0 || o.Stale < 0 || o.Flood < 0:
		return errors.New("interval, stale and flood can't be negative")
	}
	if o.Flood == 0 {
		o.Flood = 2 * time.Second
	}
	names := faultNames(o.scenarios())
	for _, f := range o.Faults {
		if !slices.Contains(names, f) {
			return fmt.Errorf("this drill has no fault %q; its faults are %s", f, strings.Join(names, ", "))
		}
	}
	if len(o.Faults) == 0 {
		o.Faults = names
	}
	if o.Vippyd == "" {
		path, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the running vippyd: %w", err)
		}
		o.Vippyd = path
	}
	return nil
}

// streams fills in the process's own streams.
func (o *Options) streams() {
	if o.Stdin == nil {
		o.Stdin = os.Stdin
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
}
