package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// A scenario is faults that belong together, done to one victim one after the other; mend
// is the fault, not reported, that undoes the last one, "" where nothing is to undo.
type scenario struct {
	faults []string
	mend   string
}

// drill is every scenario in its order.
var drill = []scenario{
	{faults: []string{"none"}},
	{faults: []string{"stop", "return"}},
	{faults: []string{"kill"}, mend: "return"},
	{faults: []string{"kill-guard"}},
	{faults: []string{"kill-both"}, mend: "return"},
	{faults: []string{"hang", "wake"}},
	{faults: []string{"link-down", "link-up"}},
	{faults: []string{"cut", "heal"}},
	{faults: []string{"split"}, mend: "heal"},
	{faults: []string{"one-way-in"}, mend: "heal"},
	{faults: []string{"one-way-out"}, mend: "heal"},
	{faults: []string{"starve"}},
	{faults: []string{"freeze"}, mend: "return"},
	{faults: []string{"meddle"}},
	{faults: []string{"contest"}},
	{faults: []string{"foreign-key"}, mend: "return"},
	{faults: []string{"reload"}, mend: "reload-back"},
}

// FaultNames lists the drill in its order.
func FaultNames() []string {
	var out []string
	for _, s := range drill {
		out = append(out, s.faults...)
	}
	return out
}

// empties says whether a fault takes everything from its victim.
func empties(fault string) bool {
	return slices.Contains([]string{"stop", "kill", "kill-both", "hang", "link-down", "cut", "one-way-in", "one-way-out",
		"freeze", "foreign-key"}, fault)
}

// twoOwners says whether a fault may put an address on two nodes (DESIGN: full cut).
func twoOwners(fault string) bool { return fault == "split" }

// inflict does a fault to a node.
func (c *cluster) inflict(ctx context.Context, fault string, n *node) error {
	switch fault {
	case "none":
		return nil
	case "stop":
		return n.stop(ctx)
	case "return":
		return c.bringBack(ctx, n)
	case "kill":
		n.wanted, n.hung, n.foreign = false, false, false
		return errors.Join(n.endFrozen(), n.proc.kill())
	case "kill-guard":
		return n.killGuard(ctx)
	case "kill-both":
		if err := n.killGuard(ctx); err != nil {
			return err
		}
		n.wanted = false
		return n.proc.kill()
	case "hang":
		n.hung, n.wanted = true, false // its guard ends it
		return n.proc.signal(unix.SIGSTOP)
	case "wake":
		if n.frozen != 0 || !n.proc.running() {
			return c.bringBack(ctx, n) // as a service manager would
		}
		n.hung = false
		n.wanted = true
		return n.proc.signal(unix.SIGCONT)
	case "link-down":
		n.cut = true
		return n.carrier(false)
	case "link-up":
		n.cut = false
		return n.carrier(true)
	case "cut":
		n.cut = true
		return n.both(false)
	case "one-way-in": // it hears nobody
		n.cut = true
		return n.input(false)
	case "one-way-out": // nobody hears it
		n.cut = true
		return n.output(false)
	case "heal":
		for _, other := range c.nodes {
			if err := other.isolate(false); err != nil {
				return err
			}
		}
		n.cut = false
		return n.both(true)
	case "starve":
		return n.starve(starved)
	case "freeze":
		return n.freeze(ctx)
	case "meddle":
		return c.meddle(n)
	case "contest":
		return c.contest(ctx, n)
	case "foreign-key":
		return c.alienate(ctx, n)
	case "reload":
		return c.reload(n, c.interval*4/5, c.stale*6/5)
	case "reload-back":
		return c.reloadBack()
	case "split":
		for _, other := range c.nodes {
			if err := other.isolate(true); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no fault is called %q; there are %v", fault, FaultNames())
}
