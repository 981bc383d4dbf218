package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// TestIfDown: what is foretold is what happens, and nothing is changed by asking.
func TestIfDown(t *testing.T) {
	m := newMesh(t, 3, 6)
	m.run(2 * time.Second)
	p := m.nodes[0].plan
	before := m.owners()
	want := make([]string, len(p.Groups))
	for g, group := range p.Groups {
		f, d := m.nodes[0].IfDown(group.Key, "node3")
		if d != nil || before[g] != 2 && f.Owner != p.Nodes[before[g]] || f.Owner == "node3" || f.Owner == "" {
			t.Errorf("group %d of %s would go to %+v (%v)", g, p.Nodes[before[g]], f, d)
		}
		want[g] = f.Owner
	}
	m.watch(time.Second)
	if got := m.owners(); !equalOwners(p, got, namesOf(p, before)) {
		t.Fatalf("asking moved the groups to %v", got)
	}
	m.lose(2)
	m.watch(3 * time.Second)
	if got := m.owners(); !equalOwners(p, got, want) {
		t.Errorf("without node3 the groups are at %v, foretold was %v", got, want)
	}
	if _, d := m.nodes[0].IfDown(p.Groups[0].Key, "node9"); d == nil || !strings.Contains(d.Why, "no node") {
		t.Errorf("a node that isn't there: %v", d)
	}
}

func namesOf(p vipgroup.Plan, owners []int) (out []string) {
	for _, i := range owners {
		out = append(out, p.Nodes[i])
	}
	return out
}

func equalOwners(p vipgroup.Plan, got []int, want []string) bool {
	for g, i := range got {
		if i < 0 || p.Nodes[i] != want[g] {
			return false
		}
	}
	return true
}

// TestIfDownWithoutMajority: where only a majority serves, nobody would have anything without
// it, and a mere voter counts.
func TestIfDownWithoutMajority(t *testing.T) {
	p := singlePlan(t, 2, 2, "node1", "node2", "third")
	m := meshFor(t, p)
	m.run(4 * time.Second)
	k := p.Groups[0].Key
	owner := p.Nodes[m.owners()[0]]
	if f, _ := m.nodes[0].IfDown(k, "node2"); f.Owner != "node1" {
		t.Errorf("without node2, and with the voter: %+v", f)
	}
	if f, _ := m.nodes[0].IfDown(k, "third"); f.Owner != owner {
		t.Errorf("without the voter, and with node2: %+v, it is at %s", f, owner)
	}
	m.lose(2)
	m.run(2 * time.Second)
	if f, _ := m.nodes[0].IfDown(k, "node2"); f.Owner != "" || f.Reason != "no majority: 1 of 3 voters would be left" {
		t.Errorf("without node2 and without the voter: %+v", f)
	}
}
