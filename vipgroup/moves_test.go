package vipgroup_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/vipgroup"
)

// TestStays: what Stays promises is what Assign decides once the group is there.
func TestStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		if len(p.Groups) == 0 {
			return
		}
		v := drawView(t, p)
		i, node := rapid.IntRange(0, len(p.Groups)-1).Draw(t, "group"), rapid.IntRange(0, len(p.Nodes)-1).Draw(t, "node")
		before := slices.Clone(v.Holder)
		got := vipgroup.Stays(p, v, i, node)
		if !slices.Equal(v.Holder, before) {
			t.Fatal("it changed the view")
		}
		v.Holder[i] = node
		for n := range v.Penalty {
			if v.Penalty[n] != nil {
				v.Penalty[n] = slices.Clone(v.Penalty[n])
				v.Penalty[n][i] = max(v.Penalty[n][i], 0)
			}
		}
		want := vipgroup.Assign(p, v)[i]
		if want.Reason == vipgroup.EvenLoad {
			want.Owner = -1 // it depends on other groups
		}
		if got != want {
			t.Errorf("group %d at node %d: %+v, and Assign says %+v", i, node, got, want)
		}
	})
}

// TestWithout: it is what Assign says when the node is neither eligible nor holds anything.
func TestWithout(t *testing.T) {
	p := simplePlan(t, 3, 6)
	v := all(p)
	v.Holder = owners(vipgroup.Assign(p, v))
	before := slices.Clone(v.Holder)
	for i, d := range vipgroup.Without(p, v, 1) {
		switch {
		case d.Owner == 1:
			t.Errorf("group %d goes to the lost node", i)
		case before[i] != 1 && (d.Owner != before[i] || d.Reason != vipgroup.KeptByHolder):
			t.Errorf("group %d moves from %d to %d (%s)", i, before[i], d.Owner, d.Reason)
		case before[i] == 1 && d.Reason != vipgroup.EvenLoad:
			t.Errorf("group %d goes to %d (%s)", i, d.Owner, d.Reason)
		}
	}
	if !slices.Equal(v.Holder, before) || !v.Eligible[1] {
		t.Error("it changed the view")
	}
}

// TestNextMove: the moves come to an end; each stays where it went, brings two nodes closer
// to each other, and where nothing forbids any move all nodes have floor or ceiling at the end.
func TestNextMove(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		free := rapid.Bool().Draw(t, "free")
		if free {
			p = simplePlan(t, len(p.Nodes), len(p.Groups))
			v.Penalty, v.Eligible[0] = nil, true
			for i := range v.Holder {
				v.Holder[i] = 0
			}
		}
		load := func() []int {
			out := make([]int, len(p.Nodes))
			for _, h := range v.Holder {
				if h >= 0 {
					out[h]++
				}
			}
			return out
		}
		for moves := 0; ; moves++ {
			if moves > len(p.Groups)*len(p.Nodes) {
				t.Fatal("it doesn't end")
			}
			i, to := vipgroup.NextMove(p, v)
			if i < 0 {
				break
			}
			had, from := load(), v.Holder[i]
			if !v.Eligible[from] || !v.Eligible[to] || had[from]-had[to] < 2 {
				t.Fatalf("group %d goes from %d to %d, which have %v", i, from, to, had)
			}
			v.Holder[i] = to
			if d := vipgroup.Stays(p, v, i, to); d.Owner != to {
				t.Fatalf("group %d doesn't stay at %d: %+v", i, to, d)
			}
		}
		if free {
			var a vipgroup.Assignment
			for _, h := range v.Holder {
				a = append(a, vipgroup.Decision{Owner: h})
			}
			checkEven(t, v, a)
		}
	})
}

// TestNextMoveLeavesPreferences: what prefers its holder is not moved for the load.
func TestNextMoveLeavesPreferences(t *testing.T) {
	p := simplePlan(t, 2, 4)
	for i := range p.Groups {
		p.Groups[i].Prefer = []string{"node1"}
	}
	p.Groups[2].Preempt = false
	p = mustPlan(t, p)
	v := all(p)
	clear(v.Holder)
	if i, to := vipgroup.NextMove(p, v); i != 2 || to != 1 {
		t.Errorf("it moves group %d to %d, want the one whose preference doesn't preempt", i, to)
	}
	v.Holder[2] = 1
	if i, _ := vipgroup.NextMove(p, v); i >= 0 {
		t.Errorf("then it moves group %d", i)
	}
}
