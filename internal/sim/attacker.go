package sim

import (
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// An attacker sits on the wire without the secret. It hears what goes to the group and to single hosts,
// keeps it, and sends what it likes.
type attacker struct {
	w    *World
	tape []recorded // old parts are overwritten at random
	// last is the latest that each host said, ends what each said before a silence: the
	// farewells among it.
	last, ends []recorded
	// recording says whether it listens at all.
	recording bool
	key       cluster.Key
	boot      uint64
}

// tapeLength is how many datagrams it keeps.
const tapeLength = 4000

func (t *attacker) init(w *World) {
	t.w, t.key = w, cluster.NewKey([]byte("a guess"))
	t.last = make([]recorded, len(w.hosts))
}

// overhear records a datagram.
func (t *attacker) overhear(h *host, f *frame) {
	if h.role != stranger || f.kind > chatDirect || !t.recording {
		return
	}
	if l := &t.last[f.src]; l.frame != nil && t.w.now-l.at > 2*int64(t.w.cfg.Interval) && len(t.ends) < tapeLength {
		t.ends = append(t.ends, *l)
	}
	t.last[f.src] = recorded{f, t.w.now}
	t.keep(f)
}

// tap records a datagram that goes to one host: an order, an answer, a plan.
func (t *attacker) tap(f *frame) {
	if t.recording {
		t.keep(f)
	}
}

func (t *attacker) keep(f *frame) {
	if len(t.tape) < tapeLength {
		t.tape = append(t.tape, recorded{f, t.w.now})
		return
	}
	t.tape[t.w.rng.IntN(tapeLength)] = recorded{f, t.w.now}
}

// begin lets it act about ten times a second.
func (t *attacker) begin() {
	t.recording = true
	t.w.every(100*time.Millisecond, t.act)
}

func (t *attacker) act() {
	w := t.w
	switch w.rng.IntN(8) {
	case 0:
		t.impersonate()
		return
	case 2:
		if n := len(t.ends); n > 0 && !w.cfg.NoGuard {
			old := t.ends[w.rng.IntN(n)]
			t.say(&frame{data: old.data, from: old.from, ttl: 255}, -1)
			return
		}
	case 1:
		data := make([]byte, w.rng.IntN(1300))
		for i := range data {
			data[i] = byte(w.rng.Uint32())
		}
		t.say(&frame{data: data, from: w.hosts[w.rng.IntN(w.cfg.Nodes)].chat, ttl: 255, forged: true}, -1)
		return
	}
	if len(t.tape) == 0 {
		return
	}
	old := t.tape[w.rng.IntN(len(t.tape))]
	f := &frame{data: old.data, from: old.from, ttl: 255}
	to := -1
	switch w.rng.IntN(5) {
	case 0: // a replay to everybody
	case 1: // a replay to somebody
		to = w.rng.IntN(w.cfg.Nodes)
	case 2: // back to its sender, who made it for others
		to, f.forged = int(old.src), w.hosts[old.src] != w.twin // which had another name, maybe
	case 3: // some bits turned, or cut short
		f.forged = true
		f.data = append([]byte(nil), old.data...)
		if w.rng.IntN(4) == 0 {
			f.data = f.data[:w.rng.IntN(len(f.data))]
			break
		}
		for range 1 + w.rng.IntN(3) {
			f.data[w.rng.IntN(len(f.data))] ^= 1 << w.rng.IntN(8)
		}
		if string(f.data) == string(old.data) {
			return
		}
	case 4: // through a router
		f.ttl, f.forged = uint8(w.rng.IntN(255)), true
	}
	t.say(f, to)
}

// replay sends to all, one a millisecond, what a host said in some time.
func (t *attacker) replay(src int, from, to int64) {
	n := int64(0)
	for _, r := range t.tape {
		if int(r.src) == src && r.at >= from && r.at <= to {
			n++
			t.w.after(n*int64(time.Millisecond), func() { t.say(&frame{data: r.data, from: r.from, ttl: 255}, -1) })
		}
	}
}

// impersonate sends what a node with another secret would say.
func (t *attacker) impersonate() {
	w := t.w
	h := w.hosts[w.rng.IntN(w.cfg.Nodes)]
	now := h.clock.time(w.now)
	t.boot = max(t.boot, uint64(now.UnixNano())) + 1
	node := cluster.New(now, cluster.Options{Name: h.as, Cluster: "sim", Boot: t.boot,
		Keys: []cluster.Key{t.key}, Plan: w.plans[0].plan, Timing: w.cfg.Timing})
	for range 8 {
		now = now.Add(w.cfg.Interval)
		node.Tick(now)
		for _, d := range node.Ready(now).Send {
			t.say(&frame{data: append([]byte(nil), d.Data...), from: h.chat, ttl: 255, forged: true}, -1)
		}
	}
}

// say sends a frame to one host or, with -1, to all.
func (t *attacker) say(f *frame, to int) {
	f.kind, f.src = chatGroup, int16(t.w.stranger)
	if to < 0 {
		t.w.broadcast(f)
		return
	}
	f.kind = chatDirect
	t.w.send(f, to)
}
