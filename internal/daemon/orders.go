package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
)

// ordering is what an operator wants of nodes, this one or others.
type ordering struct {
	// turn is taken by who gives an order to another node.
	turn chan struct{}
	// waits has who waits for the answer to an order, by its id. It belongs to the loop.
	waits map[uint64]chan cluster.Reply
}

func newOrdering() ordering {
	return ordering{turn: make(chan struct{}, 1), waits: map[uint64]chan cluster.Reply{}}
}

// elsewhere says whether a command is for another node.
func (l *loop) elsewhere(node string) bool { return node != "" && node != l.name }

// drainNamed carries out a command to drain a node, or no longer to.
func (l *loop) drainNamed(ctx context.Context, c ctlsocket.Command) (string, error) {
	o := cluster.Order{Kind: cluster.OrderUndrain, By: c.By, At: time.Now()}
	if c.Verb == ctlsocket.Drain {
		o.Kind, o.For = cluster.OrderDrain, c.Lasting().Round(time.Second)
	}
	if l.elsewhere(c.Node) {
		return l.order(ctx, c.Node, o)
	}
	return l.carryOut(ctx, o, l.name)
}

// order has another node do something, and returns what it says of it.
func (l *loop) order(ctx context.Context, node string, o cluster.Order) (string, error) {
	select {
	case l.ordering.turn <- struct{}{}:
		defer func() { <-l.ordering.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	reply := make(chan cluster.Reply, 1)
	var denial *cluster.Denial
	if err := l.inLoop(ctx, func(now time.Time) {
		id, d := l.node.Order(now, node, o)
		if denial = d; d == nil {
			l.ordering.waits[id] = reply
		}
	}); err != nil {
		return "", err
	}
	if denial != nil {
		return "", denied(denial)
	}
	select {
	case r := <-reply:
		switch r.Verdict {
		case cluster.Done:
			return r.Text, nil
		case cluster.Denied:
			return "", denied(&cluster.Denial{Why: r.Text, Hint: r.Hint})
		}
		return "", &ctlsocket.Error{Code: http.StatusGatewayTimeout, Message: r.Text, Hint: r.Hint}
	case <-ctx.Done():
		return "", ctx.Err()
	case <-l.life.Done():
		return "", errStopping
	}
}

func denied(d *cluster.Denial) error {
	return &ctlsocket.Error{Code: http.StatusConflict, Message: d.Why, Hint: d.Hint}
}

// answered passes the answers to orders of this node on to who waits for them.
func (l *loop) answered(replies []cluster.Replied) {
	for _, r := range replies {
		if wait := l.ordering.waits[r.ID]; wait != nil {
			delete(l.ordering.waits, r.ID)
			wait <- r.Reply
		}
	}
}

// disordered ends the waiting when the core starts over, which remembers no order.
func (l *loop) disordered() {
	for id, wait := range l.ordering.waits {
		delete(l.ordering.waits, id)
		wait <- cluster.Reply{Verdict: cluster.Unanswered, Text: "this process started over", Hint: "vippyctl status says what became of it"}
	}
}

// obey carries out what another node ordered, away from the loop, and answers. The core
// bounds how many are under way.
func (l *loop) obey(g cluster.Given) {
	l.helpers.Go(func() error {
		reply := cluster.Reply{Verdict: cluster.Done}
		var err error
		if reply.Text, err = l.carryOut(l.life, g.Order, g.From); err != nil {
			reply = cluster.Reply{Text: err.Error()}
			if refusal := (*ctlsocket.Error)(nil); errors.As(err, &refusal) {
				reply.Text, reply.Hint = refusal.Message, refusal.Hint
			}
		}
		// Who ends in between answers nothing.
		_ = l.inLoop(l.life, func(now time.Time) { l.node.Answer(now, g, reply) })
		return nil
	})
}

// carryOut does what an order wants of this node, wherever it was given.
func (l *loop) carryOut(ctx context.Context, o cluster.Order, from string) (string, error) {
	switch o.Kind {
	case cluster.OrderDrain:
		d := &drain{By: o.By, From: from, Since: time.Now().Round(0)}
		if o.For > 0 {
			d.Until = d.Since.Add(o.For)
		}
		return l.orderDrain(ctx, d)
	case cluster.OrderUndrain:
		return l.orderDrain(ctx, nil)
	case cluster.OrderMove:
		return l.pull(ctx, o, from)
	}
	return "", denied(&cluster.Denial{Why: fmt.Sprintf("vippyd %s at %s doesn't know this order", l.version, l.name), Hint: "upgrade it"})
}

// pull asks for a group that another node has.
func (l *loop) pull(ctx context.Context, o cluster.Order, from string) (string, error) {
	var denial *cluster.Denial
	name := o.Group.String()
	if err := l.inLoop(ctx, func(now time.Time) {
		if g := l.node.Plan().Group(o.Group); g >= 0 {
			name = l.node.Plan().Groups[g].Name
		}
		denial = l.node.Pull(now, o.Group)
	}); err != nil {
		return "", err
	}
	if denial != nil {
		return "", denied(denial)
	}
	l.log.Info("asked to take "+name, "group", name, "by", o.By, "from", from)
	return l.name + " asks for " + name, nil
}
