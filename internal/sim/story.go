package sim

import (
	"fmt"
	"strings"
	"time"
)

// A line of the story: what a reader of a trace wants to know. It is put into words
// only when somebody reads it.
type line struct {
	at   int64
	host int // -1: none
	text string
	addr int // -1: none
}

// note adds to the story.
func (w *World) note(host int, text string, addr int) {
	l := line{w.now, host, text, addr}
	w.story = append(w.story, l)
	w.mix(uint64(host)<<16 ^ uint64(addr))
	if w.cfg.Log != nil {
		fmt.Fprintln(w.cfg.Log, w.tell(l))
	}
}

// tell puts a line into words.
func (w *World) tell(l line) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%10.4f ", time.Duration(l.at).Seconds())
	if l.host >= 0 {
		fmt.Fprintf(&b, " %s", w.hosts[l.host].name)
	}
	b.WriteString(" " + l.text)
	if l.addr >= 0 {
		b.WriteString(" " + w.addrs[l.addr].String())
	}
	return b.String()
}

// Story returns the last n lines, all with n < 0.
func (w *World) Story(n int) string {
	from := 0
	if n >= 0 {
		from = max(0, len(w.story)-n)
	}
	var b strings.Builder
	if from > 0 {
		fmt.Fprintf(&b, "  ... %d lines before\n", from)
	}
	for _, l := range w.story[from:] {
		b.WriteString(w.tell(l) + "\n")
	}
	return b.String()
}

// A Violation is a broken promise.
type Violation struct {
	// Promise is its short name, P1 to P5.
	Promise string
	Detail  string
	At      time.Duration
	World   *World
}

func (v *Violation) Error() string {
	w, c := v.World, v.World.cfg
	return fmt.Sprintf(`seed %d: %s broken at %.4f s: %s
%d nodes, interval %v, stale %v, gateway %v, attacker %v, guards %v, loss %d/1000, bug %q
%s%s
see it again: go test ./internal/sim -v %s`,
		c.Seed, v.Promise, v.At.Seconds(), v.Detail,
		c.Nodes, c.Interval, c.Stale, c.Gateway, c.Attacker, !c.NoGuard, c.Loss, c.Bug,
		w.Story(60), w.opinions(), w.again())
}

// again is how this world is played again.
func (w *World) again() string {
	if w.cfg.Again != "" {
		return w.cfg.Again
	}
	return fmt.Sprintf("-run TestFresh -sim.seed=%d -sim.mode=%s", w.cfg.Seed, w.mode)
}

// opinions says what every process thinks, for the reader of a violation; no check
// depends on it.
func (w *World) opinions() string {
	var b strings.Builder
	for _, h := range w.hosts[:w.cfg.Nodes] {
		if h.node == nil {
			fmt.Fprintf(&b, "%s: no process\n", h.name)
			continue
		}
		st := h.node.Status(h.clock.time(w.now))
		fmt.Fprintf(&b, "%s: eligible %v %v;", h.name, st.Eligible, st.Reasons)
		for _, p := range st.Peers {
			fmt.Fprintf(&b, " %s %s;", p.Node, p.State)
		}
		for i, g := range st.Groups {
			fmt.Fprintf(&b, "\n    %s %s -> %s (%s), held %v by %v, claiming %v", st.Plan.Groups[i].Name,
				st.Plan.Groups[i].Resources(), g.Assigned, g.Reason, g.Held, g.Owners, g.Claiming)
			if g.Waiting != "" {
				fmt.Fprintf(&b, ", waits: %s", g.Waiting)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

var kindNames = [...]string{"call", "deliver", "wake", "plumb", "report", "expire", "gratuitous"}
var frameNames = [...]string{"chat", "direct", "ask", "answer", "announce", "echo", "echo reply", "noise"}

// logEvent writes an event for the reader of one seed.
func (w *World) logEvent(e *event) {
	if e.kind == call {
		return
	}
	fmt.Fprintf(w.cfg.Log, "%10.4f    . %s %s", time.Duration(e.at).Seconds(), kindNames[e.kind], w.hosts[e.host].name)
	if f := e.frame; f != nil {
		fmt.Fprintf(w.cfg.Log, " %s from %s", frameNames[f.kind], w.hosts[f.src].name)
		if f.kind > chatDirect && f.kind != noise {
			fmt.Fprintf(w.cfg.Log, " %v", w.addrs[f.addr])
		}
	}
	fmt.Fprintln(w.cfg.Log)
}
