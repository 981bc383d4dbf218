package lab

import (
	"testing"
	"time"
)

func TestLost(t *testing.T) {
	for _, c := range []struct {
		name string
		// sent is when, and whether it was answered.
		sent     []instant
		answered []bool
		want     loss
	}{
		{"all answered", []instant{101, 102, 103}, []bool{true, true, true}, loss{}},
		{"a late probe is no gap", []instant{101, 150, 151}, []bool{true, true, true}, loss{}},
		{"one lost", []instant{101, 102, 103}, []bool{true, false, true}, loss{1, 2, 102}},
		{"the longer of two", []instant{101, 102, 103, 104, 105, 106}, []bool{true, false, true, false, false, true}, loss{3, 3, 105}},
		{"lost from the start", []instant{101, 102}, []bool{false, true}, loss{1, 2, 101}},
		{"lost until the end", []instant{101, 102, 103}, []bool{true, false, false}, loss{2, 19, 103}},
		{"after the end", []instant{101, 119, 121}, []bool{true, true, false}, loss{}},
	} {
		r := newRecord(8)
		for i, at := range c.sent {
			num := r.send(at)
			if c.answered[i] {
				r.answer(num, at.add(time.Microsecond))
			}
		}
		if got := r.lost(0, 100, 120); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
