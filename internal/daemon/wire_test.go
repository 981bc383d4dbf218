package daemon

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
)

// Only a host that surely is no node of the plan makes a silence suspicious: a node that
// was taken for one would be missed when it dies.
func TestOutsider(t *testing.T) {
	var (
		peer    = netip.MustParseAddr("10.0.0.102")
		gateway = netip.MustParseAddr("10.0.0.254")
		other   = netip.MustParseAddr("10.0.0.50")
		peerMAC = netplumb.MAC{2, 0, 0, 0, 0, 2}
		mac     = netplumb.MAC{2, 0, 0, 0, 0, 9}
	)
	tests := []struct {
		name  string
		known bool // the peer's hardware address is known
		heard netplumb.Heard
		want  bool
	}{
		{"the gateway", false, netplumb.Heard{Link: "eth0", Addr: gateway, MAC: mac}, true},
		{"a stranger while a node is unknown", false, netplumb.Heard{Link: "eth0", Addr: other, MAC: mac}, false},
		{"a stranger when all nodes are known", true, netplumb.Heard{Link: "eth0", Addr: other, MAC: mac}, true},
		{"a stranger on a link without chat", true, netplumb.Heard{Link: "eth1", Addr: other, MAC: mac}, false},
		{"the peer", true, netplumb.Heard{Link: "eth0", Addr: peer, MAC: peerMAC}, false},
		{"another address of the peer", true, netplumb.Heard{Link: "eth0", Addr: other, MAC: peerMAC}, false},
		{"a probe", true, netplumb.Heard{Link: "eth0", Addr: netip.IPv4Unspecified(), MAC: mac}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &knowing{scriptedPlumber: &scriptedPlumber{}, macs: map[netip.Addr]netplumb.MAC{}}
			if tt.known {
				k.macs[peer] = peerMAC
			}
			c, err := config.Parse("vippy.conf", []byte(planText))
			if err != nil {
				t.Fatal(err)
			}
			l := newLoop(Options{Config: c, Node: "a"}, parts{plumber: k})
			l.wire.chatLinks = []string{"eth0"}
			l.wire.hosts[peer] = "b"
			l.kernel.report.Gateways = []netip.Addr{gateway}
			if got := l.outsider(tt.heard); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// knowing is a plumber that heard hosts speak.
type knowing struct {
	*scriptedPlumber
	macs map[netip.Addr]netplumb.MAC
}

func (k *knowing) MAC(host netip.Addr) (netplumb.MAC, bool) {
	mac, ok := k.macs[host]
	return mac, ok
}

// A peer's hardware address is asked for until it is known, and when it was forgotten: who
// doesn't know it takes the peer's announcements for a foreign host's.
func TestAPeerIsAskedWhileItIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		peer := netip.MustParseAddr("10.0.0.101")
		asked := func() (times int) {
			a.kernel.meddle(func() { times = -a.kernel.asked[peer] })
			time.Sleep(10 * time.Second)
			a.kernel.meddle(func() { times += a.kernel.asked[peer] })
			return times
		}
		know := func(macs map[netip.Addr]netplumb.MAC) { a.kernel.meddle(func() { a.kernel.macs = macs }) }
		if n := asked(); n < 8 || n > 10 {
			t.Errorf("unknown, it was asked %d times in 10 s", n)
		}
		know(map[netip.Addr]netplumb.MAC{peer: {2, 0, 0, 0, 0, 2}})
		if n := asked(); n != 0 {
			t.Errorf("known, it was asked %d times", n)
		}
		know(nil)
		if n := asked(); n < 8 || n > 10 {
			t.Errorf("forgotten, it was asked %d times in 10 s", n)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// An address that answers is not taken, and the status says who answers.
func TestAnAnsweredAddressIsContested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		addr := netip.MustParseAddr("10.0.0.1")
		for range 400 { // 10 s
			n.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: netplumb.Answer, Addr: addr, MAC: foreign}
			n.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: netplumb.Echo, Addr: addr}
			time.Sleep(25 * time.Millisecond)
		}
		if i := w.find(0, "a adds 10.0.0.1"); i >= 0 {
			t.Errorf("an answered address was taken\n%s", n.log)
		}
		if w.find(0, "a adds 10.0.0.2") < 0 {
			t.Errorf("the other address was not taken\n%s", n.log)
		}
		for _, g := range n.loop.Status().Groups {
			if g.Name == "web" && g.Addresses[0].ContestedBy != "02:00:00:00:00:09" {
				t.Errorf("contested by %q", g.Addresses[0].ContestedBy)
			}
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

var foreign = netplumb.MAC{2, 0, 0, 0, 0, 9}

// One that only answers ARP, and no echo request, is a switch's memory: it is taken, and the
// log says from where the answer came.
func TestAMemoryIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		addr := netip.MustParseAddr("10.0.0.1")
		for range 400 { // 10 s
			n.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: netplumb.Answer, Addr: addr, MAC: foreign}
			time.Sleep(25 * time.Millisecond)
		}
		asked, taken := w.find(0, "a echoes 10.0.0.1"), w.find(0, "a adds 10.0.0.1")
		if asked < 0 || taken < asked {
			t.Errorf("asked by echo at place %d, taken at %d\n%s", asked, taken, n.log)
		}
		if w.find(0, "a echoes 10.0.0.2") >= 0 {
			t.Error("an address that nobody answers for was asked by echo")
		}
		if !n.log.has("10.0.0.1 was taken although ARP is answered for 02:00:00:00:00:09 on eth0") {
			t.Errorf("no alarm\n%s", n.log)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// A foreign host that claims what is held here is told of once, counted, shown until it has
// been silent for a while, and answered by announcements.
func TestAHeldAddressIsContested(t *testing.T) {
	for name, tt := range map[string]struct {
		kind netplumb.HeardKind
		macs int // from so many hardware addresses, one after the other
	}{
		"announced":          {netplumb.Announcement, 1},
		"asking in its name": {netplumb.Other, 1},
		"forged":             {netplumb.Announcement, 30},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				told := moody{make(chan bool), make(chan plugin.Event, 100)}
				n := w.start(t, "a", "version: 3\n"+soloText, func(n *fakeNode) { n.setPlugins(told) })
				time.Sleep(10 * time.Second)
				addr, from := netip.MustParseAddr("10.0.0.1"), w.length()
				mac := foreign
				for i := range 30 { // 3 s
					mac[0] = foreign[0] + 4*byte(i%tt.macs)
					n.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: tt.kind, Addr: addr, MAC: mac}
					time.Sleep(100 * time.Millisecond)
				}
				s := n.loop.Status()
				if by := addressOf(s, "web").ContestedBy; by != mac.String() || s.Stats.Conflicts != 30 {
					t.Errorf("contested by %q, %d conflicts", by, s.Stats.Conflicts)
				}
				said := 0
				for at := w.find(from, "a announces 10.0.0.1"); at >= 0; at = w.find(at+1, "a announces 10.0.0.1") {
					said++
				}
				if said < 15 || said > 31 {
					t.Errorf("announced %d times in 3 s of claims", said)
				}
				time.Sleep(15 * time.Second)
				if by := addressOf(n.loop.Status(), "web").ContestedBy; by != "" {
					t.Errorf("still contested by %q", by)
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
				const line = "a host that is no node of the plan claims 10.0.0.1, which this node has"
				if got := strings.Count(n.log.String(), line); got != 1 {
					t.Errorf("told %d times in the log\n%s", got, n.log)
				}
				heard := 0
				for range len(told.events) {
					if e := <-told.events; e.Kind == plugin.Conflict && e.Group.Name == "web" {
						heard++
						if e.PlanVersion != n.loop.config.Plan.Version {
							t.Errorf("the plan is said to be %d", e.PlanVersion)
						}
					}
				}
				if heard != 1 {
					t.Errorf("plugins were told %d times", heard)
				}
			})
		})
	}
}

func addressOf(s ctlsocket.Status, group string) ctlsocket.GroupAddress {
	for _, g := range s.Groups {
		if g.Name == group {
			return g.Addresses[0]
		}
	}
	return ctlsocket.GroupAddress{}
}

// Where the nodes chat, who speaks for a peer's address with another hardware address is no
// node, however long it does.
func TestAForeignHostIsNotTakenForItsVictim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		theirs := netip.MustParseAddr(b.kernel.addresses()[0])
		for range 3 {
			a.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: netplumb.Announcement, Addr: theirs, MAC: foreign}
			time.Sleep(time.Second)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
		if got := a.loop.nodeOf(foreign); got != "" {
			t.Errorf("it is taken for %q", got)
		}
	})
}

// Silence proves nothing while answers may be lost, or nobody could be asked.
func TestNothingIsTakenWhileAnswersAreLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		lose   func(k *fakeKernel)
		settle func(k *fakeKernel)
	}{
		{"lost answers", func(k *fakeKernel) { k.dropped++ }, func(*fakeKernel) {}},
		{"a link that comes and goes",
			func(k *fakeKernel) { k.link.Carrier = !k.link.Carrier },
			func(k *fakeKernel) { k.link.Carrier = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				n := w.start(t, "a", soloText)
				for range 100 { // 10 s
					time.Sleep(100 * time.Millisecond)
					n.kernel.meddle(func() { tt.lose(n.kernel) })
				}
				if i := w.find(0, "a adds"); i >= 0 {
					t.Errorf("something was taken\n%s", n.log)
				}
				n.kernel.meddle(func() { tt.settle(n.kernel) })
				time.Sleep(5 * time.Second)
				if got := n.kernel.addresses(); len(got) != 2 {
					t.Errorf("after that the node has %v\n%s", got, n.log)
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// On links where nodes don't chat they are known by what they hold.
func TestHoldersAreKnownByWhatTheyAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		if len(a.kernel.addresses()) != 1 || len(b.kernel.addresses()) != 1 {
			t.Fatalf("a has %v, b has %v; the test needs one each", a.kernel.addresses(), b.kernel.addresses())
		}
		of := func(n *fakeNode) netip.Addr { return netip.MustParseAddr(n.kernel.addresses()[0]) }
		announce := func(addr netip.Addr, last byte) {
			a.kernel.heard <- netplumb.Heard{Link: "eth1", Kind: netplumb.Announcement, Addr: addr, MAC: netplumb.MAC{2, 0, 0, 0, 0, last}}
		}
		theirs := of(b)
		for range 3 {
			announce(theirs, 9)
			time.Sleep(time.Second)
		}
		announce(theirs, 8) // once: it may have been announced before b took it
		announce(of(a), 7)  // nobody's but ours
		time.Sleep(time.Second)
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
		for last, want := range map[byte]string{9: "b", 8: "", 7: ""} {
			if got := a.loop.nodeOf(netplumb.MAC{2, 0, 0, 0, 0, last}); got != want {
				t.Errorf("host %d is %q, want %q", last, got, want)
			}
		}
	})
}

func TestSignSaysWhenTheFrameCame(t *testing.T) {
	h := netplumb.Heard{Kind: netplumb.Answer, Addr: netip.MustParseAddr("10.0.0.1"), MAC: netplumb.MAC{2, 0, 0, 0, 0, 9}, Link: "eth0", At: time.Unix(7, 0)}
	if s := signOf(h, "b"); s != (cluster.Sign{Kind: cluster.Answered, Addr: h.Addr, Node: "b", MAC: "02:00:00:00:00:09", Link: "eth0", At: h.At}) {
		t.Errorf("%+v", s)
	}
	for kind, want := range map[netplumb.HeardKind]cluster.SignKind{netplumb.Announcement: cluster.Announced,
		netplumb.Other: cluster.Announced, netplumb.Echo: cluster.Echoed} {
		if s := signOf(netplumb.Heard{Kind: kind, Addr: h.Addr}, ""); s.Kind != want || s.MAC != "" {
			t.Errorf("%v: %+v", kind, s)
		}
	}
}

// What this host itself goes by is not taken, be it a VIP by the plan, and said to be none; where
// another node has it, this host gives it up.
func TestAHostsOwnAddressIsNoVIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		own := netip.MustParseAddr("10.0.0.1")
		a := w.start(t, "a", planText, func(n *fakeNode) { n.kernel.link.Own = own })
		time.Sleep(10 * time.Second)
		if got := a.kernel.addresses(); len(got) != 1 || got[0] != "10.0.0.2" {
			t.Errorf("the node has %v", got)
		}
		const text = "10.0.0.1 is what this host itself goes by on eth0: take it out of vips"
		if s := a.loop.Status(); !slices.ContainsFunc(s.Alarms, func(x ctlsocket.Alarm) bool {
			return x.Name == ctlsocket.AlarmCannotPlumb && x.Detail == text
		}) {
			t.Errorf("the alarms are %+v", s.Alarms)
		}
		elsewhere := func() (out []netip.Addr) {
			a.kernel.meddle(func() { out = a.kernel.desired.Elsewhere })
			return out
		}
		if got := elsewhere(); len(got) > 0 {
			t.Errorf("%v is given up while nobody has it", got)
		}
		b := w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		if got := elsewhere(); !slices.Equal(got, []netip.Addr{own}) || !slices.Contains(b.kernel.addresses(), "10.0.0.1") {
			t.Errorf("given up is %v; the other node has %v", got, b.kernel.addresses())
		}
		if err := errors.Join(a.end(), b.end()); err != nil {
			t.Error(err)
		}
	})
}
