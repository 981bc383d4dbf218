package netplumb

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told lists whom a round begins to tell, routers in brackets.
func (r *round) told() (out []string) {
	for i, k := range r.known {
		name := k.addr.String()
		if k.mac == (MAC{}) {
			name += " by broadcast"
		}
		if i < r.routers {
			name = "[" + name + "]"
		}
		out = append(out, name)
	}
	return out
}

func TestWhoIsTold(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	host := func(a string, router bool) contact {
		return contact{addr: addr(a), mac: MAC{2, 7}, link: "eth0", router: router}
	}
	list := []contact{ // the newest first
		host("10.0.0.7", false), host("10.0.0.254", false), host("10.0.0.100", false), host("10.0.0.1", false),
		host("10.0.1.9", false), host("10.0.0.5", false),
		host("2001:db8::7", false), host("fe80::1", true), host("fe80::9", false), host("2001:db8:1::5", false), host("2001:db8::2", true),
	}
	elsewhere := host("fe80::2", true)
	elsewhere.link = "eth1"
	own := host("10.0.0.6", false)
	own.mac = us
	list = append(list, elsewhere, own)
	gateways := []netip.Addr{addr("10.0.0.254"), addr("10.0.0.253"), addr("192.0.2.1")}

	tests := []struct {
		name   string
		notify Notify
		subnet string
		want   []string
		sweeps int
	}{
		{"all that are known", Notify{Known: true}, "10.0.0.0/24",
			[]string{"[10.0.0.254]", "[10.0.0.253 by broadcast]", "10.0.0.7", "10.0.0.5"}, 0},
		{"a network", Notify{Networks: []Network{{"eth0", prefix("10.0.0.0/29")}}}, "10.0.0.0/24",
			[]string{"10.0.0.7", "10.0.0.5"}, 7},
		{"a network on another link", Notify{Networks: []Network{{"eth1", prefix("10.0.0.0/29")}}}, "10.0.0.0/24", nil, 0},
		{"IPv6", Notify{Known: true}, "2001:db8::/64", []string{"[fe80::1]", "[2001:db8::2]", "2001:db8::7"}, 0},
		{"a network of IPv6", Notify{Networks: []Network{{"eth0", prefix("2001:db8::/125")}}}, "2001:db8::/64",
			[]string{"[2001:db8::2]", "2001:db8::7"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorker(nil, &events{}, newSpeaker(1000), newOrders(), newReports(), newCensus())
			w.census.hosts.merged, w.gateways, w.speaker.notify = list, gateways, tt.notify
			w.linkOf = map[netip.Addr]string{addr("10.0.0.100"): "eth0"} // virtual
			w.have = []Observed{{Address: prefix("10.0.0.1/24"), Link: "eth0"}}
			subnet := prefix(tt.subnet)
			r := w.begin(&port{portID: portID{"eth0", subnet.Addr().Is6()}, mac: us}, subnet)
			if d := cmp.Diff(tt.want, r.told()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if n := len(r.sweep.all()); n != tt.sweeps {
				t.Errorf("asks for %d addresses, want %d", n, tt.sweeps)
			}
		})
	}
}

func TestSubnetOf(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.0/24")}
	for vip, want := range map[string]string{
		"10.1.2.3/24":    "10.1.2.0/24", // as it is written
		"10.1.2.3/32":    "10.1.0.0/16",
		"10.2.2.3/32":    "10.0.0.0/8",
		"203.0.113.9/32": "invalid Prefix",
	} {
		if got := subnetOf(netip.MustParsePrefix(vip), own).String(); got != want {
			t.Errorf("%s is on %s, want %s", vip, got, want)
		}
	}
	if s := subnetOf(netip.Prefix{}, own); s.IsValid() {
		t.Errorf("what is no address any more is on %v", s)
	}
}
