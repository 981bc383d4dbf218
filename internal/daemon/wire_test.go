package daemon

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/netplumb"
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

// An address that answers is not taken, and the status says who answers.
func TestAnAnsweredAddressIsContested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText)
		addr := netip.MustParseAddr("10.0.0.1")
		for range 400 { // 10 s
			n.kernel.heard <- netplumb.Heard{Link: "eth0", Kind: netplumb.Answer, Addr: addr, MAC: netplumb.MAC{2, 0, 0, 0, 0, 9}}
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
