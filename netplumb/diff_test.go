package netplumb

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/vipgroup"
)

// vips reads "10.1.2.3/24 on eth0" lines.
func vips(t testing.TB, lines ...string) []vipgroup.VIP {
	t.Helper()
	var out []vipgroup.VIP
	for _, l := range lines {
		addr, link, ok := strings.Cut(l, " on ")
		if !ok {
			t.Fatalf("%q is not a VIP", l)
		}
		out = append(out, vipgroup.VIP{Address: netip.MustParsePrefix(addr), Interface: link})
	}
	return out
}

// observe reads lines that Observed.String writes.
func observe(t testing.TB, lines ...string) []Observed {
	t.Helper()
	var out []Observed
	for _, l := range lines {
		o := Observed{Valid: Forever, Index: 7}
		words := strings.Fields(l)
		for i := 0; i+1 < len(words); i += 2 {
			var err error
			switch words[i] {
			case "inet", "inet6":
				o.Address, err = netip.ParsePrefix(words[i+1])
			case "dev":
				o.Link = words[i+1]
			case "proto":
				_, err = fmt.Sscan(words[i+1], &o.Mark)
			case "valid_lft":
				o.Valid, err = time.ParseDuration(strings.TrimSuffix(words[i+1], "ec"))
			}
			if err != nil {
				t.Fatalf("%q: %v", l, err)
			}
		}
		if got := o.String(); got != l {
			t.Fatalf("%q reads back as %q", l, got)
		}
		out = append(out, o)
	}
	return out
}

func TestDiff(t *testing.T) {
	tests := []struct {
		name          string
		want, managed []string
		have, ops     []string
	}{
		{name: "nothing is wanted and nothing is there"},
		{
			name: "the link has the subnet: the address goes there alone",
			want: []string{"10.1.2.3/24 on eth0"},
			have: []string{"inet 10.1.2.1/24 dev eth0"},
			ops:  []string{"ip addr add 10.1.2.3/32 dev eth0 proto 86 valid_lft 2 preferred_lft 2"},
		},
		{
			name: "another link has the subnet: that does not help",
			want: []string{"10.1.2.3/24 on eth0"},
			have: []string{"inet 10.1.2.1/24 dev eth1"},
			ops: []string{
				"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
				"ip addr add 10.1.2.3/24 dev eth0 proto 86 valid_lft 2 preferred_lft 2",
			},
		},
		{
			name: "the link has only the subnet of other VIPs: both bring their own",
			want: []string{"10.1.2.3/24 on eth0", "10.1.2.4/24 on eth0"},
			have: []string{"inet 10.1.2.3/24 dev eth0 proto 86 valid_lft 1sec"},
			ops: []string{
				"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
				"ip addr add 10.1.2.4/24 dev eth0 proto 86 valid_lft 2 preferred_lft 2",
			},
		},
		{
			name:    "a VIP of the plan on the link that lost its mark is no base address",
			want:    []string{"10.1.2.4/32 on eth0"},
			managed: []string{"10.1.2.3/24 on eth0", "10.1.2.4/32 on eth0"},
			have:    []string{"inet 10.1.2.3/24 dev eth0"},
			ops: []string{
				"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
				"ip addr del 10.1.2.3/24 dev eth0",
				"ip addr add 10.1.2.4/32 dev eth0 proto 86 valid_lft 2 preferred_lft 2",
			},
		},
		{
			name:    "removals come before additions",
			want:    []string{"10.1.2.4/24 on eth0"},
			managed: []string{"10.1.2.3/24 on eth0", "10.1.2.4/24 on eth0"},
			have:    []string{"inet 10.1.2.1/24 dev eth0", "inet 10.1.2.3/32 dev eth0 proto 86 valid_lft 1sec"},
			ops: []string{
				"ip addr del 10.1.2.3/32 dev eth0",
				"ip addr add 10.1.2.4/32 dev eth0 proto 86 valid_lft 2 preferred_lft 2",
			},
		},
		{
			name: "what is there stays, in whatever form",
			want: []string{"10.1.2.3/24 on eth0", "10.1.2.4/24 on eth0"},
			have: []string{
				"inet 10.1.2.1/24 dev eth0",
				"inet 10.1.2.3/24 dev eth0 proto 86 valid_lft 1sec",
				"inet 10.1.2.4/32 dev eth0",
			},
		},
		{
			name: "of two forms the marked one stays",
			want: []string{"10.1.2.3/24 on eth0"},
			have: []string{"inet 10.1.2.3/24 dev eth0", "inet 10.1.2.3/32 dev eth0 proto 86 valid_lft 1sec"},
			ops: []string{
				"sysctl net.ipv4.conf.eth0.promote_secondaries=1",
				"ip addr del 10.1.2.3/24 dev eth0",
			},
		},
		{
			name:    "left-overs: marked anywhere, and of the plan where they belong",
			managed: []string{"10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0"},
			have: []string{
				"inet 127.0.0.1/8 dev lo",
				"inet 10.1.2.4/32 dev lo",
				"inet 10.9.9.9/32 dev eth1 proto 86 valid_lft 1sec",
				"inet 10.1.2.3/32 dev eth0",
				"inet 10.1.2.5/32 dev eth0",
				"inet 10.1.2.6/24 dev eth0 proto 3",
			},
			ops: []string{
				"ip addr del 10.9.9.9/32 dev eth1",
				"ip addr del 10.1.2.3/32 dev eth0",
			},
		},
		{
			name:    "a VIP that moved to another link of this host",
			want:    []string{"10.1.2.3/32 on eth1"},
			managed: []string{"10.1.2.3/32 on eth1"},
			have:    []string{"inet 10.1.2.3/32 dev eth0 proto 86 valid_lft 1sec"},
			ops: []string{
				"ip addr del 10.1.2.3/32 dev eth0",
				"ip addr add 10.1.2.3/32 dev eth1 proto 86 valid_lft 2 preferred_lft 2",
			},
		},
		{
			name:    "somebody has put VIPs on another link that has some: held and not held",
			want:    []string{"10.1.2.3/32 on eth0"},
			managed: []string{"10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0", "10.9.0.3/24 on eth1"},
			have: []string{
				"inet 10.1.2.3/32 dev eth0 proto 86 valid_lft 1sec",
				"inet 10.1.2.3/24 dev eth1",
				"inet 10.1.2.4/32 dev eth1",
				"inet 10.1.2.4/32 dev eth2",
			},
			ops: []string{
				"sysctl net.ipv4.conf.eth1.promote_secondaries=1",
				"ip addr del 10.1.2.3/24 dev eth1",
				"ip addr del 10.1.2.4/32 dev eth1",
			},
		},
		{
			name: "IPv6 follows the same rule and has no secondaries",
			want: []string{"2001:db8::3/64 on eth0", "2001:db8:1::3/64 on eth0"},
			have: []string{"inet6 2001:db8::1/64 dev eth0", "inet6 fe80::1/64 dev eth0"},
			ops: []string{
				"ip addr add 2001:db8::3/128 dev eth0 proto 86 valid_lft 2 preferred_lft 0",
				"ip addr add 2001:db8:1::3/64 dev eth0 proto 86 valid_lft 2 preferred_lft 0",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ops []string
			for _, op := range Diff(vips(t, tt.want...), vips(t, tt.managed...), observe(t, tt.have...), 2*time.Second) {
				ops = append(ops, op.String())
			}
			if d := cmp.Diff(tt.ops, ops); d != "" {
				t.Errorf("operations (-want +got):\n%s", d)
			}
		})
	}
}

// What a host goes by on a link that has VIPs stays, whoever listed it; and a VIP that was
// plumbed before the host had an address there makes way for it.
func TestDiffAndTheHost(t *testing.T) {
	const own, alone = "inet 10.1.2.1/24 dev eth0", "inet 10.1.2.3/32 dev eth0 proto 86 valid_lft 1sec"
	wide := "inet 10.1.2.3/24 dev eth0 proto 86 valid_lft 1sec"
	add := "ip addr add 10.1.2.3/32 dev eth0 proto 86 valid_lft 2 preferred_lft 2"
	promote := "sysctl net.ipv4.conf.eth0.promote_secondaries=1"
	for _, tt := range []struct {
		name       string
		want, plan []string
		have, ops  []string
	}{
		{"its own, not wanted", nil, []string{"10.1.2.1/24 on eth0"}, []string{own}, nil},
		{"its own, wanted", []string{"10.1.2.1/24 on eth0"}, nil, []string{own}, nil},
		{"its own, wanted elsewhere", []string{"10.1.2.1/24 on eth1", "10.1.2.3/24 on eth0"}, nil, []string{own}, []string{add}},
		{"on a link without VIPs", []string{"10.1.2.1/32 on eth1"}, nil, []string{own}, []string{"ip addr add 10.1.2.1/32 dev eth1 proto 86 valid_lft 2 preferred_lft 2"}},
		{"the second one of a link", nil, []string{"10.1.2.4/24 on eth0"}, []string{own, "inet 10.1.2.4/32 dev eth0"}, []string{"ip addr del 10.1.2.4/32 dev eth0"}},
		{"by a lease", nil, []string{"10.1.2.1/24 on eth0"}, []string{own + " valid_lft 7200sec"}, nil},
		{"what a kernel without marks has of an earlier process", nil, []string{"10.1.2.1/24 on eth0"}, []string{own + " valid_lft 3600sec"},
			[]string{promote, "ip addr del 10.1.2.1/24 dev eth0"}},
		{"a VIP came first", []string{"10.1.2.3/24 on eth0"}, nil, []string{wide, own}, []string{add}},
		{"a VIP came first, and is there alone, too", []string{"10.1.2.3/24 on eth0"}, nil, []string{wide, own, alone},
			[]string{promote, "ip addr del 10.1.2.3/24 dev eth0"}},
	} {
		have := observe(t, tt.have...)
		for i := range have {
			have[i].Index = int(have[i].Link[3])
			if i > 0 && have[i].Address.Masked() == have[0].Address.Masked() {
				have[i].Flags = unix.IFA_F_SECONDARY
			}
		}
		findOwn(have)
		var ops []string
		for _, op := range Diff(vips(t, tt.want...), vips(t, append(tt.plan, tt.want...)...), have, 2*time.Second) {
			ops = append(ops, op.String())
		}
		if d := cmp.Diff(tt.ops, ops); d != "" {
			t.Errorf("%s: operations (-want +got):\n%s", tt.name, d)
		}
	}
}

// Whatever is there and wanted: after the operations nothing is left to do, what is
// wanted is there once, and what is not ours is untouched.
func TestDiffArrives(t *testing.T) {
	vip := rapid.Custom(func(t *rapid.T) vipgroup.VIP {
		addr := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "addr") % 8})
		bits := rapid.SampledFrom([]int{24, 32}).Draw(t, "bits")
		return vipgroup.VIP{Address: netip.PrefixFrom(addr, bits), Interface: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "link")}
	})
	rapid.Check(t, func(t *rapid.T) {
		managed := rapid.SliceOfDistinct(vip, func(v vipgroup.VIP) netip.Addr { return v.Address.Addr() }).Draw(t, "managed")
		var want []vipgroup.VIP
		for _, v := range managed {
			if rapid.Bool().Draw(t, "wanted") {
				want = append(want, v)
			}
		}
		have := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) Observed {
			v := vip.Draw(t, "there")
			return Observed{Address: v.Address, Link: v.Interface, Mark: rapid.SampledFrom([]uint8{0, Mark}).Draw(t, "mark"), Valid: Forever}
		}), func(o Observed) string { return o.Address.String() + o.Link }).Draw(t, "have")

		after := slices.Clone(have)
		added := false
		for _, op := range Diff(want, managed, have, time.Second) {
			switch op.Kind {
			case Remove:
				if added {
					t.Fatalf("%v after an addition", op)
				}
				i := slices.IndexFunc(after, func(o Observed) bool { return o.Address == op.Address && o.Link == op.Link })
				if i < 0 {
					t.Fatalf("%v: it is not there", op)
				}
				on := func(v vipgroup.VIP) bool { return v.Interface == op.Link }
				of := func(v vipgroup.VIP) bool { return v.Address.Addr() == op.Address.Addr() }
				if after[i].Mark != Mark && !(slices.ContainsFunc(managed, on) && slices.ContainsFunc(managed, of)) {
					t.Fatalf("%v: it is not ours", op)
				}
				after = slices.Delete(after, i, i+1)
			case Add:
				added = true
				after = append(after, Observed{Address: op.Address, Link: op.Link, Mark: Mark, Valid: op.Lifetime})
			}
		}
		for _, v := range want {
			n := 0
			for _, o := range after {
				if o.place() == placeOf(v) {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("%v is there %d times", v, n)
			}
		}
		if again := Diff(want, managed, after, time.Second); len(again) > 0 {
			t.Fatalf("still to do: %v", again)
		}
	})
}
