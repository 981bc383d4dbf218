package cluster

import "math/bits"

// A set holds groups of a plan by their place in it.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) has(i int) bool { return i>>6 < len(s) && s[i>>6]&(1<<(i&63)) != 0 }
func (s set) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s set) del(i int)      { s[i>>6] &^= 1 << (i & 63) }
func (s set) clear()         { clear(s) }

// fill puts the first n places in.
func (s set) fill(n int) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	if r := n & 63; r != 0 {
		s[len(s)-1] = 1<<r - 1
	}
}

func (s set) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

func (s set) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s set) or(o set) {
	for i, w := range o {
		if i < len(s) {
			s[i] |= w
		}
	}
}

func (s set) minus(o set) {
	for i := range min(len(s), len(o)) {
		s[i] &^= o[i]
	}
}

func (s set) meets(o set) bool {
	for i := range min(len(s), len(o)) {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func (s set) equal(o set) bool {
	for i := range max(len(s), len(o)) {
		var a, b uint64
		if i < len(s) {
			a = s[i]
		}
		if i < len(o) {
			b = o[i]
		}
		if a != b {
			return false
		}
	}
	return true
}

// copyFrom makes s, which keeps its length, equal to o.
func (s set) copyFrom(o set) {
	n := copy(s, o)
	clear(s[n:])
}

// all yields the members in order.
func (s set) all(yield func(int) bool) {
	for i, w := range s {
		for w != 0 {
			if !yield(i<<6 + bits.TrailingZeros64(w)) {
				return
			}
			w &= w - 1
		}
	}
}
