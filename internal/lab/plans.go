package lab

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// nextPlan makes the settings of a plan of the next version that differs from the one before
// in more than that, and moves nothing.
func (c *cluster) nextPlan() settings {
	c.conf.version++
	c.conf.delay = time.Duration(c.conf.version) * time.Millisecond
	return c.conf
}

// give gives a node another plan by its file, and leaves its other settings alone.
func (n *node) give(s settings) {
	n.conf.version, n.conf.delay = s.version, s.delay
}

// bump raises the version in one node's file. The plan must travel from there to all others,
// whose files stay as they are; spread is how long that took.
func (c *cluster) bump(ctx context.Context, n *node) (spread time.Duration, err error) {
	n.give(c.nextPlan())
	begin := now()
	if err := c.reread(ctx, n); err != nil {
		return 0, err
	}
	err = c.agree(ctx, func(st ctlsocket.Status) string {
		if st.Plan.Version != c.conf.version {
			return fmt.Sprintf("has plan %d and not %d yet", st.Plan.Version, c.conf.version)
		}
		return ""
	})
	return begin.since(), err
}

// clash has two people raise the version at once, each in another node's file and to the same
// number: everybody must say so.
func (c *cluster) clash(ctx context.Context, n *node) error {
	s := c.nextPlan()
	n.give(s)
	var second *node
	for _, other := range c.others(n) {
		if other.sound() && !other.voter {
			second = other
		}
	}
	if second == nil {
		return errors.New("clash: there is no second node")
	}
	s.delay += time.Hour
	second.give(s)
	if err := errors.Join(c.configure(n), c.configure(second), c.reread(ctx, n), c.reread(ctx, second)); err != nil {
		return err
	}
	return c.agree(ctx, conflict)
}

// conflict says of a node that it doesn't know of a clash.
func conflict(st ctlsocket.Status) string {
	for _, a := range st.Alarms {
		if a.Name == ctlsocket.AlarmPlanConflict && strings.Contains(a.Detail, "preempt after") {
			return ""
		}
	}
	return fmt.Sprintf("has no alarm that names the line that differs, but %v", st.Alarms)
}

// rekey gives the cluster another secret, step by step: each on all nodes before the next.
func (c *cluster) rekey(ctx context.Context) error {
	old, next := c.conf.secret, newSecret()
	for _, secrets := range [][]string{{old, next}, {next, old}, {next}} {
		c.conf.secret, c.conf.former = secrets[0], secrets[1:]
		for _, n := range c.nodes {
			if n.foreign {
				continue
			}
			n.conf.secret, n.conf.former = c.conf.secret, c.conf.former
			if err := c.configure(n); err != nil {
				return err
			}
			if !n.proc.running() || n.hung {
				continue // it reads that when it starts
			}
			if _, err := n.socket.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Reload}); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
		if err := c.agree(ctx, func(st ctlsocket.Status) string {
			for _, a := range st.Alarms {
				if a.Name == ctlsocket.AlarmBadSeal {
					return "doesn't believe a peer any more: " + a.Detail
				}
			}
			return ""
		}); err != nil {
			return err
		}
	}
	return nil
}

// agree waits until look finds nothing wrong with the status of any sound node.
func (c *cluster) agree(ctx context.Context, look func(ctlsocket.Status) string) error {
	for begin := now(); ; {
		wrong := ""
		for _, n := range c.nodes {
			if !n.sound() || wrong != "" {
				continue
			}
			st, err := n.ask(ctx)
			if err != nil {
				wrong = fmt.Sprintf("%s: %v", n.name, err)
			} else if said := look(st); said != "" {
				wrong = n.name + " " + said
			}
		}
		if wrong == "" {
			return nil
		}
		if begin.since() > c.patience() {
			return errors.New(wrong)
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// unanswered says which probes of VIPs got no answer since the watch began, "" for none. It is
// for what must not touch any address.
func (pr *prober) unanswered() string {
	end := now()
	for _, t := range pr.targets {
		if count := t.unanswered(end); count > 0 {
			return fmt.Sprintf("%d probes of %v got no answer", count, t.vip)
		}
	}
	return ""
}

// unanswered is how many probes of the watch that were sent up to end got no answer, once there
// was time for late ones.
func (t *target) unanswered(end instant) int {
	count := t.record.unanswered(t.first, end)
	for ; count > 0 && end.since() < lateLimit; count = t.record.unanswered(t.first, end) {
		time.Sleep(tick)
	}
	return count
}

// lateLimit is how long an answer is waited for that isn't to be missing: a lab that others keep
// from running is late.
const lateLimit = 10 * time.Second
