package netplumb

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/vipgroup"
)

func TestPlumbAndRemove(t *testing.T) {
	net := newLAN(t)
	p, stop := net.a.start()
	plan := vips(t, "10.1.2.3/24 on eth0", "10.1.2.4/24 on eth0", "10.9.0.3/24 on eth0")
	p.reach(granted(plan, plan))
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.1.2.3/32", "10.1.2.4/32", "10.9.0.3/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("plumbed (-want +got):\n%s", d)
	}
	if d := cmp.Diff(plan, p.last.Present, cmpopts); d != "" {
		t.Errorf("present (-want +got):\n%s", d)
	}
	list, err := net.a.h.AddrList(net.a.link("eth0"), netlink.FAMILY_V4)
	net.a.must(err)
	for _, a := range list {
		if ours := a.IPNet.String() != "10.1.2.1/24"; ours && (a.Protocol != Mark || a.ValidLft > 3 || a.PreferedLft > 3) {
			t.Errorf("%s has proto %d, valid_lft %d, preferred_lft %d", a.IPNet, a.Protocol, a.ValidLft, a.PreferedLft)
		}
	}
	l := p.last.Links[0]
	if !l.Exists || !l.Up || !l.Carrier || l.Own.String() != "10.1.2.1" {
		t.Errorf("link: %+v", l)
	}

	p.reach(granted(plan[1:2], plan))
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.1.2.4/32"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after removing two (-want +got):\n%s", d)
	}
	p.reach(granted(nil, plan))
	if d := cmp.Diff([]string{"10.1.2.1/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after removing all (-want +got):\n%s", d)
	}
	if len(p.last.Present) != 0 {
		t.Errorf("present: %v", p.last.Present)
	}
	stop()
	var ops []string
	for i, op := range p.ops {
		ops = append(ops, op.String())
		if i > 0 && op.At < p.ops[i-1].At {
			t.Errorf("%v is stamped before %v", op, p.ops[i-1])
		}
	}
	want := []string{
		"ip addr add 10.1.2.3/32 dev eth0 proto 86 valid_lft 3 preferred_lft 3",
		"ip addr add 10.1.2.4/32 dev eth0 proto 86 valid_lft 3 preferred_lft 3",
		"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
		"ip addr add 10.9.0.3/24 dev eth0 proto 86 valid_lft 3 preferred_lft 3",
		"ip addr del 10.1.2.3/32 dev eth0",
		"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
		"ip addr del 10.9.0.3/24 dev eth0",
		"ip addr del 10.1.2.4/32 dev eth0",
	}
	if d := cmp.Diff(want, ops); d != "" {
		t.Errorf("operations (-want +got):\n%s", d)
	}
}

// secondaries says of each IPv4 address of a link whether it is secondary to another.
func (n *namespace) secondaries(link string) map[string]bool {
	n.t.Helper()
	list, err := n.h.AddrList(n.link(link), netlink.FAMILY_V4)
	n.must(err)
	out := make(map[string]bool)
	for _, a := range list {
		out[a.IPNet.String()] = a.Flags&unix.IFA_F_SECONDARY != 0
	}
	return out
}

// Without a base address all VIPs of a subnet bring it along; that the first one goes must
// not take the second along, nor a foreign one.
func TestSecondariesSurvive(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.9.0.3/24 on eth0", "10.9.0.4/24 on eth0")
	p.reach(granted(plan, plan))
	if f := net.a.secondaries("eth0"); f["10.9.0.3/24"] || !f["10.9.0.4/24"] {
		t.Fatalf("secondary: %v; the test needs the first to be primary", f)
	}
	p.reach(granted(plan[1:], plan))
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.9.0.4/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after the primary was removed (-want +got):\n%s", d)
	}
	// Expiry is the same: nobody extends from here on, and the foreign one stays.
	d := granted(plan[1:], plan)
	d.GrantUntil = 0
	p.Set(d)
	net.a.add("10.9.0.77/24", "eth0") // becomes a secondary of ours
	p.until("expired", func(r Report) bool { return len(r.Present) == 0 })
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.9.0.77/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after the primary expired (-want +got):\n%s", d)
	}
}

// A host's address that comes after a VIP of its subnet, which brought that along, is what the
// host speaks from all the same: the VIP makes way for it, and is there all the time.
func TestLateOwnAddress(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.9.0.3/24 on eth0", "10.9.0.4/24 on eth0")
	p.reach(granted(plan, plan))
	net.a.add("10.9.0.77/24", "eth0")
	want := []string{"10.1.2.1/24", "10.9.0.3/32", "10.9.0.4/32", "10.9.0.77/24"}
	p.until("they stand alone", func(r Report) bool {
		if len(r.Present) != len(plan) {
			t.Errorf("present: %v", r.Present)
		}
		return slices.Equal(net.a.addresses("eth0"), want)
	})
	if f := net.a.secondaries("eth0"); f["10.9.0.77/24"] {
		t.Errorf("secondary: %v; the host's own should not be", f)
	}
	if len(p.last.Lost) > 0 || len(p.deleted) > 0 {
		t.Errorf("lost %v, deleted %v", p.last.Lost, p.deleted)
	}
	p.reach(granted(nil, plan))
	if d := cmp.Diff([]string{"10.1.2.1/24", "10.9.0.77/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("after all went (-want +got):\n%s", d)
	}
}

// What a host goes by stays, also where a plan lists it: wanted, given up, left at the end, or
// added again; unless another node has it.
func TestOwnAddressStays(t *testing.T) {
	net := newLAN(t)
	p, stop := net.a.start()
	p.reach(granted(nil, vips(t, "10.1.2.3/24 on eth0")))
	if own := p.last.Links[0].Own.String(); own != "10.1.2.1" {
		t.Fatalf("the host goes by %s", own)
	}
	plan := vips(t, "10.1.2.1/24 on eth0", "10.1.2.3/24 on eth0")
	p.Set(granted(plan, plan))
	p.until("plumbed", func(r Report) bool { return len(r.Present) == 1 && r.Present[0] == plan[1] })
	p.Set(granted(nil, plan))
	p.until("removed", func(r Report) bool { return len(r.Present) == 0 })
	net.a.del("10.1.2.1/24", "eth0")
	p.until("gone", func(r Report) bool { return !r.Links[0].Own.IsValid() })
	net.a.add("10.1.2.1/24", "eth0")
	p.until("back", func(r Report) bool { return r.Links[0].Own.String() == "10.1.2.1" })
	stop()
	if _, err := net.a.clear(plan); err != nil {
		t.Error(err)
	}
	list, err := net.a.h.AddrList(net.a.link("eth0"), netlink.FAMILY_V4)
	net.a.must(err)
	if len(list) != 1 || list[0].IPNet.String() != "10.1.2.1/24" || list[0].ValidLft != int(^uint32(0)) && list[0].ValidLft != -1 {
		t.Errorf("left is %v", list)
	}

	p, _ = net.a.start()
	p.reach(granted(nil, plan))
	d := granted(nil, plan)
	d.Elsewhere = []netip.Addr{plan[0].Address.Addr()}
	p.reach(d)
	if left := net.a.addresses("eth0"); len(left) > 0 {
		t.Errorf("although another node has it, %v is left", left)
	}
}

func TestIPv6(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	net.a.add("2001:db8::1/64", "eth0")
	plan := vips(t, "2001:db8::3/64 on eth0", "2001:db8:9::3/64 on eth0")
	p.reach(granted(plan, plan))
	flags := func() map[string]int {
		list, err := net.a.h.AddrList(net.a.link("eth0"), netlink.FAMILY_V6)
		net.a.must(err)
		out := make(map[string]int)
		for _, a := range list {
			if !a.IP.IsLinkLocalUnicast() {
				out[a.IPNet.String()] = a.Flags & (unix.IFA_F_TENTATIVE | unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_DEPRECATED)
			}
		}
		delete(out, "2001:db8::1/64")
		return out
	}
	want := map[string]int{
		"2001:db8::3/128":  unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_DEPRECATED,
		"2001:db8:9::3/64": unix.IFA_F_NODAD | unix.IFA_F_DEPRECATED,
	}
	if d := cmp.Diff(want, flags()); d != "" {
		t.Errorf("plumbed (-want +got):\n%s", d)
	}
	time.Sleep(testLifetime + 2*time.Second) // more than the kernel needs to drop them
	if d := cmp.Diff(want, flags()); d != "" {
		t.Errorf("extended (-want +got):\n%s", d)
	}
	p.reach(granted(nil, plan))
	if d := cmp.Diff(map[string]int{}, flags()); d != "" {
		t.Errorf("removed (-want +got):\n%s", d)
	}
}

func TestLeftOversAreRemoved(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/24 on eth0", "10.1.2.4/24 on eth0")
	left := func() {
		net.a.add("10.1.2.3/24", "eth0") // of the plan, not marked
		net.a.add("10.1.2.99/32", "eth0")
		marked, err := netlink.ParseAddr("10.7.7.7/32") // of an older plan, on another link
		net.a.must(err)
		marked.Protocol = Mark
		net.a.must(net.a.h.AddrReplace(net.a.link("lo"), marked))
	}
	check := func(how string) {
		t.Helper()
		if d := cmp.Diff([]string{"10.1.2.1/24", "10.1.2.99/32"}, net.a.addresses("eth0")); d != "" {
			t.Errorf("%s, eth0 (-want +got):\n%s", how, d)
		}
		if d := cmp.Diff([]string{"127.0.0.1/8"}, net.a.addresses("lo")); d != "" {
			t.Errorf("%s, lo (-want +got):\n%s", how, d)
		}
	}
	left()
	p, stop := net.a.start()
	if len(net.a.addresses("lo")) != 2 {
		t.Error("something was removed before the first Set")
	}
	r := p.reach(granted(nil, plan))
	if len(r.Present) != 0 {
		t.Errorf("present: %v", r.Present)
	}
	check("first Desired")
	stop()

	left()
	ops, err := net.a.clear(plan)
	net.a.must(err)
	check("Clear")
	if len(ops) != 2 || ops[0].At == 0 {
		t.Errorf("removals: %v", ops)
	}
}

// A thousand come and go, in batches that are reported before all are done.
func TestThousand(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := many(1000)
	p.reach(granted(plan, plan))
	if n := len(net.a.addresses("eth0")); n != 1001 {
		t.Fatalf("%d addresses, want 1001", n)
	}
	p.ops = nil
	seq := p.Set(granted(nil, plan))
	partly := false
	p.until("removed", func(r Report) bool {
		partly = partly || len(r.Present) > 0 && len(r.Present) < len(plan)
		return r.Seq >= seq
	})
	if n := len(net.a.addresses("eth0")); n != 1 {
		t.Errorf("%d addresses, want 1", n)
	}
	if !partly {
		t.Error("no report came before all were removed")
	}
	if len(p.ops) != 1000 {
		t.Errorf("%d operations, want 1000", len(p.ops))
	}
}

func TestLinkVanishesAndReturns(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0")
	p.reach(granted(plan, plan))
	net.a.must(net.a.h.LinkDel(net.a.link("eth0")))
	r := p.until("lost", func(r Report) bool { return len(r.Lost) == 1 && !r.Links[0].Exists })
	if len(r.Present) != 0 {
		t.Errorf("present: %v", r.Present)
	}
	// Wanted anew while there is no link: an error that names it, tried again.
	p.reach(granted(nil, plan))
	p.reach(granted(plan, plan))
	r = p.until("refused", func(r Report) bool { return len(r.Failed) == 1 })
	if got, want := r.Failed[0].Err.Error(), "plumb 10.1.2.3/32 on eth0: no such link on this host"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	net.wire()
	p.until("plumbed on the new link", func(r Report) bool { return len(r.Present) == 1 && len(r.Failed) == 0 && r.Links[0].Carrier })
}

func TestCarrierIsNoticed(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0")
	p.reach(granted(plan, plan))
	net.b.down("eth0")
	p.until("without carrier", func(r Report) bool { return r.Links[0].Up && !r.Links[0].Carrier })
	net.b.up("eth0")
	p.until("with carrier", func(r Report) bool { return r.Links[0].Carrier })
	net.a.down("eth0")
	p.until("down", func(r Report) bool { return !r.Links[0].Up })
}

// The kernel holds events of the carrier back when there are many: links are looked at all the
// same.
func TestCarrierIsPolled(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o := newOrders()
		w := newWorker(k, &events{}, newSpeaker(1000), o, newReports(), newCensus()) // no event reaches it
		defer w.speaker.close()
		o.set(granted(plan, plan))
		w.turn()
		if !w.links["eth0"].carries() {
			return errors.New("the link carries nothing from the first")
		}
		net.b.down("eth0")
		for late := Boottime() + patience; w.links["eth0"].carries(); w.turn() {
			if Boottime() > late {
				return errors.New("never noticed")
			}
			time.Sleep(w.wake() - Boottime())
		}
		return nil
	}))
}

func TestErrorsNameTheAddressAndTheNextStep(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	net.a.must(net.a.enter(Permitted))
	// A thread without capabilities, as a daemon of an ordinary user.
	err := net.a.enter(func() error {
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			return err
		}
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		o := newOrders()
		w := newWorker(k, &events{}, newSpeaker(1000), o, newReports(), newCensus())
		o.set(granted(plan, plan))
		w.turn()
		r := w.reports.take()
		if len(r.Failed) != 1 || !strings.HasPrefix(r.Failed[0].Err.Error(), "plumb 10.1.2.3/32 on eth0: operation not permitted (needs CAP_NET_ADMIN)") {
			t.Errorf("failed: %v", r.Failed)
		}
		if len(r.Errors) != 1 || r.Errors[0].Error() != "ARP socket on eth0: operation not permitted (needs CAP_NET_RAW)" {
			t.Errorf("errors: %v", r.Errors)
		}
		if len(r.Links) != 1 || text(r.Links[0].Deaf) != "operation not permitted (needs CAP_NET_RAW)" {
			t.Errorf("links: %+v", r.Links)
		}
		if err := Permitted(); err == nil || !strings.HasPrefix(err.Error(), "missing CAP_NET_ADMIN and CAP_NET_RAW: ") {
			t.Errorf("permitted: %v", err)
		}
		return nil
	})
	net.a.must(err)
}

func TestGateways(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	gw := vips(t, "10.1.2.254/32 on eth0")[0].Address.Addr()
	net.a.must(net.a.h.RouteAdd(&netlink.Route{LinkIndex: net.a.link("eth0").Attrs().Index, Gw: gw.AsSlice()}))
	p.Set(granted(nil, vips(t, "10.1.2.3/32 on eth0")))
	p.until("with a gateway", func(r Report) bool { return len(r.Gateways) == 1 && r.Gateways[0] == gw })
}

// The reader was away while far more happened than its buffer holds: it says so, everything
// is read anew, and later events still arrive.
func TestEventOverrun(t *testing.T) {
	net := newLAN(t)
	var e *events
	net.a.must(net.a.enter(func() (err error) { e, err = subscribe(4096, 0); return err }))
	for _, v := range many(200) {
		net.a.add(v.Address.String(), "eth0")
	}
	go e.listen()
	t.Cleanup(e.close)
	wait := func(what string, ok func() bool) {
		t.Helper()
		late := time.After(patience)
		for !ok() {
			select {
			case <-e.wake:
			case <-late:
				t.Fatalf("never %s", what)
			}
		}
	}
	wait("overrun", func() bool { return e.overruns.Load() > 0 })
	if e.deletions.Load() == 0 || !e.addresses.Load() || !e.links.Load() {
		t.Error("an overrun did not make everything suspect")
	}
	before := e.deletions.Load()
	net.a.del("10.1.8.1/32", "eth0")
	wait("told of a later deletion", func() bool { return e.deletions.Load() > before })
}

// cmpopts lets cmp look at addresses.
var cmpopts = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// Who can't read a link's name has not seen that its addresses are gone: else the guard
// would say farewell with all of them in the kernel.
func TestALinkWithoutANameIsNotGone(t *testing.T) {
	net := newLAN(t)
	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.requester.close()
		if _, err := k.h.LinkByIndex(1 << 20); !errors.As(err, &netlink.LinkNotFoundError{}) {
			t.Errorf("of a link that went the library says %v", err)
		}
		for all := reflect.ValueOf(k.h).Elem().FieldByName("sockets").MapRange(); all.Next(); {
			(*nl.SocketHandle)(all.Value().UnsafePointer()).Close()
		}
		if have, err := k.look(0); err == nil || !strings.HasPrefix(err.Error(), "read the name of link ") {
			t.Errorf("without the names of the links: %v, %v", have, err)
		}
		return nil
	}))
}

// By an alternative name nothing is added: it would be read back under the real one, and
// taken for gone.
func TestAnAlternativeNameIsNoLink(t *testing.T) {
	net := newLAN(t)
	net.a.must(net.a.h.LinkAddAltName(net.a.link("eth0"), "ens3"))
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/24 on ens3")
	r := p.reach(granted(plan, plan))
	if l := r.Links[0]; l.Exists || l.AliasOf != "eth0" {
		t.Errorf("link: %+v", l)
	}
	if d := cmp.Diff([]string{"10.1.2.1/24"}, net.a.addresses("eth0")); d != "" {
		t.Errorf("plumbed (-want +got):\n%s", d)
	}
	if len(r.Failed) != 1 || r.Failed[0].Err.Error() != "plumb 10.1.2.3/24 on ens3: another name of eth0: write eth0" {
		t.Errorf("failed: %v", r.Failed)
	}
}

// What is read of a link is what the library reads of it.
func TestLinkFacts(t *testing.T) {
	net := newLAN(t)
	net.b.must(net.b.h.LinkSetDown(net.b.link("eth0")))
	net.a.must(net.a.enter(func() error {
		k, err := openKernel()
		if err != nil {
			return err
		}
		defer k.close()
		for _, name := range []string{"eth0", "lo"} {
			l, err := k.h.LinkByName(name)
			if err != nil {
				return err
			}
			a := l.Attrs()
			f, ok, err := k.link(name)
			if err != nil || !ok || f.index != a.Index || !f.up || f.carrier != (a.RawFlags&unix.IFF_LOWER_UP != 0) || f.received > a.Statistics.RxPackets+100 {
				t.Errorf("%s: %+v, %v; the library says %+v", name, f, ok, a)
			}
			if want := map[string]string{"eth0": us.String()}[name]; f.mac.String() != want {
				t.Errorf("%s has %v, want %q", name, f.mac, want)
			}
		}
		for _, name := range []string{"eth9", "a-name-that-is-far-too-long", ""} {
			if f, ok, err := k.link(name); ok || err != nil {
				t.Errorf("%q: %+v, %v", name, f, err)
			}
		}
		return nil
	}))
}

func FuzzParseLink(f *testing.F) {
	f.Add(make([]byte, 16))
	f.Add(append(make([]byte, 16), 10, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) { parseLink(b) })
}

// clear lets a Cleaner work in the namespace.
func (n *namespace) clear(managed []vipgroup.VIP) (ops []Op, err error) {
	err = n.enter(func() error {
		c, err := NewCleaner()
		if err != nil {
			return err
		}
		defer c.Close()
		ops, err = c.Clear(managed)
		return err
	})
	return ops, err
}
