package vipgroup_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/vipgroup"
)

// address returns the i-th of many distinct addresses.
func address(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)
}

func nodeNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("node%d", i+1)
	}
	return names
}

// simplePlan returns a plan of groups of one address each, without preferences.
func simplePlan(tb fataler, nodes, groups int) vipgroup.Plan {
	p := vipgroup.Plan{Nodes: nodeNames(nodes)}
	for i := range groups {
		p.Groups = append(p.Groups, vipgroup.Group{VIPs: []vipgroup.VIP{{Address: address(i)}}, Preempt: true})
	}
	return mustPlan(tb, p)
}

type fataler interface{ Fatalf(string, ...any) }

func mustPlan(tb fataler, p vipgroup.Plan) vipgroup.Plan {
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		tb.Fatalf("NewPlan: %v", err)
	}
	return p
}

// all returns a view in which every node is eligible and nothing is held.
func all(p vipgroup.Plan) vipgroup.View {
	v := vipgroup.View{Eligible: make([]bool, len(p.Nodes)), Holder: make([]int, len(p.Groups))}
	for i := range v.Eligible {
		v.Eligible[i] = true
	}
	for i := range v.Holder {
		v.Holder[i] = -1
	}
	return v
}

func owners(a vipgroup.Assignment) []int {
	out := make([]int, len(a))
	for i, d := range a {
		out[i] = d.Owner
	}
	return out
}

// TestAssignRules has one group and three nodes; each case is decided by another rule.
func TestAssignRules(t *testing.T) {
	const no = vipgroup.Barred
	tests := []struct {
		name      string
		prefer    []string
		noPreempt bool
		eligible  string // one digit per node
		penalty   [3]int
		holder    int
		owner     int // -1: nobody
		reason    vipgroup.Reason
	}{
		{name: "nobody is eligible", eligible: "000", holder: 0, owner: -1, reason: vipgroup.NoCandidate},
		{name: "all eligible nodes bar it", eligible: "110", penalty: [3]int{no, no, 0}, holder: -1, owner: -1, reason: vipgroup.BarredEverywhere},
		{name: "more than Barred bars too", eligible: "100", penalty: [3]int{no + 5, 0, 0}, holder: -1, owner: -1, reason: vipgroup.BarredEverywhere},
		{name: "one is eligible", eligible: "010", holder: 0, owner: 1, reason: vipgroup.OnlyCandidate},
		{name: "all others bar it", eligible: "111", penalty: [3]int{no, no, 7}, holder: 0, owner: 2, reason: vipgroup.OnlyCandidate},
		{name: "penalty beats holder and preference", prefer: []string{"node1"}, eligible: "111", penalty: [3]int{20, 10, 20}, holder: 2, owner: 1, reason: vipgroup.LowestPenalty},
		{name: "a later node is cheaper", eligible: "111", penalty: [3]int{20, 20, 10}, holder: 0, owner: 2, reason: vipgroup.LowestPenalty},
		{name: "a dearer and a barred node", eligible: "111", penalty: [3]int{0, no, 1}, holder: -1, owner: 0, reason: vipgroup.LowestPenalty},
		{name: "who asks for it goes before holder and preference", prefer: []string{"node1"}, eligible: "111", penalty: [3]int{0, 0, vipgroup.Pull}, holder: 1, owner: 2, reason: vipgroup.Pulled},
		{name: "also where preempt is off", prefer: []string{"node1"}, noPreempt: true, eligible: "111", penalty: [3]int{0, 0, vipgroup.Pull}, holder: 0, owner: 2, reason: vipgroup.Pulled},
		{name: "who asks in vain", eligible: "101", penalty: [3]int{0, vipgroup.Pull, 0}, holder: 0, owner: 0, reason: vipgroup.KeptByHolder},
		{name: "of two who ask the holder has it", eligible: "111", penalty: [3]int{0, vipgroup.Pull, vipgroup.Pull}, holder: 2, owner: 2, reason: vipgroup.KeptByHolder},
		{name: "preferred among the cheapest", prefer: []string{"node1", "node3"}, eligible: "111", penalty: [3]int{9, 0, 0}, holder: 1, owner: 2, reason: vipgroup.NextPreferred},
		{name: "preferred takes it from the holder", prefer: []string{"node2"}, eligible: "111", holder: 0, owner: 1, reason: vipgroup.Preferred},
		{name: "the preference has an order", prefer: []string{"node3", "node2"}, eligible: "111", holder: 1, owner: 2, reason: vipgroup.Preferred},
		{name: "an ineligible preference is skipped", prefer: []string{"node3", "node2"}, eligible: "110", holder: 0, owner: 1, reason: vipgroup.NextPreferred},
		{name: "without preempt the holder keeps it", prefer: []string{"node2"}, noPreempt: true, eligible: "111", holder: 0, owner: 0, reason: vipgroup.KeptByPolicy},
		{name: "without preempt the preferred holder is preferred", prefer: []string{"node2"}, noPreempt: true, eligible: "111", holder: 1, owner: 1, reason: vipgroup.Preferred},
		{name: "without preempt a free group goes to its preference", prefer: []string{"node2"}, noPreempt: true, eligible: "111", holder: -1, owner: 1, reason: vipgroup.Preferred},
		{name: "without preempt a dearer holder loses it", prefer: []string{"node2"}, noPreempt: true, eligible: "111", penalty: [3]int{1, 0, 0}, holder: 0, owner: 1, reason: vipgroup.Preferred},
		{name: "without preempt an ineligible holder loses it", prefer: []string{"node2"}, noPreempt: true, eligible: "011", holder: 0, owner: 1, reason: vipgroup.Preferred},
		{name: "the holder keeps it", eligible: "111", holder: 2, owner: 2, reason: vipgroup.KeptByHolder},
		{name: "the holder keeps it when its preference is away", prefer: []string{"node1"}, eligible: "011", holder: 2, owner: 2, reason: vipgroup.KeptByHolder},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlan(t, vipgroup.Plan{Nodes: nodeNames(3), Groups: []vipgroup.Group{{
				VIPs: []vipgroup.VIP{{Address: address(1)}}, Prefer: tt.prefer, Preempt: !tt.noPreempt,
			}}})
			v := vipgroup.View{Holder: []int{tt.holder}}
			for i := range 3 {
				v.Eligible = append(v.Eligible, tt.eligible[i] == '1')
				v.Penalty = append(v.Penalty, []int{tt.penalty[i]})
			}
			want := vipgroup.Decision{Owner: tt.owner, Reason: tt.reason}
			if got := vipgroup.Assign(p, v)[0]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// TestAssignNeverChanges holds the answer for a fixed plan: nodes of different versions
// work in one cluster, so a change here breaks clusters in an upgrade.
func TestAssignNeverChanges(t *testing.T) {
	p := simplePlan(t, 3, 12)
	got := owners(vipgroup.Assign(p, all(p)))
	want := []int{2, 0, 0, 2, 1, 2, 2, 0, 1, 1, 0, 1}
	if !slices.Equal(got, want) {
		t.Errorf("owners of 12 groups on 3 nodes:\n got %v\nwant %v", got, want)
	}
}

// TestAssignPinnedFirst shows that what is already decided counts as load before
// anything is dealt, also where its key is the last.
func TestAssignPinnedFirst(t *testing.T) {
	p := simplePlan(t, 2, 4)
	v := all(p)
	v.Holder[2], v.Holder[3] = 1, 1
	if got, want := owners(vipgroup.Assign(p, v)), []int{0, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// drawPlan makes a plan with any preferences and policies.
func drawPlan(t *rapid.T) vipgroup.Plan {
	p := vipgroup.Plan{Nodes: nodeNames(rapid.IntRange(1, 6).Draw(t, "nodes"))}
	for i := range rapid.IntRange(0, 25).Draw(t, "groups") {
		p.Groups = append(p.Groups, vipgroup.Group{
			VIPs:    []vipgroup.VIP{{Address: address(i)}},
			Prefer:  rapid.SliceOfNDistinct(rapid.SampledFrom(p.Nodes), 0, min(2, len(p.Nodes)), rapid.ID).Draw(t, "prefer"),
			Preempt: rapid.Bool().Draw(t, "preempt"),
		})
	}
	return mustPlan(t, p)
}

// drawView makes any view of p.
func drawView(t *rapid.T, p vipgroup.Plan) vipgroup.View {
	v := all(p)
	for n := range p.Nodes {
		v.Eligible[n] = rapid.Bool().Draw(t, "eligible")
	}
	for i := range v.Holder {
		v.Holder[i] = rapid.IntRange(-1, len(p.Nodes)-1).Draw(t, "holder")
	}
	v.Penalty = make([][]int, len(p.Nodes))
	for n := range p.Nodes {
		if rapid.Bool().Draw(t, "penalties") {
			v.Penalty[n] = rapid.SliceOfN(rapid.SampledFrom([]int{0, 10, 20, vipgroup.Barred, vipgroup.Pull}), len(p.Groups), len(p.Groups)).Draw(t, "penalty")
		}
	}
	return v
}

func penalty(v vipgroup.View, n, i int) int {
	if v.Penalty == nil || v.Penalty[n] == nil {
		return 0
	}
	return v.Penalty[n][i]
}

// TestAssignOneOwner: every group has exactly one owner while it has a candidate, that
// owner is one of the cheapest, and every decision has one of the reasons.
func TestAssignOneOwner(t *testing.T) {
	known := []vipgroup.Reason{vipgroup.NoCandidate, vipgroup.BarredEverywhere, vipgroup.OnlyCandidate,
		vipgroup.LowestPenalty, vipgroup.KeptByPolicy, vipgroup.Preferred, vipgroup.NextPreferred, vipgroup.Pulled,
		vipgroup.KeptByHolder, vipgroup.EvenLoad}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		got := vipgroup.Assign(p, v)
		if len(got) != len(p.Groups) {
			t.Fatalf("%d decisions for %d groups", len(got), len(p.Groups))
		}
		for i, d := range got {
			cheapest := vipgroup.Barred
			for n := range p.Nodes {
				if v.Eligible[n] {
					cheapest = min(cheapest, penalty(v, n, i))
				}
			}
			switch {
			case !slices.Contains(known, d.Reason):
				t.Errorf("group %d: reason %q is none of the constants", i, d.Reason)
			case cheapest == vipgroup.Barred && d.Owner != -1:
				t.Errorf("group %d went to %d, which is no candidate", i, d.Owner)
			case cheapest < vipgroup.Barred && d.Owner < 0:
				t.Errorf("group %d has no owner (%s) though it has a candidate", i, d.Reason)
			case d.Owner >= 0 && (!v.Eligible[d.Owner] || penalty(v, d.Owner, i) != cheapest):
				t.Errorf("group %d went to %d, which is not the cheapest (%s)", i, d.Owner, d.Reason)
			}
		}
	})
}

// TestAssignInputOrder: the order of the groups in the config, the order of the nodes in
// the config and the order in which a node learned its view change no group's owner.
func TestAssignInputOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		want := map[string]string{}
		for i, d := range vipgroup.Assign(p, v) {
			want[p.Groups[i].Name] = fmt.Sprint(name(p, d.Owner), " ", d.Reason)
		}

		q := mustPlan(t, vipgroup.Plan{
			Nodes:  rapid.Permutation(p.Nodes).Draw(t, "nodes"),
			Groups: rapid.Permutation(p.Groups).Draw(t, "groups"),
		})
		w := all(q)
		w.Penalty = make([][]int, len(q.Nodes))
		for n, node := range q.Nodes {
			from := p.Node(node)
			w.Eligible[n], w.Penalty[n] = v.Eligible[from], v.Penalty[from] // groups are sorted alike
		}
		for i, g := range q.Groups {
			w.Holder[i] = q.Node(name(p, v.Holder[p.Group(g.Key)]))
		}
		got := map[string]string{}
		for i, d := range vipgroup.Assign(q, w) {
			got[q.Groups[i].Name] = fmt.Sprint(name(q, d.Owner), " ", d.Reason)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("another order, another answer:\n got %v\nwant %v", got, want)
		}
	})
}

func name(p vipgroup.Plan, n int) string {
	if n < 0 {
		return "nobody"
	}
	return p.Nodes[n]
}

// TestAssignLosingANode: when everything is held as assigned and one node goes, only
// its groups move.
func TestAssignLosingANode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		before := vipgroup.Assign(p, v)
		v.Holder = owners(before)
		lost := rapid.IntRange(0, len(p.Nodes)-1).Draw(t, "lost")
		v.Eligible[lost] = false
		for i, d := range vipgroup.Assign(p, v) {
			if b := before[i].Owner; b != lost && d.Owner != b {
				t.Errorf("group %d moved from %d to %d (%s) when node %d was lost", i, b, d.Owner, d.Reason, lost)
			}
		}
	})
}

// TestAssignSettles: holding what was assigned changes nothing, whatever it came from.
func TestAssignSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		before := owners(vipgroup.Assign(p, v))
		v.Holder = before
		if after := owners(vipgroup.Assign(p, v)); !slices.Equal(before, after) {
			t.Fatalf("assigned %v, and when all was held so, %v", before, after)
		}
	})
}

// TestAssignInProgress: nodes take what they were dealt at their own pace, in any order; the
// rest must not be dealt anew each time that one is seen to hold more, for who loses what it
// was about to take has waited in vain.
func TestAssignInProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		v.Penalty = nil // all have the same candidates
		before := owners(vipgroup.Assign(p, v))
		for i, owner := range before {
			if rapid.Bool().Draw(t, "taken") {
				v.Holder[i] = owner
			}
		}
		if after := owners(vipgroup.Assign(p, v)); !slices.Equal(before, after) {
			t.Fatalf("dealt %v, and once some held a part, %v", before, after)
		}
	})
}

// TestAssignMixedInProgress: with other candidates for each group, it holds for those who
// take what they were dealt in the order of keys.
func TestAssignMixedInProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		before := owners(vipgroup.Assign(p, v))
		for n := range p.Nodes {
			taken := rapid.IntRange(0, len(p.Groups)).Draw(t, "taken")
			for i, owner := range before {
				if owner == n && taken > 0 {
					v.Holder[i] = n
					taken--
				}
			}
		}
		if after := owners(vipgroup.Assign(p, v)); !slices.Equal(before, after) {
			t.Fatalf("dealt %v, and once some held a part, %v", before, after)
		}
	})
}

// TestAssignEvenLoad: where nothing is barred, preferred or penalised, each node has the
// floor or the ceiling of groups/nodes, also after one was lost.
func TestAssignEvenLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, vipgroup.MaxNodes).Draw(t, "nodes")
		p := vipgroup.Plan{Nodes: nodeNames(n)}
		for i := range rapid.IntRange(0, 100).Draw(t, "groups") {
			p.Groups = append(p.Groups, vipgroup.Group{VIPs: []vipgroup.VIP{{Address: address(i)}}})
		}
		p = mustPlan(t, p)
		v := all(p)
		for range 2 {
			a := vipgroup.Assign(p, v)
			checkEven(t, v, a)
			v.Holder = owners(a)
			v.Eligible[rapid.IntRange(0, n-1).Draw(t, "lost")] = false
			// The second round is after the loss; a third would lose a second node.
		}
	})
}

func checkEven(t *rapid.T, v vipgroup.View, a vipgroup.Assignment) {
	load, nodes := make([]int, len(v.Eligible)), 0
	for _, d := range a {
		load[d.Owner]++
	}
	for _, ok := range v.Eligible {
		if ok {
			nodes++
		}
	}
	floor, ceil := len(a)/nodes, (len(a)+nodes-1)/nodes
	for n, l := range load {
		if v.Eligible[n] && (l < floor || l > ceil) {
			t.Fatalf("node %d has %d of %d groups on %d nodes: %v", n, l, len(a), nodes, load)
		}
	}
}

// TestAssignJoiningNode: a node that joins takes only what nobody holds or what prefers it.
func TestAssignJoiningNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		v := drawView(t, p)
		v.Penalty = nil
		joins := rapid.IntRange(0, len(p.Nodes)-1).Draw(t, "joins")
		v.Eligible[joins] = false
		v.Holder = owners(vipgroup.Assign(p, v))
		for i := range v.Holder { // some groups are on their way
			if rapid.IntRange(0, 4).Draw(t, "free") == 0 {
				v.Holder[i] = -1
			}
		}
		v.Eligible[joins] = true
		for i, d := range vipgroup.Assign(p, v) {
			h := v.Holder[i]
			if h >= 0 && d.Owner != h && !slices.Contains(p.Groups[i].Prefer, p.Nodes[joins]) {
				t.Errorf("group %d moved from %d to %d (%s) when node %d joined", i, h, d.Owner, d.Reason, joins)
			}
		}
	})
}

func BenchmarkAssign(b *testing.B) {
	p := simplePlan(b, vipgroup.MaxNodes, vipgroup.MaxGroups)
	for i := range p.Groups {
		p.Groups[i].Prefer = []string{p.Nodes[i%len(p.Nodes)], p.Nodes[(i+1)%len(p.Nodes)]}
		if i%2 == 0 {
			p.Groups[i].Prefer = nil
		}
	}
	free := all(p)
	free.Penalty = make([][]int, len(p.Nodes))
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range free.Penalty {
		free.Penalty[n] = make([]int, len(p.Groups))
		for i := range free.Penalty[n] {
			free.Penalty[n][i] = 10 * rng.IntN(2)
		}
	}
	held := free
	held.Holder = owners(vipgroup.Assign(p, free))
	for _, bb := range []struct {
		name string
		view vipgroup.View
	}{{"free", free}, {"held", held}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				vipgroup.Assign(p, bb.view)
			}
		})
	}
}
