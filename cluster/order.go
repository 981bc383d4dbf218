package cluster

import (
	"encoding/binary"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// An OrderKind says what an operator wants of a node.
type OrderKind byte

// What a node may be ordered.
const (
	// OrderDrain: have nothing that another node can have.
	OrderDrain OrderKind = 1
	// OrderUndrain ends OrderDrain.
	OrderUndrain OrderKind = 2
	// OrderMove: take a group from who has it.
	OrderMove OrderKind = 3
)

// An Order is what an operator at one node wants of another one.
type Order struct {
	Kind OrderKind
	// Group is what an OrderMove is about.
	Group vipgroup.Key
	// For is after how long an OrderDrain ends by itself, in whole seconds; 0 for never.
	For time.Duration
	// By is the user who gave it, at most 64 bytes of it, and At when, by the wall clock of
	// the node where it was given, in whole seconds.
	By string
	At time.Time
}

// maxFor bounds what Order.For may be told, so that no arithmetic on times can overflow.
const maxFor = 10 * 365 * 24 * time.Hour

// A Verdict says what became of an order.
type Verdict int

// The verdicts.
const (
	// Denied: it was not carried out.
	Denied Verdict = iota
	// Done: it was carried out.
	Done
	// Unanswered: nobody knows here.
	Unanswered
)

// A Reply is what the ordered node says, or what there is to say instead.
type Reply struct {
	Verdict Verdict
	// Text is for the one who gave the order, and Hint what to do next, "" for nothing. At
	// most 255 bytes of each travel.
	Text, Hint string
}

// orderMessage is an order on the wire. It is good for one process of the target, and as
// long as that has sent, within stale, the announcement that it names: no recording is.
type orderMessage struct {
	target nodeID
	boot   uint64 // of the target
	heard  uint64 // the newest announcement of the target that the sender believed
	id     uint64 // a sequence of the sender, the same in every copy
	Order
}

const (
	maxBy    = 64
	maxReply = 255
)

func (o orderMessage) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, o.target[:]...), o.boot)
	b = binary.AppendUvarint(b, o.heard)
	b = binary.AppendUvarint(b, o.id)
	b = append(append(b, byte(o.Kind)), o.Group[:]...)
	b = binary.AppendUvarint(b, uint64(o.For/time.Second))
	b = binary.AppendUvarint(b, uint64(max(o.At.Unix(), 0)))
	return appendString(b, o.By[:min(len(o.By), maxBy)])
}

func (r *reader) order() (o orderMessage, ok bool) {
	o.target, o.boot, o.heard, o.id = r.id(), r.uint64(), r.uvarint(), r.uvarint()
	o.Kind = OrderKind(r.byte())
	copy(o.Group[:], r.take(len(o.Group)))
	seconds, at := r.uvarint(), r.uvarint()
	by := r.string()
	ok = !r.bad && len(r.b) == 0 && seconds <= uint64(maxFor/time.Second) && at < 1<<40 && len(by) <= maxBy
	o.For, o.At, o.By = time.Duration(seconds)*time.Second, time.Unix(int64(at), 0), string(by)
	return o, ok
}

// answerMessage is the reply to an order on the wire.
type answerMessage struct {
	target nodeID
	boot   uint64 // of the target, which gave the order
	id     uint64
	Reply
}

func (a answerMessage) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, a.target[:]...), a.boot)
	b = binary.AppendUvarint(b, a.id)
	done := byte(0)
	if a.Verdict == Done {
		done = 1
	}
	b = appendString(append(b, done), a.Text[:min(len(a.Text), maxReply)])
	return appendString(b, a.Hint[:min(len(a.Hint), maxReply)])
}

func (r *reader) answer() (a answerMessage, ok bool) {
	a.target, a.boot, a.id = r.id(), r.uint64(), r.uvarint()
	if done := r.byte(); done == 1 {
		a.Verdict = Done
	} else if done != 0 {
		r.bad = true
	}
	a.Text, a.Hint = string(r.string()), string(r.string())
	return a, !r.bad && len(r.b) == 0
}
