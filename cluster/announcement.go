package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// An announcement is what a node says of itself once per interval. The sets name groups
// by their place in the plan whose digest the announcement carries.
type announcement struct {
	cluster string
	sender  string
	boot    uint64
	seq     uint64

	eligible bool
	answer   bool // asks for an announcement in return, at once
	farewell bool // the boot ends here: nothing is held any more

	interval time.Duration
	stale    time.Duration
	version  uint64
	digest   vipgroup.Digest
	reason   string // why not eligible

	held       set
	claims     []claimed
	barred     []barred
	objections []objection
	heard      []heard
}

// claimed are groups whose claims began with one announcement.
type claimed struct {
	begin  uint64
	groups set
}

// barred are groups that the sender should rather not have, or not at all
// (vipgroup.Barred, written as 0), or that it asks for (vipgroup.Pull, written as pullMark).
type barred struct {
	penalty int
	groups  set
}

// An objection tells target that the node named has, or claimed first, some of the
// groups (of the target's plan) that target holds or claims.
type objection struct {
	target nodeID
	named  nodeID
	all    bool // every group: said where the groups can't be told apart
	groups set
}

// heard is the newest announcement that the sender received from a node, with the mark
// unbelieved in the sequence where it didn't believe it.
type heard struct {
	node nodeID
	boot uint64
	seq  uint64
}

func (h heard) believed() bool { return h.seq&unbelieved == 0 }

// A nodeID is the start of the SHA-256 of a node's name: a short way to write it.
type nodeID [4]byte

func idOf(name string) nodeID {
	sum := sha256.Sum256([]byte(name))
	return nodeID(sum[:4])
}

// farewellSeq is above that of any announcement still in flight.
const farewellSeq = 1 << 62

const (
	flagEligible = 1 << iota
	flagAnswer
	flagFarewell
)

// The forms of a set on the wire.
const (
	setEmpty = iota
	setBits
	setList
	setAll
)

const maxReason = 80

// pullMark is above all penalties: who doesn't know it takes the sender out for a while.
const pullMark = 1 << 31

// appendEnvelope writes what every kind of message begins with.
func appendEnvelope(b []byte, cluster, sender string, boot, seq uint64) []byte {
	b = appendString(b, cluster)
	b = appendString(b, sender)
	b = binary.BigEndian.AppendUint64(b, boot)
	return binary.AppendUvarint(b, seq)
}

func (a *announcement) append(b []byte) []byte {
	b = appendEnvelope(b, a.cluster, a.sender, a.boot, a.seq)
	var flags byte
	if a.eligible {
		flags |= flagEligible
	}
	if a.answer {
		flags |= flagAnswer
	}
	if a.farewell {
		flags |= flagFarewell
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(a.interval/time.Microsecond))
	b = binary.AppendUvarint(b, uint64(a.stale/time.Microsecond))
	b = binary.AppendUvarint(b, a.version)
	b = append(b, a.digest[:]...)
	b = appendString(b, a.reason[:min(len(a.reason), maxReason)])
	b = appendSet(b, a.held)
	b = binary.AppendUvarint(b, uint64(len(a.claims)))
	for _, c := range a.claims {
		b = appendSet(binary.AppendUvarint(b, c.begin), c.groups)
	}
	b = binary.AppendUvarint(b, uint64(len(a.barred)))
	for _, x := range a.barred {
		penalty := uint64(x.penalty)
		switch {
		case x.penalty >= vipgroup.Barred:
			penalty = 0
		case x.penalty == vipgroup.Pull:
			penalty = pullMark
		}
		b = appendSet(binary.AppendUvarint(b, penalty), x.groups)
	}
	b = binary.AppendUvarint(b, uint64(len(a.objections)))
	for _, o := range a.objections {
		b = append(append(b, o.target[:]...), o.named[:]...)
		if o.all {
			b = append(b, setAll)
		} else {
			b = appendSet(b, o.groups)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(a.heard)))
	for _, h := range a.heard {
		b = binary.BigEndian.AppendUint64(append(b, h.node[:]...), h.boot)
		b = binary.AppendUvarint(b, h.seq)
	}
	return b
}

func appendString(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// appendSet writes s in the shortest form.
func appendSet(b []byte, s set) []byte {
	n, last, listed := 0, 0, 0
	for i := range s.all {
		n++
		listed += uvarintLen(uint64(i - last))
		last = i
	}
	switch {
	case n == 0:
		return append(b, setEmpty)
	case listed < last/8+1:
		b = binary.AppendUvarint(append(b, setList), uint64(n))
		last = 0
		for i := range s.all {
			b = binary.AppendUvarint(b, uint64(i-last))
			last = i
		}
		return b
	}
	size := last/8 + 1
	b = binary.AppendUvarint(append(b, setBits), uint64(size))
	for i := range size {
		b = append(b, byte(s[i/8]>>(i%8*8)))
	}
	return b
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}

// A reader takes a message apart; the first fault makes it bad for good.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

// count reads the length of a list whose entries take at least size bytes each.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) string() []byte { return r.take(int(r.byte())) }

func (r *reader) id() (id nodeID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) duration() time.Duration {
	us := r.uvarint()
	if us == 0 || us > uint64(time.Hour/time.Microsecond) {
		r.bad = true
		return time.Second
	}
	return time.Duration(us) * time.Microsecond
}

// set reads a set into s, which it reuses and returns; all reports the form setAll.
func (r *reader) set(s set) (out set, all bool) {
	if cap(s) < (vipgroup.MaxGroups+63)/64 {
		s = newSet(vipgroup.MaxGroups)
	}
	s = s[:(vipgroup.MaxGroups+63)/64]
	s.clear()
	switch r.byte() {
	case setEmpty:
	case setBits:
		n := r.count(1)
		if n > len(s)*8 {
			r.bad = true
			return s, false
		}
		for i, x := range r.take(n) {
			s[i/8] |= uint64(x) << (i % 8 * 8)
		}
	case setList:
		at := uint64(0)
		for range r.count(1) {
			step := r.uvarint()
			if at += step; r.bad || step >= vipgroup.MaxGroups || at >= vipgroup.MaxGroups {
				r.bad = true
				return s, false
			}
			s.add(int(at))
		}
	case setAll:
		all = true
	default:
		r.bad = true
	}
	return s, all
}

// envelope is what every kind of message begins with; the strings alias the packet.
type envelope struct {
	cluster, sender []byte
	boot, seq       uint64
}

func (r *reader) envelope() envelope {
	return envelope{cluster: r.string(), sender: r.string(), boot: r.uint64(), seq: r.uvarint()}
}

// announcement reads the rest of an announcement into a, reusing what a has.
func (r *reader) announcement(a *announcement) bool {
	flags := r.byte()
	a.eligible, a.answer, a.farewell = flags&flagEligible != 0, flags&flagAnswer != 0, flags&flagFarewell != 0
	a.interval, a.stale = r.duration(), r.duration()
	a.version = r.uvarint()
	copy(a.digest[:], r.take(len(a.digest)))
	if reason := r.string(); string(reason) != a.reason {
		a.reason = string(reason)
	}
	a.held, _ = r.set(a.held)
	a.claims = resize(a.claims, r.count(2))
	for i := range a.claims {
		c := &a.claims[i]
		c.begin = r.uvarint()
		c.groups, _ = r.set(c.groups)
	}
	a.barred = resize(a.barred, r.count(2))
	for i := range a.barred {
		x := &a.barred[i]
		switch penalty := r.uvarint(); penalty {
		case 0:
			x.penalty = vipgroup.Barred
		case pullMark:
			x.penalty = vipgroup.Pull
		default:
			x.penalty = int(min(penalty, vipgroup.Barred))
		}
		x.groups, _ = r.set(x.groups)
	}
	a.objections = resize(a.objections, r.count(9))
	for i := range a.objections {
		o := &a.objections[i]
		o.target, o.named = r.id(), r.id()
		o.groups, o.all = r.set(o.groups)
	}
	a.heard = resize(a.heard, r.count(13))
	for i := range a.heard {
		a.heard[i] = heard{node: r.id(), boot: r.uint64(), seq: r.uvarint()}
	}
	return !r.bad && len(r.b) == 0
}

// resize returns s with n entries, keeping what the old ones own for reuse.
func resize[T any](s []T, n int) []T {
	if n > cap(s) {
		s = append(s[:cap(s)], make([]T, n-cap(s))...)
	}
	return s[:n]
}
