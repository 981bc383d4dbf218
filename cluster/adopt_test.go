package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// planOf makes a plan of nodes node1 to nodeN and groups written as "a+b c": letters are
// the last bytes of addresses, 10.0.0.97 and so on.
func planOf(t testing.TB, version uint64, nodes int, groups string) vipgroup.Plan {
	t.Helper()
	p := vipgroup.Plan{Version: version}
	for i := range nodes {
		p.Nodes = append(p.Nodes, fmt.Sprintf("node%d", i+1))
	}
	for _, word := range strings.Fields(groups) {
		g := vipgroup.Group{Name: word, Preempt: true}
		for _, letter := range strings.Split(word, "+") {
			g.VIPs = append(g.VIPs, vipgroup.VIP{Address: netip.PrefixFrom(letterAddr(letter), 32)})
		}
		p.Groups = append(p.Groups, g)
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func letterAddr(letter string) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, letter[0]}) }

// meshOf is a mesh of two nodes, or as many as plans are given, each with its own plan.
func meshOf(t *testing.T, plans ...vipgroup.Plan) *mesh {
	m := newMesh(t, len(plans), 1)
	for i, p := range plans {
		m.nodes[i] = New(m.now, Options{Name: p.Nodes[i], Cluster: "test", Boot: uint64(i + 1),
			Keys: []Key{testKey()}, Plan: p, Timing: testTiming()})
	}
	return m
}

// watch lets time pass and fails when an address is on two hosts at any time.
func (m *mesh) watch(d time.Duration) {
	m.t.Helper()
	for end := m.now.Add(d); m.now.Before(end); {
		m.run(time.Millisecond)
		m.count()
		if m.t.Failed() {
			m.t.FailNow()
		}
	}
}

// hosts tells where the addresses are: the letters of each host.
func (m *mesh) hosts() []string {
	var out []string
	for _, has := range m.has {
		var letters []string
		for a := range has {
			letters = append(letters, string(rune(a.As4()[3])))
		}
		slices.Sort(letters)
		out = append(out, strings.Join(letters, ""))
	}
	return out
}

// TestRegroupingMovesNothing: groups that are split, joined or renamed stay where all
// their addresses are, from one turn to the next.
func TestRegroupingMovesNothing(t *testing.T) {
	for _, tt := range []struct{ before, after string }{
		{"a b c", "a b c"},
		{"a+b", "a b"},
		{"a b", "a+b"},
		{"a+b c+d", "a+c b+d"},
		{"a+b c", "a b+c"},
		{"a", "a b"},
	} {
		t.Run(tt.before+" to "+tt.after, func(t *testing.T) {
			m := meshOf(t, planOf(t, 1, 1, tt.before))
			m.run(2 * time.Second)
			held := m.hosts()[0]
			m.nodes[0].Adopt(m.now, planOf(t, 2, 1, tt.after))
			for range 5 {
				m.run(time.Millisecond)
				for _, letter := range held {
					if !strings.ContainsRune(m.hosts()[0], letter) {
						t.Fatalf("%c left the kernel, which has %q", letter, m.hosts()[0])
					}
				}
			}
			if got := m.nodes[0].Plan().Version; got != 2 {
				t.Errorf("plan %d rules", got)
			}
			m.run(2 * time.Second)
			if got, want := m.hosts()[0], strings.Join(strings.FieldsFunc(tt.after, func(r rune) bool { return r == '+' || r == ' ' }), ""); len(got) != len(want) {
				t.Errorf("at last it has %q, want all of %q", got, want)
			}
		})
	}
}

// TestJoiningHalfAGroup: who has one half of what the new plan joins doesn't take the
// other while it is somewhere else.
func TestJoiningHalfAGroup(t *testing.T) {
	before, after := planOf(t, 1, 2, "a b c d"), planOf(t, 2, 2, "a+b+c+d")
	m := meshOf(t, before, before)
	m.run(2 * time.Second)
	if h := m.hosts(); len(h[0]) != 2 || len(h[1]) != 2 {
		t.Fatalf("addresses are at %q", h)
	}
	m.nodes[0].Adopt(m.now, after)
	m.watch(2 * time.Second)
	m.nodes[1].Adopt(m.now, after)
	m.watch(3 * time.Second)
	if h := m.hosts(); h[0] != "abcd" && h[1] != "abcd" {
		t.Errorf("addresses are at %q, want all on one host", h)
	}
}

// TestHalfAGroupIsNotReleasedWhole: who has one half of what the new plan joins never says
// under that plan that it held all of it, for then the end of that would free the other half.
func TestHalfAGroupIsNotReleasedWhole(t *testing.T) {
	before, after := planOf(t, 1, 3, "a b"), planOf(t, 2, 3, "a+b")
	m := meshOf(t, before, before, after)
	m.run(2 * time.Second)
	half := slices.IndexFunc(m.hosts(), func(h string) bool { return h == "a" })
	if half < 0 || m.hosts()[2] != "" {
		t.Fatalf("addresses are at %q", m.hosts())
	}
	m.nodes[half].Adopt(m.now, after)
	for range 100 {
		m.run(time.Millisecond)
		if m.nodes[2].signs[0].released() {
			t.Fatalf("both addresses count as released, and are at %q", m.hosts())
		}
	}
	if m.nodes[half].Plan().Version != 2 || m.hosts()[half] != "" {
		t.Errorf("plan %d rules, and addresses are at %q", m.nodes[half].Plan().Version, m.hosts())
	}
}

// TestPlansThatDiffer: nodes that group the same addresses in other ways respect each
// other, whoever starts first, and every address has a holder.
func TestPlansThatDiffer(t *testing.T) {
	five, six := planOf(t, 5, 2, "a+b c d"), planOf(t, 6, 2, "a b c+d")
	for _, plans := range [][]vipgroup.Plan{{five, six}, {six, five}} {
		m := meshOf(t, plans...)
		m.watch(3 * time.Second)
		if h := m.hosts(); len(h[0])+len(h[1]) != 4 {
			t.Errorf("addresses are at %q, want each of a to d once", h)
		}
		m.nodes[0], m.has[0] = nil, map[netip.Addr]bool{}
		m.watch(time.Second)
		if h := m.hosts(); h[1] != "abcd" {
			t.Errorf("after the loss of node1 node2 has %q", h[1])
		}
	}
}

// TestSameVersionOtherPlan: two plans of one version are an alarm on both sides.
func TestSameVersionOtherPlan(t *testing.T) {
	m := meshOf(t, planOf(t, 5, 2, "a b"), planOf(t, 5, 2, "a b c"))
	m.watch(2 * time.Second)
	for _, n := range m.nodes {
		if !hasAlarm(n.Status(m.now), "plan-conflict", "") {
			t.Errorf("%s raises no alarm: %v", n.name, n.Status(m.now).Alarms)
		}
	}
	if h := m.hosts(); len(h[0])+len(h[1]) != 3 {
		t.Errorf("addresses are at %q, want each of a to c once", h)
	}
}

// TestHalfOwned: what two plans of one version put together in two ways may have no owner, and
// then nobody says that it has.
func TestHalfOwned(t *testing.T) {
	m := meshOf(t, planOf(t, 5, 3, "a+b c d"), planOf(t, 5, 3, "a c b+d"), planOf(t, 5, 3, "a+b c d"))
	m.watch(4 * time.Second)
	if h := m.hosts(); !slices.Equal(h, []string{"d", "a", "c"}) {
		t.Fatalf("addresses are at %q: the test needs another example", h)
	}
	for i, tt := range []struct{ group, why string }{
		{"a+b", "node2 has a part of it by another plan, and nobody 10.0.0.98"},
		{"b+d", "node1 has a part of it by another plan, and nobody 10.0.0.98"},
	} {
		n := m.nodes[i]
		s := n.Status(m.now).Groups[n.plan.Find(tt.group)]
		if len(s.Owners) > 0 || s.Waiting != tt.why {
			t.Errorf("%s says of %s that %v have it, and %q, want %q", n.name, tt.group, s.Owners, s.Waiting, tt.why)
		}
	}
}

// TestOwnersOfParts: nodes that hold parts of a group by another plan own it where these are all
// of it.
func TestOwnersOfParts(t *testing.T) {
	for _, tt := range []struct{ second, third, owners string }{
		{"a", "b", "node2 node3"},
		{"ab", "", "node2"},
		{"a", "", ""},
		{"", "b", ""},
		{"", "", ""},
	} {
		ours, theirs := planOf(t, 2, 3, "a+b"), planOf(t, 1, 3, "a b")
		n := New(time.Unix(1000, 0), Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{testKey()}, Plan: ours, Timing: testTiming()})
		for i, held := range []string{tt.second, tt.third} {
			p := n.peers[i+1]
			p.table, p.state, p.ann.held = n.plans.learn(theirs), Live, newSet(len(theirs.Groups))
			for _, letter := range held {
				p.ann.held.add(theirs.Find(string(letter)))
			}
			p.interpret(len(ours.Groups), n.all)
			n.heardHeld.or(p.held)
		}
		if got := strings.Join(n.Owners(ours.Groups[0].Key), " "); got != tt.owners {
			t.Errorf("node2 has %q, node3 %q: the owners are %q, want %q", tt.second, tt.third, got, tt.owners)
		}
	}
}

// TestConflictSinceWePlan: a conflict that this node's own change brought is no older than that.
func TestConflictSinceWePlan(t *testing.T) {
	plan := planOf(t, 5, 2, "a b")
	m := meshOf(t, plan, plan)
	m.watch(2 * time.Second)
	changed := m.now
	m.nodes[0].Adopt(m.now, planOf(t, 5, 2, "a c"))
	m.watch(time.Second)
	found := false
	for _, n := range m.nodes {
		for _, a := range n.Status(m.now).Alarms {
			if a.Name == "plan-conflict" {
				found = true
				if a.Since.Before(changed) {
					t.Errorf("%s has the conflict since %v before it began", n.name, changed.Sub(a.Since))
				}
			}
		}
	}
	if !found {
		t.Error("no alarm")
	}
}

// TestRemovedGroupGoesFirst: the old plan rules until the kernel was seen without what
// the new one doesn't have.
func TestRemovedGroupGoesFirst(t *testing.T) {
	r := newRig(t, planOf(t, 1, 2, "a b"))
	r.peers[0].ann.eligible = false
	r.pass(1500 * time.Millisecond)
	after := planOf(t, 2, 2, "a")
	b := r.n.plan.Find("b")
	if !r.holding(0) || !r.holding(1) {
		t.Fatalf("node1 has %v", r.has)
	}
	key := r.n.plan.Groups[b].Key
	r.n.Adopt(r.now, after)
	out := r.n.Ready(r.now)
	if slices.Contains(out.Hold, key) || len(out.Hold) != 1 || r.n.Plan().Version != 1 {
		t.Fatalf("it wants %v under plan %d, want only a, under plan 1", out.Hold, r.n.Plan().Version)
	}
	for range 200 { // the kernel is slow
		r.now = r.now.Add(time.Millisecond)
		if r.n.Ready(r.now); r.n.Plan().Version != 1 {
			t.Fatal("the new plan rules while the kernel has an address that it lacks")
		}
	}
	r.n.Report(r.now, Report{Group: key, Missing: 1})
	if out = r.n.Ready(r.now); r.n.Plan().Version != 2 || len(out.Hold) != 1 {
		t.Errorf("after the removal plan %d rules, and %d groups are wanted", r.n.Plan().Version, len(out.Hold))
	}
}

// TestNotInPlan: a node that the new plan doesn't name hands over and falls silent.
func TestNotInPlan(t *testing.T) {
	one := planOf(t, 1, 2, "a b c d")
	two := planOf(t, 2, 2, "a b c d")
	two.Nodes = []string{"node1"}
	two, err := vipgroup.NewPlan(two)
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, one, one)
	m.run(2 * time.Second)
	m.nodes[0].Adopt(m.now, two)
	m.nodes[1].Adopt(m.now, two)
	m.watch(3 * time.Second)
	s := m.nodes[1].Status(m.now)
	if h := m.hosts(); h[0] != "abcd" || h[1] != "" || s.Eligible || !slices.Contains(s.Reasons, "not in plan 2") {
		t.Errorf("addresses are at %q, node2 is eligible: %v, %q", h, s.Eligible, s.Reasons)
	}
	if len(s.Alarms) != 1 || s.Alarms[0].Name != "one-way" || !strings.Contains(s.Alarms[0].Detail, "node2, which is not in plan 2: add it") {
		t.Errorf("alarms are %+v", s.Alarms)
	}
	if out := m.nodes[1].Ready(m.now.Add(time.Second)); len(out.Send) > 0 {
		t.Errorf("it still says %d things", len(out.Send))
	}
}

// TestGivenToWhoIsTakenOut: what was just handed over to a node that a new plan lacks is not
// taken back as given up: that node has it, and isn't believed any more when it says so.
func TestGivenToWhoIsTakenOut(t *testing.T) {
	for _, nodes := range []int{2, 3} {
		one := planOf(t, 1, nodes, "a b c d")
		two := planOf(t, 2, nodes, "a b c d")
		two.Nodes = two.Nodes[:nodes-1]
		two, err := vipgroup.NewPlan(two)
		if err != nil {
			t.Fatal(err)
		}
		for first := range 10 {
			for between := range 4 {
				m := meshOf(t, slices.Repeat([]vipgroup.Plan{one}, nodes)...)
				m.run(time.Second)
				m.nodes[nodes-2].Drain(m.now, Drain{})
				m.watch(time.Duration(first) * time.Millisecond)
				m.nodes[0].Adopt(m.now, two)
				m.watch(time.Duration(between) * time.Millisecond)
				m.nodes[nodes-2].Adopt(m.now, two)
				m.nodes[nodes-2].Undrain(m.now)
				m.watch(300 * time.Millisecond)
			}
		}
	}
}

// TestStrangersMayHaveIt: the release of a peer is witnessed only where everybody to whom it
// may have given the address is believed here.
func TestStrangersMayHaveIt(t *testing.T) {
	ours, more, other := planOf(t, 2, 3, "a b"), planOf(t, 1, 4, "a b"), planOf(t, 1, 3, "a b c")
	for _, tt := range []struct {
		name    string
		before  vipgroup.Plan
		known   bool // here, at last
		between time.Duration
		want    bool
	}{
		{name: "another plan with the same nodes", before: other, known: true, want: true},
		{name: "with one more", before: more, known: true},
		{name: "with one more, a while ago", before: more, known: true, between: 400 * time.Millisecond, want: true},
		{name: "a plan that was never known", before: other},
	} {
		r := newRig(t, ours)
		s := r.peers[0]
		s.holds(0)
		r.pass(time.Second)
		s.plan = tt.before
		r.say(s)
		if tt.known {
			r.n.plans.learn(tt.before)
			r.n.digestChanged()
		}
		s.plan = ours
		r.say(s)
		r.pass(tt.between)
		s.frees(0)
		r.say(s)
		if x := r.n.signs[0]; !x.released() || x.fresh != tt.want {
			t.Errorf("%s: released %v, witnessed %v", tt.name, x.released(), x.fresh)
		}
	}
}

// TestLateWithAPlan: a node that comes back with the plan from before another one was added,
// and follows a moment later, moves nothing of what that one has.
func TestLateWithAPlan(t *testing.T) {
	one, two := planOf(t, 1, 2, "a b c d e f"), planOf(t, 2, 3, "a b c d e f")
	m := meshOf(t, two, two, two)
	m.run(2 * time.Second)
	m.lose(1)
	m.run(2 * time.Second)
	m.start(1, one)
	m.nodes[1].Drain(m.now, Drain{})
	m.stays("while node2 goes by plan 1", time.Second)
	if d := m.nodes[2].Pull(m.now, two.Groups[two.Find(m.hosts()[0][:1])].Key); d == nil || !strings.Contains(d.Why, "not in plan 1, which node2 goes by") {
		t.Errorf("node3 takes more meanwhile: %v", d)
	}
	m.nodes[1].Adopt(m.now, two)
	m.stays("when it follows", 3*time.Second)
}

// TestNotInThePlanOfAnother: a node that a peer doesn't know in its plan takes nothing while
// it hears that one: it would not object for a third that this node can't hear.
func TestNotInThePlanOfAnother(t *testing.T) {
	with, without := planOf(t, 2, 3, "a b"), planOf(t, 1, 3, "a b")
	without.Nodes = without.Nodes[1:]
	without, err := vipgroup.NewPlan(without)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, with)
	for _, s := range r.peers {
		s.plan, s.deaf = without, true // they don't list whom they don't know
	}
	r.peers[1].mute = true // node3 holds both and is cut off from node1
	r.n.plans.learn(without)
	r.pass(5 * time.Second)
	if s := r.status(); len(r.has) > 0 || s.Eligible || !slices.Contains(s.Reasons, "not in plan 1, which node2 goes by") {
		t.Errorf("it has %d groups, and is eligible: %v, %q", len(r.has), s.Eligible, s.Reasons)
	}
	r.peers[0].plan, r.peers[0].deaf = with, false
	r.until("it takes part", 10*time.Second, func() bool { return len(r.has) > 0 })
}

// TestDepartingNodeHandsOver: a node that the others took out of the plan goes on being heard
// until it has gone over to that plan: what it gives up then is taken at once, and not before.
func TestDepartingNodeHandsOver(t *testing.T) {
	one := planOf(t, 1, 3, "a b c d e f")
	two := one
	two.Version, two.Nodes = 2, one.Nodes[:2]
	two, err := vipgroup.NewPlan(two)
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, one, one, one)
	m.run(2 * time.Second)
	its := m.hosts()[2]
	if its == "" {
		t.Fatalf("addresses are at %q", m.hosts())
	}
	m.nodes[0].Adopt(m.now, two)
	m.nodes[1].Adopt(m.now, two)
	m.watch(2 * time.Second) // its disk is slow
	if got := m.hosts()[2]; got != its {
		t.Fatalf("node3 has %q before it knows, had %q", got, its)
	}
	m.nodes[2].Adopt(m.now, two)
	m.watch(30 * time.Millisecond)
	if h := m.hosts(); h[2] != "" || len(h[0])+len(h[1]) != 6 {
		t.Errorf("then addresses are at %q, want all of six at the first two", h)
	}
}
