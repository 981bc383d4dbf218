package netplumb

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/vipgroup"
)

// patience bounds what must come at all; nothing is expected to need it.
const patience = 15 * time.Second

// A namespace is an anonymous network namespace that lives as long as its test.
type namespace struct {
	t  testing.TB
	fd int
	h  *netlink.Handle
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: needs network namespaces")
	}
	n := &namespace{t: t}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			n.fd = fd
			n.h, err = netlink.NewHandle(unix.NETLINK_ROUTE)
			return err
		}()
	}()
	if err := <-failed; err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Fatalf("make a network namespace: %v (needs root, or run with -short)", err)
		}
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = n.h.Close()
		_ = unix.Close(n.fd)
	})
	n.up("lo")
	return n
}

// enter runs f inside the namespace and waits for it.
func (n *namespace) enter(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// must fails the test on an error.
func (n *namespace) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *namespace) link(name string) netlink.Link {
	n.t.Helper()
	l, err := n.h.LinkByName(name)
	n.must(err)
	return l
}

func (n *namespace) up(name string)   { n.t.Helper(); n.must(n.h.LinkSetUp(n.link(name))) }
func (n *namespace) down(name string) { n.t.Helper(); n.must(n.h.LinkSetDown(n.link(name))) }

// add puts an address there by hand, as another program would.
func (n *namespace) add(addr, link string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(addr)
	n.must(err)
	n.must(n.h.AddrReplace(n.link(link), a))
}

func (n *namespace) del(addr, link string) {
	n.t.Helper()
	a, err := netlink.ParseAddr(addr)
	n.must(err)
	n.must(n.h.AddrDel(n.link(link), a))
}

// port opens a port for ARP on eth0 that nobody listens to.
func (n *namespace) port(mac MAC) (p *port) {
	n.t.Helper()
	index := n.link("eth0").Attrs().Index
	n.must(n.enter(func() (err error) { p, err = openPort(portID{link: "eth0"}, index, mac); return err }))
	n.t.Cleanup(func() { _ = p.conn.Close() }) // its close would wait for a listener for ever
	return p
}

// addresses returns the IPv4 addresses of a link, as "10.0.0.1/24".
func (n *namespace) addresses(link string) []string {
	n.t.Helper()
	l, err := n.h.LinkByName(link)
	if err != nil {
		return nil
	}
	list, err := n.h.AddrList(l, netlink.FAMILY_V4)
	n.must(err)
	var out []string
	for _, a := range list {
		out = append(out, a.IPNet.String())
	}
	slices.Sort(out)
	return out
}

// A lan is two hosts whose eth0 are the ends of one wire, both 10.1.2.0/24: a is .1 and
// b is .2. Tests with a lan run side by side: they mostly wait for the kernel.
type lan struct{ a, b *namespace }

func newLAN(t testing.TB) lan {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	l := lan{newNamespace(t), newNamespace(t)}
	l.wire()
	l.a.add("10.1.2.1/24", "eth0")
	l.b.add("10.1.2.2/24", "eth0")
	return l
}

// wire joins the two by a new veth pair, without addresses.
func (l lan) wire() {
	l.a.t.Helper()
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: "eth0", HardwareAddr: net.HardwareAddr(us[:])},
		PeerName:         "eth0",
		PeerHardwareAddr: net.HardwareAddr(them[:]),
		PeerNamespace:    netlink.NsFd(l.b.fd),
	}
	l.a.must(l.a.h.LinkAdd(veth))
	l.a.up("eth0")
	l.b.up("eth0")
	for _, n := range []*namespace{l.a, l.b} { // the kernel opens the queue of the first end later, in its own time
		for begin := time.Now(); n.link("eth0").Attrs().OperState != netlink.OperUp; time.Sleep(time.Millisecond) {
			if time.Since(begin) > patience {
				n.t.Fatal("the wire is not up")
			}
		}
	}
}

// A running is a Plumber at work in a namespace.
type running struct {
	*Plumber
	t    testing.TB
	last Report
	ops  []Op
	errs []error
	// deleted is all that was said to be deleted.
	deleted []vipgroup.VIP
}

// start runs a Plumber until the test ends or stop is called.
func (n *namespace) start() (r *running, stop func()) {
	n.t.Helper()
	r = &running{Plumber: New(Options{}), t: n.t}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.enter(func() error { return r.Run(ctx) }) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("Run: %v", err)
		}
	}
	n.t.Cleanup(stop)
	return r, stop
}

// until takes reports until one satisfies ok.
func (r *running) until(what string, ok func(Report) bool) Report {
	r.t.Helper()
	late := time.After(patience)
	for {
		r.read()
		if ok(r.last) {
			return r.last
		}
		select {
		case <-r.Changed():
		case <-late:
			r.t.Fatalf("never %s; last report: %+v, errors %v", what, r.last, r.errs)
		}
	}
}

func (r *running) read() {
	r.last = r.Report()
	r.ops = append(r.ops, r.last.Ops...)
	r.errs = append(r.errs, r.last.Errors...)
	r.deleted = append(r.deleted, r.last.Deleted...)
}

// reach sets a desired state and waits until the kernel is there.
func (r *running) reach(d Desired) Report {
	r.t.Helper()
	seq := r.Set(d)
	return r.until("reached", func(p Report) bool { return p.Seq >= seq })
}

// keep makes d the desired state with a fresh grant each 50 ms, as the daemon does, until
// the returned function is called.
func (r *running) keep(d Desired) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			d.GrantUntil = Boottime() + d.Lifetime
			r.Set(d)
			select {
			case <-tick.C:
			case <-quit:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// testLifetime leaves a plumber that gets no processor for two seconds its addresses.
const testLifetime = 3 * time.Second

// granted is a desired state with a grant that outlives every test.
func granted(want, managed []vipgroup.VIP) Desired {
	return Desired{VIPs: want, Managed: managed, Lifetime: testLifetime, GrantUntil: Boottime() + time.Hour}
}

// many returns n VIPs of 10.1.0.0/16 from 10.1.8.0 on.
func many(n int) []vipgroup.VIP {
	a := netip.MustParseAddr("10.1.8.0")
	out := make([]vipgroup.VIP, n)
	for i := range out {
		a = a.Next()
		out[i] = vipgroup.VIP{Address: netip.PrefixFrom(a, 32), Interface: "eth0"}
	}
	return out
}

// TestMain fails when a goroutine outlives what started it.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("netplumb: -short leaves out the tests against the kernel")
	}
	goleak.VerifyTestMain(m)
}
