package lab

import (
	"context"
	"fmt"
	"slices"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A moved group is what the last order to move one was about.
type moved struct{ group, to string }

// order has another node's daemon order what is to be done; who has nobody beside it is
// asked itself.
func (c *cluster) order(ctx context.Context, victim *node, cmd ctlsocket.Command) error {
	asked := victim
	for _, n := range c.nodes {
		if n != victim && n.sound() {
			asked = n
		}
	}
	if _, err := asked.socket.Do(ctx, cmd); err != nil {
		return fmt.Errorf("%s: %s: %w", asked.name, cmd.Verb, err)
	}
	return nil
}

// drain has a node drained by order of another one, or no longer.
func (c *cluster) drain(ctx context.Context, n *node, verb ctlsocket.Verb) error {
	return c.order(ctx, n, ctlsocket.Command{Verb: verb, Node: n.name})
}

// move has one of a node's groups go to another node, by order of a third one. A group that
// prefers a node would not stay.
func (c *cluster) move(ctx context.Context, n *node) error {
	owners, err := c.owners()
	if err != nil {
		return err
	}
	to := slices.IndexFunc(c.nodes, func(o *node) bool { return o != n && o.sound() && !o.voter })
	g := slices.IndexFunc(c.groups, func(g group) bool { return owners[g.name] == n.name && g.prefer == "" })
	if g < 0 || to < 0 {
		return fmt.Errorf("%s has no group that could be moved, or there is no other node", n.name)
	}
	c.moved = moved{c.groups[g].name, c.nodes[to].name}
	return c.order(ctx, n, ctlsocket.Command{Verb: ctlsocket.Move, Group: c.moved.group, Node: c.moved.to})
}

// arrived says what is wrong with the end of a move: that group must be where it should go,
// and every other one where it was.
func (c *cluster) arrived(r *Result) string {
	for _, g := range c.groups {
		want := r.Before[g.name]
		if g.name == c.moved.group {
			want = c.moved.to
		}
		if got := r.After[g.name]; got != want {
			return fmt.Sprintf("%s is on %s and not on %s", g.name, got, want)
		}
	}
	return ""
}
