package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestADeletedAddressComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		n.kernel.drop()
		time.Sleep(5 * time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("the node has %v, want both addresses again\n%s", got, n.log)
		}
		for _, words := range []string{"another program deleted 10.0.0.", " and 1 more from eth0", "KeepConfiguration=yes in the .network file of eth0", "nmcli device set eth0 managed no"} {
			if !n.log.has(words) {
				t.Errorf("the log does not say %q\n%s", words, n.log)
			}
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// meddle deletes everything that a node has each millisecond for a while, and returns how
// often the node took an address meanwhile.
func (w *world) meddle(n *fakeNode, long time.Duration) (taken int) {
	from := w.length()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n.kernel.drop()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, entry := range w.diary[from:] {
		if strings.HasPrefix(entry, n.name+" adds") {
			taken++
		}
	}
	return taken
}

// A tool that deletes an address again and again doesn't make the daemon spin.
func TestRepairsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		// Of two addresses, each ten times at once, then after 1, 2, 4 and 8 s.
		if got := w.meddle(n, 20*time.Second); got < 2*maxRepairs || got > 2*(maxRepairs+5) {
			t.Errorf("taken %d times in 20 s, want about %d", got, 2*(maxRepairs+4))
		}
		if why := n.loop.Status().Groups[0].Reason; !strings.Contains(why, "barred here by netplumb: another program deletes 10.0.0.1 from eth0 again and again") {
			t.Errorf("the group's reason is %q", why)
		}
		if got := strings.Count(n.log.String(), "KeepConfiguration"); got != 1 {
			t.Errorf("%d warnings, want 1", got)
		}
		time.Sleep(lastRetry)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("after the meddler left the node has %v\n%s", got, n.log)
		}
		// After a peace it is repaired at once again.
		n.kernel.drop()
		time.Sleep(time.Second)
		if got := n.kernel.addresses(); len(got) != 2 {
			t.Errorf("after one more deletion the node has %v\n%s", got, n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// Where somebody meddles all the time, another node is the better place.
func TestAMeddledGroupGoesToAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		w.meddle(a, 5*time.Second)
		if got := b.kernel.addresses(); len(got) != 2 {
			t.Errorf("the other node has %v, want both addresses\n%s", got, b.log)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A slow meddler never uses the repairs up.
func TestRepairsAreRefilled(t *testing.T) {
	now := time.Unix(0, 0)
	r := repairs{left: maxRepairs, filled: now}
	for i := range 100 {
		if now = now.Add(time.Second); !r.spend(now) {
			t.Fatalf("no repair left after %d at one a second", i)
		}
	}
	count := 0
	for range 100 {
		if now = now.Add(time.Millisecond); r.spend(now) {
			count++
		}
	}
	if count < maxRepairs-1 || count > maxRepairs {
		t.Errorf("%d repairs in 100 ms, want %d at most", count, maxRepairs)
	}
}
