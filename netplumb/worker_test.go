package netplumb

import (
	"testing"
	"time"
)

func TestLinksAreLookedAtTwiceAsOftenWhileAsking(t *testing.T) {
	const last = time.Hour // CLOCK_BOOTTIME of the look before
	w := &worker{pollAt: last + pollEvery}
	for _, tt := range []struct {
		since  time.Duration
		asking bool
		due    bool
	}{
		{pollEvery / 2, false, false},
		{pollEvery - 1, false, false},
		{pollEvery, false, true},
		{pollEvery/2 - 1, true, false},
		{pollEvery / 2, true, true},
	} {
		if due := w.pollDue(last+tt.since, tt.asking); due != tt.due {
			t.Errorf("%v after a look, asking %v: due %v, want %v", tt.since, tt.asking, due, tt.due)
		}
	}
}
