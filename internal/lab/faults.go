package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/ctlsocket"
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
	{faults: []string{"drain", "undrain"}},
	{faults: []string{"move"}},
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
	{faults: []string{"freeze", "thaw"}, mend: "wake"},
	{faults: []string{"meddle"}},
	{faults: []string{"contest"}},
	{faults: []string{"foreign-key"}, mend: "return"},
	{faults: []string{"reload"}, mend: "reload-back"},
	{faults: []string{"upgrade"}},
	{faults: []string{"bump"}, mend: "reload-back"},
	{faults: []string{"clash"}, mend: "reload-back"},
	{faults: []string{"rekey"}},
	{faults: []string{"deaf"}, mend: "heal"},
	{faults: []string{"mute"}, mend: "heal"},
	{faults: []string{"firewall"}, mend: "heal"},
	{faults: []string{"firewall-in"}, mend: "heal"},
	{faults: []string{"memory"}, mend: "heal"},
	{faults: []string{"flood"}, mend: "heal"},
	{faults: []string{"restart"}},
	{faults: []string{"twin"}, mend: "end-twin"},
	{faults: []string{"twin-idle"}, mend: "end-twin"},
	{faults: []string{"all-peers-dead"}, mend: "return-all"},
	{faults: []string{"service"}, mend: "service-back"},
	{faults: []string{"plugins"}, mend: "plugins-end"},
}

// majorityDrill is for a plan of which only a majority serves. What such a plan can't bear
// is left out: a node that the others don't hear must let go.
var majorityDrill = []scenario{
	{faults: []string{"none"}},
	{faults: []string{"stop", "return"}},
	{faults: []string{"kill"}, mend: "return"},
	{faults: []string{"kill-both"}, mend: "return"},
	{faults: []string{"hang", "wake"}},
	{faults: []string{"link-down", "link-up"}},
	{faults: []string{"cut", "heal"}},
	{faults: []string{"split"}, mend: "heal"},
}

// scenarios is the drill that is meant.
func (o *Options) scenarios() []scenario {
	switch {
	case o.Single:
		return majorityDrill
	case o.VIPs > 0: // each group of which prefers a node, and so can't be moved
		return slices.DeleteFunc(slices.Clone(drill), func(s scenario) bool { return s.faults[0] == "move" })
	}
	return drill
}

// FaultNames lists the drill in its order.
func FaultNames() []string { return faultNames(drill) }

func faultNames(drill []scenario) []string {
	var out []string
	for _, s := range drill {
		out = append(out, s.faults...)
	}
	return out
}

// inflict does a fault to a node.
func (c *cluster) inflict(ctx context.Context, fault string, n *node) error {
	switch fault {
	case "none":
		return nil
	case "stop":
		return n.stop(ctx)
	case "return":
		return c.bringBack(ctx, n)
	case "drain":
		return c.drain(ctx, n, ctlsocket.Drain)
	case "undrain":
		return c.drain(ctx, n, ctlsocket.Undrain)
	case "move":
		return c.move(ctx, n)
	case "kill":
		n.wanted, n.hung, n.foreign = false, false, false
		return errors.Join(n.endFrozen(), n.proc.kill())
	case "kill-guard":
		return n.killGuard(ctx)
	case "kill-both":
		return n.killBoth(ctx)
	case "all-peers-dead":
		return c.killPeers(ctx, n)
	case "return-all":
		return c.returnAll(ctx)
	case "restart":
		return c.restart(ctx, n)
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
		return c.unplug(n)
	case "link-up":
		return n.replug()
	case "cut":
		n.cut = true
		return n.both(false)
	case "deaf":
		n.cut = true
		return n.input(false)
	case "one-way-in":
		return c.oneWayIn(n)
	case "one-way-out":
		return c.oneWayOut(n)
	case "mute":
		return c.mute(n)
	case "firewall":
		return c.firewall(n)
	case "firewall-in":
		return c.firewallIn(n)
	case "twin":
		return c.double(n)
	case "twin-idle":
		return c.doubleIdle(ctx, n)
	case "service":
		return n.service.kill()
	case "service-back":
		return n.serveAgain(ctx)
	case "plugins", "plugins-end":
		return c.meddleWithPlugins(ctx, n, fault == "plugins")
	case "end-twin":
		return c.endTwin(ctx, n)
	case "memory":
		n.cut = true
		return errors.Join(c.remember(n), n.both(false))
	case "heal":
		return c.heal()
	case "flood":
		return c.flood()
	case "starve":
		return n.starve(starved)
	case "freeze":
		return n.freeze(ctx)
	case "thaw":
		return n.thaw()
	case "meddle":
		return c.meddle(n)
	case "contest":
		return c.contest(ctx, n)
	case "foreign-key":
		return c.alienate(ctx, n)
	case "reload":
		return c.reload(ctx, n, c.interval*4/5, c.stale*6/5)
	case "upgrade":
		return c.upgrade(ctx, n)
	case "bump":
		_, err := c.bump(ctx, n)
		return err
	case "clash":
		return c.clash(ctx, n)
	case "rekey":
		return c.rekey(ctx)
	case "reload-back":
		return c.reloadBack(ctx)
	case "split":
		if c.conf.partition == single { // one against a majority
			return errors.Join(c.oneWayIn(n), c.oneWayOut(n))
		}
		for _, other := range c.nodes {
			if err := other.isolate(true); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no fault is called %q; there are %v", fault, FaultNames())
}
