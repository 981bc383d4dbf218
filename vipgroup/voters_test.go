package vipgroup_test

import (
	"slices"
	"testing"

	"github.com/vippy-ha/vippy/vipgroup"
)

func TestMembers(t *testing.T) {
	p, err := vipgroup.NewPlan(vipgroup.Plan{Nodes: []string{"b", "a"}, Voters: []string{"w", "a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"b", "a", "w"}; !slices.Equal(p.Members(), want) {
		t.Errorf("members %v, want %v", p.Members(), want)
	}
	for i, name := range p.Members() {
		if p.Member(name) != i {
			t.Errorf("%s is at %d, want %d", name, p.Member(name), i)
		}
	}
	if p.Node("w") != -1 || p.Node("a") != 1 || p.Member("x") != -1 {
		t.Errorf("a voter is no node: Node(w) = %d, Node(a) = %d, Member(x) = %d", p.Node("w"), p.Node("a"), p.Member("x"))
	}
	again, err := vipgroup.Decode(p.Encode())
	if err != nil || !slices.Equal(again.Members(), p.Members()) {
		t.Errorf("decoded members %v (%v)", again.Members(), err)
	}
}

func TestMajority(t *testing.T) {
	five := []string{"a", "b", "c", "d", "e"}
	for _, c := range []struct {
		nodes, voters []string
		of, need      int
	}{
		{five[:1], nil, 1, 1},
		{five[:2], nil, 2, 2},
		{five[:3], nil, 3, 2},
		{five[:4], nil, 4, 3},
		{five, nil, 5, 3},
		{five[:2], []string{"a", "b", "w"}, 3, 2},
		{five, []string{"w"}, 1, 1},
	} {
		p, err := vipgroup.NewPlan(vipgroup.Plan{Nodes: c.nodes, Voters: c.voters})
		if err != nil {
			t.Fatal(err)
		}
		if voters, need := p.Majority(); len(voters) != c.of || need != c.need {
			t.Errorf("nodes %v, voters %v: %d of %v, want %d of %d", c.nodes, c.voters, need, voters, c.need, c.of)
		}
	}
}

func TestSingle(t *testing.T) {
	for _, c := range []struct {
		plan, group vipgroup.Partition
		want        bool
	}{
		{"", "", false},
		{vipgroup.Single, "", true},
		{vipgroup.Single, vipgroup.Available, false},
		{"", vipgroup.Single, true},
	} {
		p, err := vipgroup.NewPlan(vipgroup.Plan{Nodes: []string{"a"}, Partition: c.plan,
			Groups: []vipgroup.Group{{Name: "g", Partition: c.group}}})
		if err != nil {
			t.Fatal(err)
		}
		if p.Single(0) != c.want {
			t.Errorf("plan %q, group %q: single %v", c.plan, c.group, p.Single(0))
		}
	}
}
