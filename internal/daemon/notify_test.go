package daemon

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/netplumb"
)

// What one kernel confirmed, the other node's plumber learns; a reload changes who is told.
func TestNeighboursAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.start(t, "a", planText)
		b := w.start(t, "b", planText+"notify: [arp-cache, {interface: eth0, ip: 10.0.0.9/29}]\narp-cache: 20\n")
		if w.find(0, "a notifies known false networks [] every 15s") < 0 ||
			w.find(0, "b notifies known true networks [{eth0 10.0.0.8/29}] every 20s") < 0 {
			t.Errorf("the plumbers were told otherwise:\n%s", strings.Join(w.diary, "\n"))
		}
		time.Sleep(2 * time.Second)
		a.kernel.near <- []netplumb.Neighbour{
			{Addr: netip.MustParseAddr("10.0.0.50"), MAC: netplumb.MAC{2, 0, 0, 0, 0, 5}, Age: 3 * time.Second},
			{Addr: netip.MustParseAddr("fe80::1"), MAC: netplumb.MAC{2, 0, 0, 0, 0, 6}}}
		time.Sleep(time.Second)
		if w.find(0, "b learns part 0 of 1 from a: [{10.0.0.50 02:00:00:00:00:05 3s}]") < 0 {
			t.Errorf("b didn't learn\n%s", b.log)
		}
		if i := w.find(0, "a learns"); i >= 0 {
			t.Error(w.diary[i])
		}

		from := w.length()
		b.setFile(planText + "notify: []\n")
		if _, err := b.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Error(err)
		}
		if w.find(from, "b notifies known false networks [] every 15s") < 0 {
			t.Error("the reload didn't change who is told")
		}
		b.setFile(planText + "notify: []\nwitness: 10.0.0.7\n")
		from = w.length()
		if _, err := b.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Error(err)
		}
		if i := w.find(from, "notifies"); i >= 0 {
			t.Errorf("a reload of something else: %s", w.diary[i])
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}
