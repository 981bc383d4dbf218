package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
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

// Whoever adds an address by hand is told why it is gone again, be it that it was seen first
// or removed at once.
func TestStraysAreTold(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1", "10.0.0.2")
	one, two := plan.Groups[plan.Owns("10.0.0.1")], plan.Groups[plan.Owns("10.0.0.2")]
	first, second := one.VIPs[0], two.VIPs[0]
	p := &scriptedPlumber{}
	k := newKernel(p, plan, time.Second)
	var out bytes.Buffer
	l := &loop{kernel: k, log: slog.New(slog.NewTextHandler(&out, nil)), complaints: map[string]time.Time{}}
	now := time.Unix(1000, 0)
	step := func(what string, hold []vipgroup.Key, told bool, present []vipgroup.VIP, ops ...netplumb.Op) {
		t.Helper()
		now = now.Add(complainAgain)
		k.desire(hold, time.Duration(now.Unix()))
		p.report = netplumb.Report{Seq: uint64(len(p.set)), Present: present, Ops: ops}
		k.observe()
		out.Reset()
		l.warnOfStrays(now, k.strays)
		if got := out.String(); strings.Contains(got, "another program put 10.0.0.1 on eth0") != told || told != (got != "") {
			t.Errorf("%s: the log says %q, want a warning: %v", what, got, told)
		}
	}
	remove := netplumb.Op{Kind: netplumb.Remove, Address: netip.MustParsePrefix("10.0.0.1/32"), Link: "eth0"}
	hold := []vipgroup.Key{one.Key}
	step("nothing is there", nil, false, nil)
	step("it is added by hand", nil, true, []vipgroup.VIP{first})
	step("and removed", nil, false, nil, remove)
	step("it is added by hand and removed at once", nil, true, nil, remove)
	step("it is taken", hold, false, []vipgroup.VIP{first})
	step("the other one, too", []vipgroup.Key{one.Key, two.Key}, false, []vipgroup.VIP{first, second})
	step("it is given up", []vipgroup.Key{two.Key}, false, []vipgroup.VIP{second}, remove)
	step("it is taken, and given up before it was seen", hold, false, []vipgroup.VIP{second})
	step("so it is seen late", nil, false, []vipgroup.VIP{first, second})
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
