package daemon

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

const majorityText = planText + `
partition: single
voters: [a, b, w]
`

// TestOnlyAMajority cuts a node off from the other and from the third, which only votes:
// it gives up what it has before its guard has to, and the other takes it.
func TestOnlyAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		g := &fakeGuard{world: &w, changed: make(chan struct{}, 1)}
		a := w.start(t, "a", majorityText, func(n *fakeNode) { n.loop.guard = g })
		b := w.start(t, "b", majorityText)
		voter := w.start(t, "w", majorityText)
		time.Sleep(10 * time.Second)
		if len(a.kernel.addresses()) != 1 || len(b.kernel.addresses()) != 1 || len(voter.kernel.addresses()) != 0 {
			t.Fatalf("a has %v, b %v, the voter %v", a.kernel.addresses(), b.kernel.addresses(), voter.kernel.addresses())
		}
		if s := voter.loop.Status(); s.State.Active || s.State.InactiveReason == nil || *s.State.InactiveReason != "a voter only" {
			t.Errorf("the voter's state is %+v", s.State)
		}
		if s := a.loop.Status(); !slices.ContainsFunc(s.Peers, func(p ctlsocket.Peer) bool { return p.Node == "w" && p.State == "live" }) {
			t.Errorf("a's peers are %+v", s.Peers)
		}
		c := a.loop.config
		granted := func() (kernel, guard time.Duration) {
			a.kernel.mu.Lock()
			kernel = a.kernel.desired.GrantUntil - a.kernel.boottime()
			a.kernel.mu.Unlock()
			g.mu.Lock()
			defer g.mu.Unlock()
			return kernel, g.until - a.kernel.boottime()
		}
		if kernel, guard := granted(); kernel <= 0 || kernel > c.Stale || guard <= kernel || guard > kernel+guardMargin {
			t.Errorf("the kernel has %v left, the guard %v", kernel, guard)
		}

		w.mu.Lock()
		w.cut = "a"
		w.mu.Unlock()
		cut := time.Now()
		for len(a.kernel.addresses()) > 0 {
			if _, guard := granted(); guard <= 0 || time.Since(cut) > c.Stale {
				t.Fatalf("%v after the cut the guard has %v left, and a has %v\n%s", time.Since(cut), guard, a.kernel.addresses(), a.log)
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		// That it hears nobody any more it may have found out in the meantime.
		if s := a.loop.Status(); s.State.InactiveReason == nil || !strings.Contains(*s.State.InactiveReason, "no majority: 1 of 3 voters acknowledge") &&
			!strings.HasPrefix(*s.State.InactiveReason, "isolated") {
			t.Errorf("the cut-off node is inactive: %v", s.State.InactiveReason)
		}
		time.Sleep(c.Stale + c.Lifetime + 2*time.Second)
		if len(b.kernel.addresses()) != 2 || len(a.kernel.addresses()) != 0 {
			t.Errorf("after the cut a has %v, b %v", a.kernel.addresses(), b.kernel.addresses())
		}
		for _, n := range []*fakeNode{a, b, voter} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}
