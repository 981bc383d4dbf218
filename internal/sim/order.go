package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// Orders of operators, from A to B, or of A to itself where B is the same.
const (
	// Command is an order to drain B for Arg seconds, taken back at the end.
	Command FaultKind = "command"
	// Move is an order to have group Arg go to B.
	Move FaultKind = "move"
)

// orderFaults join the other faults of a world with orders.
var orderFaults = []FaultKind{Command, Move, Move}

// A given order is what the world knows of it: who believes another has it is wrong.
type given struct {
	id     uint64 // at the host that gave it
	from   int
	boot   uint64 // of the process for which it is
	at     int64  // on the clock of the host that gave it
	obeyed bool
}

// give has a node order another one, or itself, what the fault says.
func (w *World) give(f *Fault) {
	a, b := w.hosts[f.A], w.hosts[f.B]
	if !a.alive() {
		return
	}
	now := a.clock.time(w.now)
	o := cluster.Order{Kind: cluster.OrderDrain, For: time.Duration(f.Arg) * time.Second, At: now, By: fmt.Sprintf("operator %d", len(w.orders))}
	if f.Kind == Move {
		o = cluster.Order{Kind: cluster.OrderMove, Group: w.groups[f.Arg].key, At: now, By: o.By}
	}
	if a == b {
		a.fulfil(o)
		a.turn()
		return
	}
	id, denial := a.node.Order(now, b.as, o)
	if denial != nil {
		return
	}
	x := given{id: id, from: f.A, at: a.clock.at(w.now)}
	for _, p := range a.node.Status(now).Peers {
		if p.Node == b.as {
			x.boot = p.Boot // which may be a twin's
		}
	}
	w.orders = append(w.orders, x)
	a.turn()
}

// obey carries out what arrived, and answers, a little later.
func (h *host) obey(g cluster.Given) {
	gen := h.gen
	h.w.after(h.w.opTime(), func() {
		if h.gen != gen || !h.alive() {
			return
		}
		h.w.check.obeyed(h, g)
		h.node.Answer(h.clock.time(h.w.now), g, h.fulfil(g.Order))
		h.turn()
	})
}

// fulfil does what an order wants.
func (h *host) fulfil(o cluster.Order) cluster.Reply {
	now := h.clock.time(h.w.now)
	h.w.note(h.id, "obeys: "+map[cluster.OrderKind]string{cluster.OrderDrain: "drain", cluster.OrderMove: "move"}[o.Kind], -1)
	switch o.Kind {
	case cluster.OrderDrain:
		if h.w.quiet {
			return cluster.Reply{Text: "the operator has gone home"}
		}
		h.drainedUntil = h.clock.at(h.w.now) + int64(o.For)
		h.drainAgain(now)
	case cluster.OrderMove:
		if d := h.node.Pull(now, o.Group); d != nil {
			return cluster.Reply{Text: d.Why, Hint: d.Hint}
		}
	}
	return cluster.Reply{Verdict: cluster.Done}
}

// drainAgain tells the core whether it is drained: what the state directory has outlives
// every process, and so does the operator who drains it himself.
func (h *host) drainAgain(now time.Time) {
	forGood := slices.ContainsFunc(h.w.faults, func(f *Fault) bool { return f.Kind == Drain && f.A == h.id })
	switch left := h.drainedUntil - h.clock.at(h.w.now); {
	case h == h.w.twin: // a machine of its own
	case forGood:
		h.node.Drain(now, cluster.Drain{})
	case left > 0:
		h.node.Drain(now, cluster.Drain{Until: now.Add(time.Duration(left))})
	default:
		h.node.Undrain(now)
	}
}

// takeBack ends a drain that was ordered.
func (h *host) takeBack() {
	h.drainedUntil = 0
	if h.alive() {
		h.drainAgain(h.clock.time(h.w.now))
		h.turn()
	}
}

// obeyed hears of every order that a process carries out for another node.
func (c *checker) obeyed(h *host, g cluster.Given) {
	w := c.w
	n, err := strconv.Atoi(strings.TrimPrefix(g.By, "operator "))
	if err != nil || n >= len(w.orders) {
		w.fail("P4", "%s obeys %+v, which nobody ordered", h.name, g)
		return
	}
	o := &w.orders[n]
	from := w.hosts[o.from]
	// It is repeated for 2 s or twice stale, and good for stale after it was sent.
	late := time.Duration(from.clock.at(w.now)-o.at) - max(2*time.Second, 2*w.cfg.Stale) - w.cfg.Stale
	switch {
	case h.boot != o.boot:
		w.fail("P4", "%s obeys order %d, which was for another process", h.name, n)
	case o.obeyed:
		w.fail("P4", "%s obeys order %d a second time", h.name, n)
	case late > 50*time.Millisecond+w.cfg.Stale/10 && from.awoke == 0:
		w.fail("P4", "%s obeys order %d, which is %v too old", h.name, n, late)
	}
	o.obeyed = true
}

// answered hears of every answer that a process believes.
func (c *checker) answered(h *host, r cluster.Replied) {
	i := slices.IndexFunc(c.w.orders, func(o given) bool { return o.from == h.id && o.id == r.ID })
	if i < 0 || r.Verdict == cluster.Done && !c.w.orders[i].obeyed {
		c.w.fail("P4", "%s believes an answer to order %d that nobody gave: %+v", h.name, i, r)
	}
}
