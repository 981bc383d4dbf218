package check

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		rise, fall    int
		results, news string // H and F; + where the verdict is new
	}{
		{0, 0, "HHFFH", "+.+.+"},
		{1, 1, "FHFH", "+++."},
		{2, 3, "HFFHFFFHFHH", "+.....+...+"},
		{3, 1, "FHHFHHHF", "+.....++"},
		// With each relapse soon after a recovery it takes twice as long to be believed.
		{1, 1, "HFHFHHFHHHHF", "++++.++...++"},
		{1, 1, "HFHFHFHFHFHFHFHF", "++++............"},
		{1, 1, "HFH" + strings.Repeat("H", steadyAfter) + "FHFH", "+++" + strings.Repeat(".", steadyAfter) + "+++."},
	} {
		v := verdict{rise: test.rise, fall: test.fall}
		var news strings.Builder
		for _, r := range test.results {
			if v.take(r == 'H') {
				news.WriteByte('+')
			} else {
				news.WriteByte('.')
			}
		}
		if news.String() != test.news {
			t.Errorf("rise %d, fall %d, results %s: news at %s, want %s", test.rise, test.fall, test.results, news.String(), test.news)
		}
	}
}

// A listener is a host that passes the reasons of votes on.
type listener struct {
	plugin.Host
	heard chan string
}

func (l listener) Vote(votes ...plugin.Vote) { l.heard <- votes[0].Reason }
func (l listener) Log() *slog.Logger         { return slog.New(slog.DiscardHandler) }

// A look that takes too long has failed, has none beside it, and what comes of it then is of
// long ago. What it uses is given back when it has returned, for which the check doesn't wait.
func TestStubbornLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Common{Label: "x", Interval: time.Second, Timeout: 500 * time.Millisecond}
		l := listener{heard: make(chan string, 100)}
		ctx, cancel := context.WithCancel(t.Context())
		var looks, done, ended atomic.Int32
		answers := make(chan string)
		look := func() string {
			looks.Add(1)
			return <-answers
		}
		go func() {
			c.watchStubborn(ctx, l, look, nil, func() { ended.Add(1) })
			done.Add(1)
		}()
		want := func(n int32, reasons ...string) {
			t.Helper()
			synctest.Wait()
			var heard []string
			for range len(l.heard) {
				heard = append(heard, <-l.heard)
			}
			if looks.Load() != n || !slices.Equal(heard, reasons) {
				t.Errorf("%d looks, votes %q, want %d and %q", looks.Load(), heard, n, reasons)
			}
		}
		const late = "not done within 500ms"
		time.Sleep(3250 * time.Millisecond)
		want(1, late, late, late, late)
		answers <- ""
		want(1)
		time.Sleep(time.Second)
		want(2)
		answers <- ""
		want(2, "")
		time.Sleep(time.Second)
		cancel()
		want(3)
		if done.Load() != 1 || ended.Load() != 0 {
			t.Errorf("the check has ended %d times, its look %d times, want 1 and 0", done.Load(), ended.Load())
		}
		answers <- ""
		if synctest.Wait(); ended.Load() != 1 {
			t.Error("what the look used is not given back")
		}
	})
}
