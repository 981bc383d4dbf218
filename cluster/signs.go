package cluster

import "time"

// signs keeps, for each group of the plan, what is known of its addresses while this
// node doesn't hold them: when they last lived, and whether their holder gave them up.
type signs []sign

type sign struct {
	newest  time.Time // a believed holder's announcement, an ARP answer or announcement
	answer  time.Time // the newest of the ARP kind
	proof   time.Time // the newest that a switch's memory can't bring about: all but ARP answers
	silent  time.Time // since when it is answered without a holder that is heard
	holder  int       // the node last heard to hold it; -1 when that says nothing any more
	boot    uint64
	heldAt  time.Time // when the holder last said so
	freed   time.Time // when the holder said that it no longer holds; zero: it has not
	fresh   bool      // we witnessed it: hold and release were said within 3 intervals
	other   int       // the node whose host had it instead of the holder's, at otherAt
	otherAt time.Time
	asked   walk      // by ARP
	askedOn time.Time // since when it is asked without a pause; zero while it is not
	pinged  walk      // by echo
	pingOn  time.Time // since when it is asked by echo without a pause; zero while it is not
}

const nobody = -1

func newSigns(groups int, now time.Time) signs {
	s := make(signs, groups)
	for i := range s {
		s[i] = sign{newest: now, proof: now, holder: nobody}
	}
	return s
}

// restart is for a moment after which nothing older can be trusted: a gap in which this
// node did nothing. Silence counts from now, and no release is left.
func (s signs) restart(now time.Time) {
	for i := range s {
		x := &s[i]
		x.begin(now)
		x.holder, x.freed, x.fresh = nobody, time.Time{}, false
	}
}

// deafened is restart for a gap in which this node heard nothing. What it gave up itself
// is known to be released all the same, if not freshly: whoever took it since answers.
func (s signs) deafened(now time.Time, self int) {
	for i := range s {
		x := &s[i]
		x.begin(now)
		if x.fresh = false; x.holder != self || !x.released() {
			x.holder, x.freed = nobody, time.Time{}
		}
	}
}

// begin lets silence count from now.
func (x *sign) begin(now time.Time) {
	x.newest, x.proof, x.askedOn, x.pingOn = now, now, time.Time{}, time.Time{}
}

// held notes that a node says that it holds the group.
func (s signs) held(group, node int, boot uint64, now time.Time) {
	x := &s[group]
	x.newest, x.proof = now, now
	x.heldAt, x.holder, x.boot, x.freed, x.fresh = now, node, boot, time.Time{}, false
	x.silent = time.Time{}
	if x.other == node {
		x.otherAt = time.Time{}
	}
}

// heldInPart notes that a node with another plan holds some of the group's addresses.
// Nobody can release such a group as a whole: it must fall silent.
func (s signs) heldInPart(group int, now time.Time) {
	x := &s[group]
	x.newest, x.proof = now, now
	x.holder, x.freed, x.fresh = nobody, time.Time{}, false
	x.silent = time.Time{}
}

// freedBy notes that the node last heard to hold the group no longer does. recent is how
// long ago it may have said otherwise for the event to be witnessed, unless it is known not to
// be; a farewell may also follow a recent sign of the address, since it speaks for a process
// that had fallen silent. Where another node's host had the address in that time, which may
// be there without being heard, nothing was released: the address has to fall silent.
func (s signs) freedBy(group, node int, boot uint64, farewell bool, now time.Time, witnessed bool, recent time.Duration) {
	x := &s[group]
	if x.holder != node || !x.freed.IsZero() {
		return
	}
	if now.Sub(x.otherAt) <= recent {
		x.holder = nobody
		return
	}
	last := x.heldAt
	if farewell && x.newest.After(last) {
		last = x.newest
	}
	x.freed, x.fresh = now, witnessed && x.boot == boot && now.Sub(last) <= recent
}

// lives notes that the address was seen on the wire, at the host of a node where that is
// known; proof says that this can't have been what a switch remembers of a host. A sign after
// a release ends it, and so does one of another node's host: whatever the former holder
// says from then on means nothing.
func (s signs) lives(group, node int, proof bool, now time.Time) {
	x := &s[group]
	x.newest, x.answer = now, now
	if proof {
		x.proof = now
	}
	elsewhere := node != nobody && node != x.holder
	if elsewhere {
		x.other, x.otherAt = node, now
	}
	if elsewhere || !x.freed.IsZero() {
		x.freed, x.fresh, x.holder = time.Time{}, false, nobody
	}
}

// yielded notes that this node let the group go because another has it.
func (s signs) yielded(group int, now time.Time) {
	x := &s[group]
	x.begin(now)
	x.holder, x.freed, x.fresh = nobody, time.Time{}, false
}

// released says whether the group was given up and nothing speaks against it.
func (x *sign) released() bool { return !x.freed.IsZero() }

// isFresh says whether the release was witnessed less than recent ago.
func (x *sign) isFresh(now time.Time, recent time.Duration) bool {
	return x.released() && x.fresh && now.Sub(x.freed) <= recent
}
