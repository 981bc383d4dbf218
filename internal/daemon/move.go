package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

const (
	// moveWithin is how long a group may take to arrive, and moveEvery how often that is
	// looked for.
	moveWithin = 15 * time.Second
	moveEvery  = 5 * time.Millisecond
	// rebalanceWithin is for how long moves are begun in one rebalance.
	rebalanceWithin = 18 * time.Second
)

// move has a group go to a node, and returns when it is there.
func (l *loop) move(ctx context.Context, c ctlsocket.Command) (string, error) {
	var group vipgroup.Group
	known, member := false, false
	if err := l.inLoop(ctx, func(time.Time) {
		plan := l.node.Plan()
		if g := plan.Find(c.Group); g >= 0 {
			group, known = plan.Groups[g], true
		}
		member = plan.Node(c.Node) >= 0
	}); err != nil {
		return "", err
	}
	switch {
	case !known:
		return "", &ctlsocket.Error{Code: http.StatusUnprocessableEntity, Message: fmt.Sprintf("no group %q", c.Group),
			Hint: "a group goes by its name, its key or one of its addresses; vippyctl status lists them"}
	case !member:
		return "", &ctlsocket.Error{Code: http.StatusUnprocessableEntity, Message: fmt.Sprintf("the plan has no node %q", c.Node),
			Hint: "vippyctl peers lists them"}
	}
	return l.moveGroup(ctx, group, c.Node, c.By)
}

func (l *loop) moveGroup(ctx context.Context, g vipgroup.Group, node, by string) (string, error) {
	var before []string
	if err := l.inLoop(ctx, func(time.Time) { before = l.node.Owners(g.Key) }); err != nil {
		return "", err
	}
	if slices.Equal(before, []string{node}) {
		return g.Name + " is on " + node + " already", nil
	}
	o := cluster.Order{Kind: cluster.OrderMove, Group: g.Key, By: by, At: time.Now()}
	give := func() (string, error) { return l.order(ctx, node, o) }
	if node == l.name {
		give = func() (string, error) { return l.pull(ctx, o, l.name) }
	}
	if _, err := give(); err != nil {
		return "", err
	}
	if err := l.arrives(ctx, g, node); err != nil {
		return "", err
	}
	if len(before) == 0 {
		return g.Name + " is on " + node, nil
	}
	return fmt.Sprintf("%s moved from %s to %s", g.Name, strings.Join(before, " and "), node), nil
}

// arrives waits until a group is at a node, and nowhere else.
func (l *loop) arrives(ctx context.Context, g vipgroup.Group, node string) error {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	late := time.NewTimer(moveWithin)
	defer late.Stop()
	for {
		var owners []string
		if err := l.inLoop(ctx, func(time.Time) { owners = l.node.Owners(g.Key) }); err != nil {
			return err
		}
		if slices.Equal(owners, []string{node}) {
			return nil
		}
		select {
		case <-tick.C:
		case <-late.C:
			where := "nowhere"
			if len(owners) > 0 {
				where = "on " + strings.Join(owners, " and ")
			}
			return &ctlsocket.Error{Code: http.StatusConflict, Message: fmt.Sprintf("%s did not come to %s: it is %s", g.Name, node, where),
				Hint: "vippyctl explain " + g.Name + ", on " + node}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rebalance evens the load by one move after another, as long as there is time.
func (l *loop) rebalance(ctx context.Context, by string) (string, error) {
	begin := time.Now()
	for moved := 0; ; moved++ {
		var group vipgroup.Group
		to, uneven := "", false
		if err := l.inLoop(ctx, func(time.Time) {
			var k vipgroup.Key
			if k, to, uneven = l.node.NextMove(); uneven {
				group = l.node.Plan().Groups[l.node.Plan().Group(k)]
			}
		}); err != nil {
			return "", err
		}
		switch {
		case !uneven && moved == 0:
			return "nothing to move: the load is as even as the plan and the checks let it be", nil
		case !uneven:
			return fmt.Sprintf("moved %s: the load is even now", vipgroup.Count(moved, "group")), nil
		case time.Since(begin) > rebalanceWithin:
			return "", &ctlsocket.Error{Code: http.StatusConflict, Message: fmt.Sprintf("moved %s, and more are to be moved", vipgroup.Count(moved, "group")),
				Hint: "vippyctl rebalance, once more"}
		}
		if _, err := l.moveGroup(ctx, group, to, by); err != nil {
			if refusal := (*ctlsocket.Error)(nil); moved > 0 && errors.As(err, &refusal) {
				err = &ctlsocket.Error{Code: refusal.Code, Message: fmt.Sprintf("moved %s; then: %s", vipgroup.Count(moved, "group"), refusal.Message), Hint: refusal.Hint}
			}
			return "", err
		}
	}
}

// IfDown foretells who would have a group if a node was lost. It may be called from any
// goroutine.
func (l *loop) IfDown(ctx context.Context, group, node string) (ctlsocket.Forecast, error) {
	out := ctlsocket.Forecast{Node: node}
	var denial *cluster.Denial
	if err := l.inLoop(ctx, func(time.Time) {
		plan := l.node.Plan()
		var k vipgroup.Key
		if g := plan.Find(group); g >= 0 {
			k = plan.Groups[g].Key
		}
		var f cluster.Forecast
		f, denial = l.node.IfDown(k, node)
		out.Owner, out.Reason = f.Owner, f.Reason
	}); err != nil {
		return out, err
	}
	if denial != nil {
		return out, &ctlsocket.Error{Code: http.StatusNotFound, Message: denial.Why, Hint: denial.Hint}
	}
	return out, nil
}
