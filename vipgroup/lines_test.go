package vipgroup

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func linePlan(t *testing.T, change func(*Plan)) Plan {
	t.Helper()
	p := Plan{Version: 6, Nodes: []string{"n1", "n2"}, Groups: []Group{
		{Name: "web", VIPs: []VIP{{Address: netip.MustParsePrefix("10.0.0.9/24"), Interface: "eth0"}, {Address: netip.MustParsePrefix("10.0.0.3/24")}},
			Prefer: []string{"n1"}, Preempt: true},
		{Name: "db", VIPs: []VIP{{Address: netip.MustParsePrefix("10.0.0.4/24")}}, Preempt: true},
		{Name: "leader", Preempt: true},
	}}
	if change != nil {
		change(&p)
	}
	p, err := NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLines(t *testing.T) {
	var got []string
	for _, l := range linePlan(t, nil).Lines() {
		got = append(got, l.String())
	}
	want := []string{"version: 6", "nodes: n1, n2", "partition: available",
		"group web: 10.0.0.3/24, 10.0.0.9/24; prefer n1", "group db: 10.0.0.4/24", "group leader: election"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDifferNamesEveryDifference: whatever two plans differ in, a line tells it.
func TestDifferNamesEveryDifference(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"version: 6 -> 7":                        func(p *Plan) { p.Version = 7 },
		"nodes: n1, n2 -> n2, n1":                func(p *Plan) { p.Nodes = []string{"n2", "n1"} },
		"voters:  -> n1, n2, n3":                 func(p *Plan) { p.Voters = []string{"n1", "n2", "n3"} },
		"partition: available -> single":         func(p *Plan) { p.Partition = Single },
		"rebalance:  -> auto, every 10s":         func(p *Plan) { p.Rebalance = 10 * time.Second },
		"group leader: election -> ":             func(p *Plan) { p.Groups = p.Groups[:2] },
		"group db: 10.0.0.4/24 -> 10.0.0.5/24":   func(p *Plan) { p.Groups[1].VIPs[0].Address = netip.MustParsePrefix("10.0.0.5/24") },
		"group db: 10.0.0.4/24 -> 10.0.0.4/25":   func(p *Plan) { p.Groups[1].VIPs[0].Address = netip.MustParsePrefix("10.0.0.4/25") },
		"group leader: election -> election; no": func(p *Plan) { p.Groups[2].Preempt = false },
		"election; preempt after 12s":            func(p *Plan) { p.Groups[2].PreemptDelay = 12 * time.Second },
		"election; prefer n2, n1":                func(p *Plan) { p.Groups[2].Prefer = []string{"n2", "n1"} },
		"election; partition single":             func(p *Plan) { p.Groups[2].Partition = Single },
		"election; checks pg":                    func(p *Plan) { p.Groups[2].Checks = []string{"pg"} },
		"group chief:  -> election":              func(p *Plan) { p.Groups[2].Name = "chief" },
	} {
		was, is := linePlan(t, nil), linePlan(t, change)
		var got []string
		for _, c := range Differ(was, is) {
			got = append(got, c.Subject+": "+c.Was+" -> "+c.Is)
		}
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := Differ(linePlan(t, nil), linePlan(t, func(p *Plan) { p.Groups[0].VIPs[0].Interface = "eth9" })); got != nil {
		t.Errorf("an interface's name is no difference: %v", got)
	}
}
