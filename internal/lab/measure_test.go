package lab

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bench is a cluster without daemons: the test moves the addresses.
func bench(t *testing.T) *cluster {
	t.Helper()
	kernel(t)
	c := &cluster{groups: layout([]string{"a", "b"}, 1), interval: defaultInterval, stale: defaultStale}
	c.vips = vipsOf(c.groups)
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	var err error
	if c.wire, err = newWire([]string{"a", "b", "client"}); err != nil {
		t.Fatal(err)
	}
	c.client = c.wire.ports[2]
	for i, p := range c.wire.ports[:2] {
		c.nodes = append(c.nodes, &node{port: p, name: p.space.name, num: byte(i + 1)})
	}
	if err := c.observe(); err != nil {
		t.Fatal(err)
	}
	return c
}

// plumb gives an address to a node and tells the client's kernel, or takes it away.
func (c *cluster) plumb(t *testing.T, n *node, vip netip.Addr, on bool) {
	t.Helper()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	change := n.inside.AddrDel
	if on {
		change = n.inside.AddrAdd
	}
	if err := change(n.link, addr); err != nil {
		t.Fatal(err)
	}
	if on {
		err := c.client.inside.NeighSet(&netlink.Neigh{LinkIndex: c.client.link.Attrs().Index, State: netlink.NUD_REACHABLE,
			IP: vip.AsSlice(), HardwareAddr: n.mac})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// served waits until the client is answered by a node.
func (c *cluster) served(t *testing.T, vip netip.Addr, by *node) {
	t.Helper()
	for c.probe.serving()[vip] != by.num {
		if err := Pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// kernels is what they reported so far.
func (c *cluster) kernels(t *testing.T) []hold {
	t.Helper()
	all, err := c.lookout.history()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMeasuresGap(t *testing.T) {
	c := bench(t)
	a, b, vip := c.nodes[0], c.nodes[1], c.vips[0]
	c.plumb(t, a, vip, true)
	c.served(t, vip, a)

	c.probe.begin()
	c.census.begin()
	at := now()
	c.plumb(t, a, vip, false)
	dark := 70 * time.Millisecond
	time.Sleep(dark)
	c.plumb(t, b, vip, true)
	c.served(t, vip, b)
	silence, late := c.probe.end()
	if silence[vip] < dark {
		t.Errorf("the client saw a silence of %v, the address was away for %v", silence[vip], dark)
	}
	if late <= 0 {
		t.Errorf("the probe was never late (%v): is it measured?", late)
	}
	all := c.kernels(t)
	if d := overlap(all, at, now()); d != 0 {
		t.Errorf("two owners for %v in a move with a gap: %v", d, all)
	}
	if n := c.census.end(); n != 0 {
		t.Errorf("%d ARP requests had two answers in a move with a gap", n)
	}
	moved, any := taken(all, map[netip.Addr]byte{vip: b.num}, at)
	if !any || moved < dark {
		t.Errorf("moved after %v (%v), before the address was free", moved, any)
	}
}

func TestMeasuresTwoOwners(t *testing.T) {
	c := bench(t)
	a, b, vip := c.nodes[0], c.nodes[1], c.vips[0]
	c.plumb(t, a, vip, true)
	c.served(t, vip, a)

	c.census.begin()
	at := now()
	c.plumb(t, b, vip, true)
	time.Sleep(3 * askEvery)
	for c.census.end() == 0 { // ends with the test's time at the latest
		if err := Pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	c.plumb(t, a, vip, false)
	for c.kernels(t)[0].to == forever {
		if err := Pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	// The lookout may be late by whatever the machine pleases, but sees the order.
	if d, most := overlap(c.kernels(t), at, now()), time.Duration(now()-at); d <= 0 || d > most {
		t.Errorf("two owners for %v, the test took %v", d, most)
	}
}

// An extended lifetime is no change; an address that the kernel drops by itself is one.
func TestLookoutSeesExpiryAndNoExtension(t *testing.T) {
	c := bench(t)
	a, vip := c.nodes[0], c.vips[0]
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(32, 32)}, ValidLft: 1, PreferedLft: 1}
	for range 3 {
		if err := a.inside.AddrReplace(a.link, addr); err != nil {
			t.Fatal(err)
		}
	}
	extended := now()
	var seen []change
	for len(seen) < 2 {
		if err := Pause(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		c.lookout.mu.Lock()
		seen = slices.Clone(c.lookout.changes)
		c.lookout.mu.Unlock()
	}
	if !seen[0].present || seen[1].present || seen[1].at.sub(extended) < 900*time.Millisecond {
		t.Errorf("want the address to come once and go after a second: %+v", seen)
	}
	if have, err := a.table(); err != nil || len(have) != 0 {
		t.Errorf("the table still has %v (%v)", have, err)
	}
}

// Reports that are lost may have been of two owners: whoever asks from then on gets an error.
func TestLookoutOwnsUpToALoss(t *testing.T) {
	c := bench(t)
	a, vip := c.nodes[0], c.vips[0]
	if err := c.lookout.socks[0].SetReceiveBufferSize(1, false); err != nil { // as small as it gets
		t.Fatal(err)
	}
	c.lookout.mu.Lock() // it stands still
	for range 100 {
		c.plumb(t, a, vip, true)
		c.plumb(t, a, vip, false)
	}
	c.lookout.mu.Unlock()
	<-c.lookout.done
	if _, err := c.lookout.history(); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("lost reports gave the error %v", err)
	}
}

// What was before the mark is known to be there, and takes no room.
func TestLookoutForgets(t *testing.T) {
	c := bench(t)
	a, b, vip := c.nodes[0], c.nodes[1], c.vips[0]
	c.plumb(t, b, vip, true)
	c.plumb(t, b, vip, false)
	c.plumb(t, a, vip, true)
	for all := c.kernels(t); len(all) < 2; all = c.kernels(t) {
		if err := Pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	c.lookout.mark()
	if all := c.kernels(t); !slices.Equal(all, []hold{{a.num, vip, 0, forever}}) {
		t.Errorf("after the mark: %+v", all)
	}
}

// More VIPs than a round has probes take turns, but for a sample: that is measured to the
// round, and of the others only what is certain counts.
func TestFocus(t *testing.T) {
	var targets []*target
	var sample []netip.Addr
	for _, vip := range vipsOf(homes([]string{"a", "b"}, 19)) {
		targets = append(targets, &target{vip: vip, record: newRecord(1 << 10)})
	}
	pr := &prober{targets: targets, every: tick}
	for _, t := range targets[5:15] { // more than it can look at
		sample = append(sample, t.vip)
	}
	pr.focus(sample)
	if got := len(pr.inFocus()); got != inFocus {
		t.Fatalf("%d VIPs in focus, want %d", got, inFocus)
	}
	if pr.turn() != 10*tick { // 20 VIPs, two at a time
		t.Errorf("the others are probed every %v", pr.turn())
	}
	const dark, light = 40 * ms, 100 * ms
	for _, tt := range targets {
		every := instant(pr.turn())
		if slices.Contains(pr.inFocus(), tt) {
			every = instant(tick)
		}
		for at := instant(0); at <= 200*ms; at += every {
			if num := tt.record.send(at); at < dark || at >= light {
				tt.record.answer(num, at)
			}
		}
	}
	got := pr.silence(200 * ms)
	if in, out := got[targets[5].vip], got[targets[0].vip]; in != 61*time.Millisecond || out != 50*time.Millisecond {
		t.Errorf("dark for 60 ms: in focus %v, want 61ms; else %v, want 50ms", in, out)
	}
	pr.focus(nil)
	if pr.turn() != 3*tick {
		t.Errorf("without a focus each is probed every %v", pr.turn())
	}
}

// A real-time thread without a budget spins in Go's runtime for another that it keeps from the
// processor, for up to a second in which no daemon runs there.
func TestUrgentHasABudget(t *testing.T) {
	policy := make(chan uint32)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		urgent(answerBudget)
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Error(err)
			attr = &unix.SchedAttr{}
		}
		policy <- attr.Policy
	}()
	if p := <-policy; p == unix.SCHED_FIFO || p == unix.SCHED_RR {
		t.Errorf("the scheduling class is %d, which has no budget", p)
	}
}
