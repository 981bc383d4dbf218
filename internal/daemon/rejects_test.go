package daemon

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// Every forged packet of a flood is counted, and the log tells of some of them.
func TestAFloodIsCountedAndLoggedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		n := w.start(t, "a", planText)
		stranger := w.socket("stranger", netip.MustParseAddrPort("10.0.0.9:5007"))
		time.Sleep(time.Minute)
		const forged = 5 * rejectLines
		for range forged {
			if err := stranger.Send(bytes.Repeat([]byte("x"), 100), netip.AddrPort{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		if err := stranger.Send([]byte("once more"), netip.AddrPort{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := n.loop.published.Load().status.Stats.Refused[cluster.WrongFormat]; got != forged {
			t.Errorf("%d counted, want %d", got, forged)
		}
		if got := strings.Count(n.log.String(), "packet refused"); got != rejectLines+1 {
			t.Errorf("%d lines in the log, want %d and that of the last one", got, rejectLines)
		}
		if !n.log.has(`msg="more packets were refused" count=400`) {
			t.Error("the log doesn't say how many more there were")
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}
