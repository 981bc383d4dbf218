package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A Given order came from another node. Whoever drives this one carries it out and says so
// by Answer.
type Given struct {
	Order
	// From is the node at which it was given.
	From string
	boot uint64 // of that node
	id   uint64
}

// Replied is what became of an order that this node gave.
type Replied struct {
	ID uint64
	Reply
}

// orders are those that this node gave or was given in this turn.
type orders struct {
	open    []*openOrder
	given   []Given
	replies []Replied
}

// An openOrder has no answer yet, and is repeated until it has.
type openOrder struct {
	orderMessage
	to   string
	due  time.Time
	late time.Time // when nobody waits for it any more
}

// orderFor is how long an order is repeated. A node that carries it out answers at once.
func (n *Node) orderFor() time.Duration { return max(2*time.Second, 2*n.bounds.stale) }

// Order gives an order to another node; a Ready has its Reply, by the id.
func (n *Node) Order(now time.Time, to string, o Order) (id uint64, d *Denial) {
	n.arrive(now)
	i := n.plan.Member(to)
	switch {
	case i < 0 || i == n.self:
		return 0, &Denial{fmt.Sprintf("plan %d has no other node %q", n.plan.Version, to), "vippyctl peers lists them"}
	case !n.speaks(now):
		return 0, &Denial{n.name + " doesn't take part in the chat yet", "try again in a moment, or ask " + to + " itself"}
	case n.peers[i].state == Absent:
		return 0, &Denial{to + " is not heard", "ask " + to + " itself: vippyctl on that host; " + n.hears()}
	case n.peers[i].state != Live:
		return 0, &Denial{to + " doesn't hear " + n.name, "ask " + to + " itself: vippyctl on that host; " + n.hears()}
	case slices.ContainsFunc(n.orders.open, func(x *openOrder) bool { return x.to == to }):
		return 0, &Denial{to + " has not answered another order yet", "try again in a moment"}
	}
	p := n.peers[i]
	n.voice.seq++
	x := &openOrder{to: to, due: now, late: now.Add(n.orderFor()),
		orderMessage: orderMessage{target: p.id, boot: p.boot, id: n.voice.seq, Order: o}}
	n.orders.open = append(n.orders.open, x)
	return x.id, nil
}

// hears says which peers can be given orders from here.
func (n *Node) hears() string {
	var live []string
	for _, p := range n.peers {
		if p != nil && p.state == Live {
			live = append(live, p.name)
		}
	}
	if len(live) == 0 {
		return "no node is live here"
	}
	return "live here: " + strings.Join(live, ", ")
}

// judgeOrders repeats the orders that are open, and returns when the next one is due.
func (n *Node) judgeOrders(now time.Time) (wake time.Time) {
	n.orders.open = slices.DeleteFunc(n.orders.open, func(x *openOrder) bool {
		i := n.plan.Member(x.to)
		why := ""
		switch {
		case i < 0 || i == n.self:
			why = x.to + " is in the plan no more"
		case n.peers[i].boot != x.boot || n.peers[i].farewell:
			why = x.to + " was stopped before it answered"
		case !now.Before(x.late):
			why = x.to + " doesn't answer"
		}
		if why != "" {
			n.orders.replies = append(n.orders.replies, Replied{x.id, Reply{Unanswered, why,
				"it may have done it all the same: vippyctl status, on that host"}})
			return true
		}
		if p := n.peers[i]; !now.Before(x.due) && p.from.IsValid() {
			x.heard, x.due = p.said, now.Add(max(n.timing.Interval/4, minRepeat))
			n.direct = append(n.direct, Datagram{To: p.from, Data: n.sealed(kindOrder, x.append)})
		}
		soonest(&wake, x.due)
		soonest(&wake, x.late)
		return false
	})
	return wake
}

// minRepeat is the shortest pause between two copies of an order.
const minRepeat = 10 * time.Millisecond

// obeyed is what a peer ordered: each order is carried out once, however often it comes.
type obeyed struct {
	pending []uint64 // handed to the caller
	last    uint64   // the highest that was answered
	answers []answerMessage
}

// What is remembered of one peer's orders. It gives one at a time.
const (
	maxPending = 4
	maxAnswers = 8
)

// receiveOrder takes a peer's order or answer.
func (n *Node) receiveOrder(now time.Time, p *peer, what kind, e envelope, r *reader, from netip.AddrPort) Refusal {
	switch {
	case e.boot != p.boot || p.farewell:
		return SupersededBoot
	case e.seq <= p.seq:
		return Replayed
	}
	if what == kindAnswer {
		a, ok := r.answer()
		if !ok {
			return Malformed
		}
		if a.target != n.id || a.boot != n.boot {
			return Misaddressed
		}
		p.seq = e.seq
		n.takeAnswer(p, a)
		return ""
	}
	o, ok := r.order()
	if !ok || o.id >= e.seq {
		return Malformed
	}
	if at, sent := n.voice.sentAt(o.heard); !sent || o.target != n.id || o.boot != n.boot || now.Sub(at) > n.bounds.stale {
		return Misaddressed
	}
	p.seq = e.seq
	n.takeOrder(p, o, from)
	return ""
}

// takeAnswer closes the order that a peer answers.
func (n *Node) takeAnswer(p *peer, a answerMessage) {
	i := slices.IndexFunc(n.orders.open, func(x *openOrder) bool { return x.to == p.name && x.id == a.id && x.boot == p.boot })
	if i >= 0 {
		n.orders.open = slices.Delete(n.orders.open, i, i+1)
		n.orders.replies = append(n.orders.replies, Replied{a.id, a.Reply})
	}
}

// takeOrder hands a new order to the caller, and answers again what was answered.
func (n *Node) takeOrder(p *peer, o orderMessage, from netip.AddrPort) {
	b := &p.obeyed
	if i := slices.IndexFunc(b.answers, func(a answerMessage) bool { return a.id == o.id }); i >= 0 {
		n.sendAnswer(b.answers[i], from)
		return
	}
	switch {
	case slices.Contains(b.pending, o.id) || len(b.pending) >= maxPending:
		return
	case o.id <= b.last:
		n.sendAnswer(answerMessage{p.id, p.boot, o.id, Reply{Denied, "a later order came first", "try again"}}, from)
		return
	}
	b.pending = append(b.pending, o.id)
	n.orders.given = append(n.orders.given, Given{o.Order, p.name, p.boot, o.id})
}

// Answer says what became of an order that a Ready brought.
func (n *Node) Answer(now time.Time, g Given, reply Reply) {
	n.arrive(now)
	i := n.plan.Member(g.From)
	if i < 0 || n.peers[i] == nil || n.peers[i].boot != g.boot {
		return
	}
	p := n.peers[i]
	b := &p.obeyed
	at := slices.Index(b.pending, g.id)
	if at < 0 {
		return
	}
	b.pending = slices.Delete(b.pending, at, at+1)
	b.last = max(b.last, g.id)
	reply.Text = cmp.Or(reply.Text, "done")
	a := answerMessage{p.id, p.boot, g.id, reply}
	b.answers = append(b.answers[max(0, len(b.answers)+1-maxAnswers):], a)
	n.sendAnswer(a, p.from)
}

func (n *Node) sendAnswer(a answerMessage, to netip.AddrPort) {
	if len(n.direct) < maxDirect {
		n.direct = append(n.direct, Datagram{To: to, Data: n.sealed(kindAnswer, a.append)})
	}
}
