package netplumb

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNextAnnouncement(t *testing.T) {
	var got []string
	at := time.Duration(0)
	for range 9 {
		at = nextAnnouncement(at)
		got = append(got, at.String())
	}
	want := []string{"20ms", "40ms", "100ms", "1s", "3s", "10s", "1m10s", "2m10s", "3m10s"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("after taking an address (-want +got):\n%s", d)
	}
	if got := nextAnnouncement(50 * time.Millisecond); got != 100*time.Millisecond {
		t.Errorf("after 50 ms the next is at %v, want 100ms", got)
	}
}

// play moves a clock by hand to every instant that the schedule names and returns what
// goes out, as "instant address".
func play(s *schedule, now, until time.Duration, rate int) []string {
	var out []string
	for {
		for f := s.next(now, rate); f != nil; f = s.next(now, rate) {
			out = append(out, fmt.Sprintf("%v %s", now, f[0]))
		}
		at, any := s.wake(now, rate)
		if !any || at > until {
			return out
		}
		now = max(at, now+1)
	}
}

func names(i int) (netip.Addr, [][]byte) {
	a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	return a, [][]byte{[]byte(a.String()), nil}
}

func TestSchedule(t *testing.T) {
	const start = time.Hour
	var s schedule
	a, fa := names(1)
	b, fb := names(2)
	s.take(start, a, fa)
	s.take(start+10*time.Millisecond, b, fb)
	got := play(&s, start, start+90*time.Millisecond, 1000)
	want := []string{"1h0m0.02s 10.0.0.1", "1h0m0.03s 10.0.0.2", "1h0m0.04s 10.0.0.1", "1h0m0.05s 10.0.0.2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("two addresses (-want +got):\n%s", d)
	}

	// Announced again, an address keeps its schedule.
	s.stop(b)
	s.again(start+95*time.Millisecond, a)
	s.again(start+95*time.Millisecond, b)
	got = play(&s, start+95*time.Millisecond, start+2*time.Second, 1000)
	want = []string{"1h0m0.095s 10.0.0.1", "1h0m0.1s 10.0.0.1", "1h0m1s 10.0.0.1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("announced again, the other stopped (-want +got):\n%s", d)
	}

	// A link that comes up begins anew.
	s.restart(start + time.Minute)
	got = play(&s, start+time.Minute, start+time.Minute+50*time.Millisecond, 1000)
	want = []string{"1h1m0s 10.0.0.1", "1h1m0.02s 10.0.0.1", "1h1m0.04s 10.0.0.1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("after the link came up (-want +got):\n%s", d)
	}
	s.stop(a)
	if _, any := s.wake(start+time.Hour, 1000); any {
		t.Error("an empty schedule wants to be woken")
	}
}

func TestSchedulePaces(t *testing.T) {
	const n, rate, framesEach, start = 1000, 1000, 2, time.Hour
	var s schedule
	last := make(map[string]time.Duration)
	for i := range n {
		a, f := names(i)
		s.take(start, a, f)
	}
	count, now := 0, start
	for until := start + 10*time.Second; now < until; {
		for f := s.next(now, rate); f != nil; f = s.next(now, rate) {
			count++
			last[string(f[0])] = now
		}
		if most := burst/framesEach + int((now-start).Seconds()*rate/framesEach) + 1; count > most {
			t.Fatalf("%d announcements after %v, at most %d allowed", count, now-start, most)
		}
		at, _ := s.wake(now, rate)
		now = max(at, now+time.Microsecond)
	}
	// A burst at most in front, 500 a second behind it, and nobody is passed over.
	if least := 2 * n; count < least {
		t.Errorf("%d announcements in 10 s, want at least %d", count, least)
	}
	if len(last) != n {
		t.Errorf("%d of %d addresses were announced", len(last), n)
	}
}
