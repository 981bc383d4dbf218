package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/lab"
)

const (
	// watchMost is how long a fault is watched that doesn't end: what two owners keepalived
	// has then, it has for ever.
	watchMost = 8 * time.Second
	// healMost is how long a heal is watched that leaves the client dark: longer than any
	// schedule of announcements, and about as long as a kernel trusts an unanswered
	// neighbour.
	healMost = 15 * time.Second
	// least is how long a fault is watched at least.
	least = 1500 * time.Millisecond
)

// A fault is something that befalls the first host, which has everything.
type fault struct {
	name string
	do   func(c *cluster) error
	// where everything should be in the end.
	where int
	// least and most bound the watch.
	least, most time.Duration
	// mend brings the first host back afterwards; nil where the next fault does.
	mend func(c *cluster) error
}

// The names of the faults that other parts ask for.
const (
	stop = "stop"
	cut  = "cut"
	heal = "heal"
)

// faults are what befalls every cluster, in this order.
var faults = []fault{
	{name: "none", do: func(*cluster) error { return nil }, where: athome, least: least, most: watchMost},
	{name: stop, do: (*cluster).stop, where: elsewhere, least: least, most: watchMost},
	{name: "return", do: (*cluster).restart, where: athome, least: least, most: patience},
	{name: "kill", do: (*cluster).kill, where: elsewhere, least: least, most: watchMost, mend: (*cluster).restart},
	{name: "kill-all", do: (*cluster).killAll, where: elsewhere, least: least, most: watchMost, mend: (*cluster).restart},
	{name: "hang", do: (*cluster).hang, where: elsewhere, least: least, most: watchMost, mend: (*cluster).restart},
	{name: "freeze", do: (*cluster).freeze, where: elsewhere, least: least, most: watchMost, mend: (*cluster).restart},
	{name: "link-down", do: func(c *cluster) error { return c.Hosts[0].Unplug(true) }, where: elsewhere, least: least, most: watchMost},
	{name: "link-up", do: func(c *cluster) error { return c.Hosts[0].Unplug(false) }, where: athome, least: least, most: patience},
	{name: cut, do: func(c *cluster) error { return c.Hosts[0].Cut(true) }, where: elsewhere, least: least, most: watchMost},
	{name: heal, do: func(c *cluster) error { return c.Hosts[0].Cut(false) }, where: athome, least: least, most: healMost},
}

// fault returns a fault by name.
func faultOf(name string) fault {
	for _, f := range faults {
		if f.name == name {
			return f
		}
	}
	panic("bench: no fault is called " + name)
}

// measure does one fault and returns what was seen, nil where that can't be said. The
// error wraps errAstray when the cluster is of no more use.
func (c *cluster) measure(ctx context.Context, f fault, run int) (*Fault, error) {
	c.Begin()
	if err := f.do(c); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", c.system, f.name, err)
	}
	wrong, err := c.watch(ctx, f.where, f.least, f.most)
	if err != nil {
		return nil, err
	}
	sight, err := c.End()
	if err != nil {
		return nil, err
	}
	rec := newFault(f.name, c.system, run, c.every, wrong, sight)
	if f.most == patience && wrong != "" {
		return rec, c.astray(wrong)
	}
	if f.mend != nil {
		if err := f.mend(c); err != nil {
			return rec, fmt.Errorf("%s: after %s: %w", c.system, f.name, err)
		}
	}
	if f.where == athome || f.mend != nil {
		if err := c.rest(ctx); err != nil {
			return rec, fmt.Errorf("%s: after %s: %w", c.system, f.name, err)
		}
	}
	return rec, nil
}

// rest waits until the cluster is as before the fault; the client's mistaken neighbours are
// not part of it.
func (c *cluster) rest(ctx context.Context) error {
	if wrong, err := c.unsettled(athome); err != nil || wrong != "" {
		if err := errors.Join(err, c.Forget()); err != nil {
			return err
		}
	}
	return c.home(ctx)
}

// stop orders the first host's program to end; it is not waited for.
func (c *cluster) stop() error { return c.nodes[0].program.Signal(unix.SIGTERM) }

// restart starts the first host's program anew, whatever is left of the old one there.
func (c *cluster) restart() error {
	select {
	case <-c.nodes[0].program.Ended():
	default:
		if err := c.nodes[0].end(); err != nil {
			return err
		}
	}
	n := c.nodes[0]
	err := errors.Join(signal(n.left, unix.SIGKILL), await(n.left), n.Clear())
	forget(n.left)
	n.left = nil
	return errors.Join(err, c.start(0))
}

// kill kills the process that was started.
func (c *cluster) kill() error { return c.nodes[0].program.Signal(unix.SIGKILL) }

// killAll kills all processes of the first host.
func (c *cluster) killAll() error { return c.all(unix.SIGKILL, false) }

// hang stops the process that does the work.
func (c *cluster) hang() error { return c.all(unix.SIGSTOP, true) }

// freeze stops all processes of the first host.
func (c *cluster) freeze() error { return c.all(unix.SIGSTOP, false) }

// all sends a signal to the first host's processes, or only to the one that works. The
// children are first, so that none can act on its parent's death.
func (c *cluster) all(sig unix.Signal, worker bool) error {
	n := c.nodes[0]
	all, err := n.family()
	if err != nil {
		return err
	}
	n.left = all // until the restart
	some, err := c.worker(all)
	if err != nil {
		return err
	}
	if !worker {
		some = []member{all[1], all[0]}
	}
	return signal(some, sig)
}

// lose cuts the first host off and waits, after another took all, for a random moment. It is
// not recorded: the fault of that name is.
func (c *cluster) lose(ctx context.Context, random *rand.Rand) error {
	if err := c.Hosts[0].Cut(true); err != nil {
		return err
	}
	if wrong, err := c.watch(ctx, elsewhere, 0, watchMost); err != nil || wrong != "" {
		return errors.Join(err, fmt.Errorf("%s: nobody took what a host had that was cut off: %s", c.system, wrong))
	}
	return lab.Pause(ctx, time.Duration(random.Int64N(int64(time.Second))))
}
