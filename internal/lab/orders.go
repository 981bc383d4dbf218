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

// movable returns one of a node's groups that would stay where it is moved, which one that
// prefers a node would not, and another node to have it.
func (c *cluster) movable(n *node) (g group, to *node, err error) {
	owners, err := c.owners()
	if err != nil {
		return group{}, nil, err
	}
	i := slices.IndexFunc(c.groups, func(g group) bool { return owners[g.name] == n.name && g.prefer == "" })
	j := slices.IndexFunc(c.nodes, func(o *node) bool { return o != n && o.sound() && !o.voter })
	if i < 0 || j < 0 {
		return group{}, nil, fmt.Errorf("%s has no group that could be moved, or there is no other node", n.name)
	}
	return c.groups[i], c.nodes[j], nil
}

// move has one of a node's groups go to another node, by order of a third one.
func (c *cluster) move(ctx context.Context, n *node) error {
	g, to, err := c.movable(n)
	if err != nil {
		return err
	}
	c.moved = moved{g.name, to.name}
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
