package daemon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// scriptedPlumber takes notes of what it is told and reports what the test says.
type scriptedPlumber struct {
	set     []netplumb.Desired
	report  netplumb.Report
	expires time.Duration
}

func (p *scriptedPlumber) Set(d netplumb.Desired) uint64 {
	p.set = append(p.set, d)
	return uint64(len(p.set))
}
func (p *scriptedPlumber) Report() netplumb.Report                 { return p.report }
func (p *scriptedPlumber) Run(context.Context) error               { return nil }
func (p *scriptedPlumber) Changed() <-chan struct{}                { return nil }
func (p *scriptedPlumber) Heard() <-chan netplumb.Heard            { return nil }
func (p *scriptedPlumber) Expires() time.Duration                  { return p.expires }
func (p *scriptedPlumber) Ask(...netip.Addr)                       {}
func (p *scriptedPlumber) Echo(...netip.Addr)                      {}
func (p *scriptedPlumber) Announce(...netip.Addr)                  {}
func (p *scriptedPlumber) Notify(netplumb.Notify)                  {}
func (p *scriptedPlumber) Neighbours() <-chan []netplumb.Neighbour { return nil }
func (p *scriptedPlumber) Learn(string, int, int, []netplumb.Neighbour) {
}
func (p *scriptedPlumber) Hosts(int) []netplumb.Neighbour           { return nil }
func (p *scriptedPlumber) MAC(netip.Addr) (_ netplumb.MAC, ok bool) { return }

func testPlan(t *testing.T, version uint64, groups ...string) vipgroup.Plan {
	t.Helper()
	p := vipgroup.Plan{Version: version, Nodes: []string{"a", "b"}}
	for i, addrs := range groups {
		g := vipgroup.Group{Name: fmt.Sprintf("g%d", i), Preempt: true}
		for _, a := range strings.Fields(addrs) {
			g.VIPs = append(g.VIPs, vipgroup.VIP{Address: netip.MustParsePrefix(a + "/32"), Interface: "eth0"})
		}
		p.Groups = append(p.Groups, g)
	}
	plan, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func vipList(addrs string) (out []vipgroup.VIP) {
	for _, a := range strings.Fields(addrs) {
		out = append(out, vipgroup.VIP{Address: netip.MustParsePrefix(a + "/32"), Interface: "eth0"})
	}
	return out
}

// TestObserve follows one group of two addresses. Each step desires it or not, or reads
// a report; the words on the right are what the core is told: present and missing
// addresses, or nothing.
func TestObserve(t *testing.T) {
	const both = "10.0.0.1 10.0.0.2"
	type step struct {
		do      string // "hold", "drop" or "report"
		seq     uint64 // of the report
		present string
		lost    string
		want    string
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"taken and given back", []step{
			{do: "hold"},
			{do: "report", seq: 1, present: both, want: "2/0"},
			{do: "drop"},
			{do: "report", seq: 2, want: "0/2"},
		}},
		{"a report from before the taking says nothing", []step{
			{do: "drop"}, {do: "hold"},
			{do: "report", seq: 1},
			{do: "report", seq: 2, present: both, want: "2/0"},
		}},
		{"an address on its way in is not called gone", []step{
			{do: "hold"}, {do: "drop"},
			{do: "report", seq: 1}, // the plumber may be adding what it read at 1
			{do: "report", seq: 2, want: "0/2"},
		}},
		{"a long removal frees what was there", []step{
			{do: "hold"},
			{do: "report", seq: 1, present: both, want: "2/0"},
			{do: "drop"},
			{do: "report", seq: 1, present: "10.0.0.2", want: "1/1"},
			{do: "report", seq: 1, want: "0/2"},
		}},
		{"a lost address is told at once", []step{
			{do: "hold"},
			{do: "report", seq: 1, present: both, want: "2/0"},
			{do: "report", seq: 1, present: "10.0.0.2", lost: "10.0.0.1", want: "1/1"},
		}},
		{"the same is told once", []step{
			{do: "hold"},
			{do: "report", seq: 1, present: both, want: "2/0"},
			{do: "report", seq: 1, present: both},
		}},
		{"but again after a change of mind", []step{
			{do: "hold"},
			{do: "report", seq: 1, present: both, want: "2/0"},
			{do: "drop"}, {do: "hold"},
			{do: "report", seq: 3, present: both, want: "2/0"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &scriptedPlumber{}
			plan := testPlan(t, 1, both)
			k := newKernel(p, plan, time.Second)
			for i, s := range tt.steps {
				switch s.do {
				case "hold":
					k.desire([]vipgroup.Key{plan.Groups[0].Key}, time.Second)
				case "drop":
					k.desire(nil, time.Second)
				case "report":
					p.report = netplumb.Report{Seq: s.seq, Present: vipList(s.present), Lost: vipList(s.lost)}
					got := ""
					if _, news := k.observe(); len(news) > 0 {
						got = fmt.Sprintf("%d/%d", news[0].Present, news[0].Missing)
					}
					if got != s.want {
						t.Fatalf("step %d: told %q, want %q", i, got, s.want)
					}
				}
			}
		})
	}
}

// A lost address that is still wanted is first left out of a Desired: the plumber
// doesn't add it again before that.
func TestALostAddressIsResigned(t *testing.T) {
	p := &scriptedPlumber{}
	plan := testPlan(t, 1, "10.0.0.1", "10.0.0.2")
	k := newKernel(p, plan, time.Second)
	hold := []vipgroup.Key{plan.Groups[0].Key, plan.Groups[1].Key}
	k.desire(hold, time.Second)
	p.report = netplumb.Report{Seq: 1, Present: vipList("10.0.0.1 10.0.0.2")}
	k.observe()
	p.report = netplumb.Report{Seq: 1, Present: vipList("10.0.0.2"), Lost: vipList("10.0.0.1")}
	k.observe()
	k.desire(hold, time.Second)
	if len(p.set) != 3 {
		t.Fatalf("%d times desired, want 3", len(p.set))
	}
	if got := p.set[1].VIPs; !slices.Equal(got, vipList("10.0.0.2")) {
		t.Errorf("in between %v was desired, want 10.0.0.2 alone", got)
	}
	if got := p.set[2].VIPs; len(got) != 2 {
		t.Errorf("at last %v is desired, want both", got)
	}
	p.report = netplumb.Report{Seq: 1, Present: vipList("10.0.0.2")}
	if _, news := k.observe(); len(news) != 0 {
		t.Errorf("a report from before told %v", news)
	}
}

// What a new plan doesn't have any more stays managed until it is gone.
func TestAdoptKeepsTheOldUntilItIsGone(t *testing.T) {
	p := &scriptedPlumber{}
	old, next := testPlan(t, 1, "10.0.0.1", "10.0.0.2"), testPlan(t, 2, "10.0.0.1", "10.0.0.3")
	k := newKernel(p, old, time.Second)
	k.desire([]vipgroup.Key{old.Groups[0].Key, old.Groups[1].Key}, time.Second)
	p.report = netplumb.Report{Seq: 1, Present: vipList("10.0.0.1 10.0.0.2")}
	k.observe()
	k.adopt(next)
	kept := next.Groups[next.Find("10.0.0.1")].Key
	k.desire([]vipgroup.Key{kept}, time.Second)
	d := p.set[len(p.set)-1]
	if !slices.Equal(d.VIPs, vipList("10.0.0.1")) {
		t.Errorf("desired %v, want 10.0.0.1", d.VIPs)
	}
	if !slices.Contains(d.Managed, vipList("10.0.0.2")[0]) {
		t.Errorf("managed %v lacks 10.0.0.2, which is still there", d.Managed)
	}
	p.report = netplumb.Report{Seq: 2, Present: vipList("10.0.0.1")}
	k.observe()
	k.adopt(next)
	if k.manages(netip.MustParseAddr("10.0.0.2")) {
		t.Error("10.0.0.2 is still managed after it is gone")
	}
}

// A group that is edited while it is held goes on under another key. Once the kernel has what
// the new plan wants nothing is left of the old group, and an upgrade has nothing to wait for.
func TestAnEditedGroupIsSettled(t *testing.T) {
	for name, groups := range map[string][]string{
		"an address more":   {"10.0.0.1 10.0.0.2 10.0.0.3"},
		"an address less":   {"10.0.0.1"},
		"split":             {"10.0.0.1", "10.0.0.2"},
		"all others":        {"10.0.0.8 10.0.0.9"},
		"none":              {},
		"no address at all": {""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &scriptedPlumber{expires: time.Second}
			old, next := testPlan(t, 1, "10.0.0.1 10.0.0.2"), testPlan(t, 2, groups...)
			k := newKernel(p, old, time.Second)
			k.desire([]vipgroup.Key{old.Groups[0].Key}, time.Second)
			p.report = netplumb.Report{Seq: 1, Present: vipList("10.0.0.1 10.0.0.2")}
			k.observe()
			k.adopt(next)
			var hold []vipgroup.Key
			for _, g := range next.Groups {
				hold = append(hold, g.Key)
			}
			k.desire(hold, time.Second)
			was := p.report
			k.observe()
			if k.settled() || k.groups[old.Groups[0].Key] == nil {
				t.Error("settled before the plumber has come to the new plan")
			}
			p.report = netplumb.Report{Seq: uint64(len(p.set)), Present: was.Present}
			k.observe()
			if name == "an address less" && (k.settled() || !k.manages(netip.MustParseAddr("10.0.0.2"))) {
				t.Error("settled while an address that nobody wants is there")
			}
			p.report = netplumb.Report{Seq: uint64(len(p.set)), Present: vipList(strings.Join(groups, " "))}
			k.observe()
			k.desire(hold, time.Second) // without what is gone
			p.report.Seq = uint64(len(p.set))
			k.observe()
			if !k.settled() {
				t.Error("not settled with all that is desired there and nothing else")
			}
			if len(k.groups) != len(next.Groups) {
				t.Errorf("%d groups are kept, of %d in the plan", len(k.groups), len(next.Groups))
			}
			if n := len(vipList(strings.Join(groups, " "))); len(k.managed) != n || len(p.set[len(p.set)-1].Managed) != n {
				t.Errorf("%d addresses are managed, want %d", len(k.managed), n)
			}
		})
	}
}

func TestElectionsArePresentOnceDesired(t *testing.T) {
	p := &scriptedPlumber{}
	plan := testPlan(t, 1, "")
	k := newKernel(p, plan, time.Second)
	key := plan.Groups[0].Key
	k.desire([]vipgroup.Key{key}, time.Second)
	if news := k.elections(); len(news) != 1 || news[0].Present != 1 || news[0].Missing != 0 {
		t.Errorf("held: told %v, want it present", news)
	}
	if news := k.elections(); len(news) != 0 {
		t.Errorf("the same was told again: %v", news)
	}
	k.desire(nil, time.Second)
	if news := k.elections(); len(news) != 1 || news[0].Present != 0 || news[0].Missing != 1 {
		t.Errorf("dropped: told %v, want it gone", news)
	}
}
