package cluster

import (
	"testing"
	"time"
)

// TestReleases: what is said and seen of an address, one after the other, and whether it
// counts as released after that, and as a release that this node witnessed.
func TestReleases(t *testing.T) {
	const recent = 300 * time.Millisecond
	type step func(s signs, now time.Time)
	held := func(node int, boot uint64) step {
		return func(s signs, now time.Time) { s.held(0, node, boot, now) }
	}
	freed := func(node int, boot uint64) step {
		return func(s signs, now time.Time) { s.freedBy(0, node, boot, false, now, true, recent) }
	}
	farewell := func(node int, boot uint64) step {
		return func(s signs, now time.Time) { s.freedBy(0, node, boot, true, now, true, recent) }
	}
	lives := func(s signs, now time.Time) { s.lives(0, nobody, false, now) }
	livesAt := func(node int) step {
		return func(s signs, now time.Time) { s.lives(0, node, false, now) }
	}
	yielded := func(s signs, now time.Time) { s.yielded(0, now) }
	restart := func(s signs, now time.Time) { s.restart(now) }
	pass := func(s signs, now time.Time) {} // each step takes 100 ms

	for _, tt := range []struct {
		name            string
		steps           []step
		released, fresh bool
	}{
		{"nothing", nil, false, false},
		{"held", []step{held(1, 5)}, false, false},
		{"held, freed", []step{held(1, 5), freed(1, 5)}, true, true},
		{"held, freed, long ago", []step{held(1, 5), freed(1, 5), pass, pass, pass, pass}, true, false},
		{"held long ago, freed", []step{held(1, 5), pass, pass, pass, freed(1, 5)}, true, false},
		{"freed by another", []step{held(1, 5), freed(2, 5)}, false, false},
		{"freed by its next process", []step{held(1, 5), freed(1, 6)}, true, false},
		{"freed by who never held", []step{freed(1, 5)}, false, false},
		{"held by two, freed by the first", []step{held(1, 5), held(2, 5), freed(1, 5)}, false, false},
		{"held by two, freed by the second", []step{held(1, 5), held(2, 5), freed(2, 5)}, true, true},
		{"held again", []step{held(1, 5), freed(1, 5), held(2, 7)}, false, false},
		{"held, freed, freed again", []step{held(1, 5), freed(1, 5), pass, pass, pass, freed(1, 5), pass}, true, false},
		{"seen after the release", []step{held(1, 5), freed(1, 5), lives}, false, false},
		{"seen, then freed once more", []step{held(1, 5), freed(1, 5), lives, freed(1, 5)}, false, false},
		{"seen, then freed by a new holder", []step{held(1, 5), freed(1, 5), lives, held(2, 6), freed(2, 6)}, true, true},
		{"seen before the release", []step{held(1, 5), lives, freed(1, 5)}, true, true},
		{"held long ago, seen, freed", []step{held(1, 5), pass, pass, lives, freed(1, 5)}, true, false},
		{"held long ago, seen, farewell", []step{held(1, 5), pass, pass, lives, farewell(1, 5)}, true, true},
		{"held long ago, farewell", []step{held(1, 5), pass, pass, pass, farewell(1, 5)}, true, false},
		{"seen, farewell of another", []step{held(1, 5), lives, farewell(2, 5)}, false, false},
		{"seen at its host, farewell", []step{held(1, 5), pass, pass, livesAt(1), farewell(1, 5)}, true, true},
		{"seen at another's host, farewell", []step{held(1, 5), pass, pass, livesAt(2), farewell(1, 5)}, false, false},
		{"seen at another's host, held and freed", []step{held(1, 5), livesAt(2), held(1, 5), freed(1, 5)}, false, false},
		{"seen at another's host, held, freed, said again", []step{held(1, 5), livesAt(2), held(1, 5), freed(1, 5), pass, pass, pass, freed(1, 5)}, false, false},
		{"seen at another's host long ago, held and freed", []step{held(1, 5), livesAt(2), pass, pass, held(1, 5), freed(1, 5)}, true, true},
		{"seen at another's host, held and freed there", []step{held(1, 5), livesAt(2), held(2, 6), freed(2, 6)}, true, true},
		{"let go to another", []step{held(1, 5), freed(1, 5), yielded}, false, false},
		{"let go to another, then freed by the former", []step{held(1, 5), yielded, freed(1, 5)}, false, false},
		{"a gap after the release", []step{held(1, 5), freed(1, 5), restart}, false, false},
		{"a gap before the release", []step{held(1, 5), restart, freed(1, 5)}, false, false},
	} {
		now := time.Unix(1000, 0)
		s := newSigns(1, now)
		for _, step := range tt.steps {
			now = now.Add(100 * time.Millisecond)
			step(s, now)
		}
		if got := s[0].released(); got != tt.released {
			t.Errorf("%s: released %v, want %v", tt.name, got, tt.released)
		}
		if got := s[0].isFresh(now, recent); got != tt.fresh {
			t.Errorf("%s: fresh %v, want %v", tt.name, got, tt.fresh)
		}
	}
}

// TestNewestSign: what counts as a sign of life of an address.
func TestNewestSign(t *testing.T) {
	start := time.Unix(1000, 0)
	later := start.Add(time.Second)
	for name, tt := range map[string]struct {
		event func(s signs)
		want  time.Time
	}{
		"the start of the process": {func(s signs) {}, start},
		"a holder's announcement":  {func(s signs) { s.held(0, 1, 1, later) }, later},
		"an ARP answer":            {func(s signs) { s.lives(0, nobody, false, later) }, later},
		"letting go to another":    {func(s signs) { s.yielded(0, later) }, later},
		"a gap":                    {func(s signs) { s.restart(later) }, later},
		"a release is none":        {func(s signs) { s[0].holder = 1; s.freedBy(0, 1, 1, true, later, true, 1) }, start},
		"another group's is none":  {func(s signs) { s.lives(1, nobody, false, later) }, start},
	} {
		s := newSigns(2, start)
		tt.event(s)
		if !s[0].newest.Equal(tt.want) {
			t.Errorf("%s: the newest sign is from %v, want %v", name, s[0].newest, tt.want)
		}
	}
}
