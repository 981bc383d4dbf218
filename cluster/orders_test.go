package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// obedient is a mesh whose nodes carry orders out.
func obedient(t *testing.T, nodes, groups int) *mesh {
	m := newMesh(t, nodes, groups)
	m.obey = func(i int, g Given) Reply {
		n := m.nodes[i]
		switch g.Kind {
		case OrderDrain:
			d := Drain{Note: "by " + g.By}
			if g.For > 0 {
				d.Until = m.now.Add(g.For)
			}
			n.Drain(m.now, d)
		case OrderUndrain:
			n.Undrain(m.now)
		case OrderMove:
			if d := n.Pull(m.now, g.Group); d != nil {
				return Reply{Verdict: Denied, Text: d.Why, Hint: d.Hint}
			}
		default:
			return Reply{Verdict: Denied, Text: "no such order"}
		}
		return Reply{Verdict: Done, Text: n.name + " obeys " + g.From}
	}
	m.run(2 * time.Second)
	return m
}

// order gives an order and returns what becomes of it.
func (m *mesh) order(from int, to string, o Order) Reply {
	m.t.Helper()
	m.replies = nil
	id, d := m.nodes[from].Order(m.now, to, o)
	if d != nil {
		return Reply{Verdict: Denied, Text: d.Why, Hint: d.Hint}
	}
	for range 40 {
		m.run(100 * time.Millisecond)
		if len(m.replies) > 0 {
			break
		}
	}
	if len(m.replies) != 1 || m.replies[0].ID != id {
		m.t.Fatalf("order %d got the replies %+v", id, m.replies)
	}
	return m.replies[0].Reply
}

// kindOf is the kind of a sealed datagram.
func kindOf(data []byte) kind { return kind(data[4]) }

func TestOrders(t *testing.T) {
	m := obedient(t, 3, 6)
	if r := m.order(0, "node2", Order{Kind: OrderDrain, By: "alice", For: 5 * time.Second}); r.Verdict != Done || r.Text != "node2 obeys node1" {
		t.Errorf("drain: %+v", r)
	}
	m.run(500 * time.Millisecond)
	if got := m.count(); got[1] != 0 || got[0]+got[2] != 6 {
		t.Errorf("after the drain the nodes have %v", got)
	}
	if got := m.nodes[2].Status(m.now).Peers[1].Reason; got != "drained by alice" {
		t.Errorf("node3 says of node2 %q", got)
	}
	if r := m.order(2, "node2", Order{Kind: OrderUndrain}); r.Verdict != Done || m.nodes[1].Drained() {
		t.Errorf("undrain: %+v", r)
	}
	m.run(time.Second)
	k := m.nodes[0].plan.Groups[0].Key
	if r := m.order(0, "node2", Order{Kind: OrderMove, Group: k}); r.Verdict != Done {
		t.Errorf("move: %+v", r)
	}
	m.run(500 * time.Millisecond)
	if !m.nodes[1].holds.mine.has(0) || m.nodes[1].pulling(k) {
		t.Errorf("node2 has the group: %v, asks for it: %v", m.nodes[1].holds.mine.has(0), m.nodes[1].pulling(k))
	}
	if r := m.order(0, "node2", Order{Kind: 77}); r.Verdict != Denied || r.Text != "no such order" {
		t.Errorf("an order of the future: %+v", r)
	}
}

// TestOrdersGetLost: an order is done once, whatever is lost of it and its answers.
func TestOrdersGetLost(t *testing.T) {
	for name, lost := range map[string]kind{"orders": kindOrder, "answers": kindAnswer} {
		m := obedient(t, 2, 2)
		left := 5
		m.drop = func(_ int, data []byte) bool {
			left--
			return kindOf(data) == lost && left >= 0
		}
		if r := m.order(0, "node2", Order{Kind: OrderDrain}); r.Verdict != Done {
			t.Errorf("%s: %+v", name, r)
		}
		if len(m.obeyed) != 1 {
			t.Errorf("%s: it was carried out %d times", name, len(m.obeyed))
		}
		// All answers: nobody knows.
		m.drop = func(_ int, data []byte) bool { return kindOf(data) == kindAnswer }
		if r := m.order(0, "node2", Order{Kind: OrderUndrain}); r.Verdict != Unanswered || !strings.Contains(r.Text, "doesn't answer") {
			t.Errorf("%s: without any answer: %+v", name, r)
		}
		if len(m.obeyed) != 2 {
			t.Errorf("%s: the second order was carried out %d times", name, len(m.obeyed)-1)
		}
	}
}

// TestOrdersReplayed: no copy of an order is carried out again, not by the process for which
// it was, not by the next one, and not even where the receiver forgot the sender's sequence.
func TestOrdersReplayed(t *testing.T) {
	m := obedient(t, 3, 6)
	m.order(0, "node2", Order{Kind: OrderDrain})
	m.order(0, "node2", Order{Kind: OrderUndrain})
	var orders [][]byte
	for _, data := range m.tape {
		if kindOf(data) == kindOrder {
			orders = append(orders, data)
		}
	}
	if len(orders) < 2 || len(m.obeyed) != 2 {
		t.Fatalf("%d orders on the tape, %d carried out", len(orders), len(m.obeyed))
	}
	replay := func(what string, want ...Refusal) {
		t.Helper()
		for _, data := range orders {
			for i, n := range m.nodes {
				if got := n.Receive(m.now, Packet{Data: data, From: host(0), TTL: 255}); i == 1 && !slices.Contains(want, got) {
					t.Errorf("%s: %q, want one of %q", what, got, want)
				}
			}
		}
		m.run(300 * time.Millisecond)
		if len(m.obeyed) != 2 {
			t.Fatalf("%s: %+v was carried out", what, m.obeyed[2:])
		}
	}
	replay("at once", Replayed)
	m.run(time.Second)
	m.nodes[1].peers[0].seq = 0 // as after a boot that is believed anew
	replay("with the sequence forgotten", Misaddressed)

	m.nodes[1] = nil
	m.run(2 * time.Second)
	m.start(1, m.nodes[0].plan)
	m.run(3 * time.Second)
	replay("to the next process", Replayed, Misaddressed)
	m.nodes[1].peers[0].seq = 0
	replay("to the next process with the sequence forgotten", Misaddressed)
}

// TestOrdersOvertaken: what was ordered first is never done last.
func TestOrdersOvertaken(t *testing.T) {
	m := obedient(t, 2, 2)
	m.drop = func(_ int, data []byte) bool { return kindOf(data) == kindOrder }
	if r := m.order(0, "node2", Order{Kind: OrderDrain}); r.Verdict != Unanswered {
		t.Fatalf("%+v", r)
	}
	m.drop = nil
	first := orderMessage{target: idOf("node2"), boot: m.nodes[1].boot, id: m.nodes[0].voice.seq, Order: Order{Kind: OrderDrain}}
	if r := m.order(0, "node2", Order{Kind: OrderUndrain}); r.Verdict != Done {
		t.Fatalf("%+v", r)
	}
	first.heard = m.nodes[0].peers[1].said
	m.nodes[1].Receive(m.now, Packet{Data: m.nodes[0].sealed(kindOrder, first.append), From: host(0), TTL: 255})
	m.run(time.Second)
	if len(m.obeyed) != 1 || m.nodes[1].Drained() {
		t.Errorf("the first order was done after the second: %+v", m.obeyed)
	}
}

func TestOrdersDenied(t *testing.T) {
	m := obedient(t, 3, 3)
	deny := func(why, hint string, to string) {
		t.Helper()
		_, d := m.nodes[0].Order(m.now, to, Order{Kind: OrderDrain})
		if d == nil || !strings.Contains(d.Error(), why) || d.Hint != hint {
			t.Errorf("to %s: %+v, want %q and %q", to, d, why, hint)
		}
	}
	deny(`no other node "node9"`, "vippyctl peers lists them", "node9")
	deny(`no other node "node1"`, "vippyctl peers lists them", "node1")
	m.cut[[2]int{0, 1}] = true
	m.run(time.Second)
	deny("doesn't hear node1", "ask node2 itself: vippyctl on that host; live here: node3", "node2")
	m.cut[[2]int{1, 0}] = true
	m.run(time.Second)
	deny("is not heard", "ask node2 itself: vippyctl on that host; live here: node3", "node2")
	m.cut[[2]int{0, 2}] = true
	m.run(time.Second)
	deny("is not heard", "ask node2 itself: vippyctl on that host; no node is live here", "node2")
	clear(m.cut)
	m.run(time.Second)
	if _, d := m.nodes[0].Order(m.now, "node2", Order{Kind: OrderDrain}); d != nil {
		t.Errorf("healed: %v", d)
	}
	deny("another order", "try again in a moment", "node2")
	fresh := New(m.now, Options{Name: "node1", Cluster: "test", Boot: 9, Keys: []Key{testKey()}, Plan: m.nodes[0].plan, Timing: testTiming()})
	if _, d := fresh.Order(m.now, "node2", Order{Kind: OrderDrain}); d == nil || !strings.Contains(d.Why, "doesn't take part") {
		t.Errorf("of a process that only listens: %+v", d)
	}
}

// TestOrderedNodeStops: who is stopped or started anew meanwhile doesn't keep the asker waiting.
func TestOrderedNodeStops(t *testing.T) {
	m := obedient(t, 2, 2)
	m.drop = func(_ int, data []byte) bool { return kindOf(data) == kindOrder }
	if _, d := m.nodes[0].Order(m.now, "node2", Order{Kind: OrderDrain}); d != nil {
		t.Fatal(d)
	}
	m.nodes[1].Leave(m.now)
	m.run(100 * time.Millisecond)
	for _, d := range m.nodes[1].Farewell(m.now) {
		m.nodes[0].Receive(m.now, Packet{Data: d.Data, From: host(1), TTL: 255})
	}
	m.nodes[1] = nil
	m.run(50 * time.Millisecond)
	if len(m.replies) != 1 || m.replies[0].Verdict != Unanswered || !strings.Contains(m.replies[0].Text, "was stopped") {
		t.Errorf("replies: %+v", m.replies)
	}
}

// TestOrderedNodeIsTakenOut: who is taken out of the plan meanwhile doesn't either.
func TestOrderedNodeIsTakenOut(t *testing.T) {
	m := obedient(t, 3, 3)
	m.drop = func(_ int, data []byte) bool { return kindOf(data) == kindOrder }
	if _, d := m.nodes[0].Order(m.now, "node3", Order{Kind: OrderUndrain}); d != nil {
		t.Fatal(d)
	}
	next := testPlan(t, 2, 3)
	next.Version = 2
	next, err := vipgroup.NewPlan(next)
	if err != nil {
		t.Fatal(err)
	}
	m.nodes[0].Adopt(m.now, next)
	m.run(50 * time.Millisecond)
	if len(m.replies) != 1 || m.replies[0].Verdict != Unanswered || m.replies[0].Text != "node3 is in the plan no more" {
		t.Errorf("the answer is %+v", m.replies)
	}
}

// TestOrderOverUpgrade: an order whose answer was lost with the program is carried out by the
// next one, and one that was answered isn't.
func TestOrderOverUpgrade(t *testing.T) {
	m := obedient(t, 2, 2)
	upgrade := func() { m.upgrade(1) }
	answered := m.obey
	m.obey = nil
	if _, d := m.nodes[0].Order(m.now, "node2", Order{Kind: OrderDrain}); d != nil {
		t.Fatal(d)
	}
	m.run(100 * time.Millisecond)
	if len(m.obeyed) != 1 {
		t.Fatalf("it came %d times", len(m.obeyed))
	}
	m.obey = answered
	upgrade()
	m.run(100 * time.Millisecond)
	if len(m.obeyed) != 2 || len(m.replies) != 1 || m.replies[0].Verdict != Done {
		t.Errorf("the next program got %d orders, the answer was %+v", len(m.obeyed)-1, m.replies)
	}
	m.drop = func(_ int, data []byte) bool { return kindOf(data) == kindAnswer }
	m.nodes[0].Order(m.now, "node2", Order{Kind: OrderUndrain})
	m.run(100 * time.Millisecond)
	upgrade()
	m.drop = nil
	m.run(100 * time.Millisecond)
	if len(m.obeyed) != 3 || m.replies[1].Text != "a later order came first" {
		t.Errorf("an order that was answered was carried out again: %+v, %+v", m.obeyed[2:], m.replies[1:])
	}
}

// TestPull: a group goes where it is asked for and stays, and only that one moves.
func TestPull(t *testing.T) {
	m := newMesh(t, 3, 6)
	m.run(2 * time.Second)
	before := m.owners()
	g := slices.IndexFunc(before, func(i int) bool { return i != 2 })
	k := m.nodes[0].plan.Groups[g].Key
	if d := m.nodes[2].Pull(m.now, k); d != nil {
		t.Fatal(d)
	}
	m.watch(50 * time.Millisecond)
	want := slices.Clone(before)
	want[g] = 2
	if got := m.owners(); !slices.Equal(got, want) || m.nodes[2].pulling(k) {
		t.Errorf("the groups went from %v to %v, want %v; node3 asks on: %v", before, got, want, m.nodes[2].pulling(k))
	}
	m.watch(10 * time.Second)
	if got := m.owners(); !slices.Equal(got, want) {
		t.Errorf("later they are at %v", got)
	}
	if d := m.nodes[2].Pull(m.now, k); d != nil || m.nodes[2].pulling(k) {
		t.Errorf("who has it asks for it (%v)", d)
	}
}

// TestPullOverUpgrade: a group that was asked for comes, though the program that was ordered to
// ask is replaced meanwhile.
func TestPullOverUpgrade(t *testing.T) {
	m := newMesh(t, 3, 6)
	m.run(2 * time.Second)
	g := slices.IndexFunc(m.owners(), func(i int) bool { return i != 2 })
	k := m.nodes[0].plan.Groups[g].Key
	m.drop = func(from int, _ []byte) bool { return from == 2 } // it has told nobody yet
	if d := m.nodes[2].Pull(m.now, k); d != nil {
		t.Fatal(d)
	}
	m.run(20 * time.Millisecond)
	m.upgrade(2)
	m.drop = nil
	m.watch(200 * time.Millisecond)
	if got := m.owners()[g]; got != 2 || m.nodes[2].pulling(k) {
		t.Errorf("the group is at node%d; node3 asks on: %v", got+1, m.nodes[2].pulling(k))
	}
}

// TestPullDenied: what would not stay is not asked for.
func TestPullDenied(t *testing.T) {
	p := testPlan(t, 2, 3)
	p.Groups[0].Prefer = []string{"node1"}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, p, p)
	m.run(2 * time.Second)
	n := m.nodes[1]
	deny := func(k vipgroup.Key, why, hint string) {
		t.Helper()
		d := n.Pull(m.now, k)
		if d == nil || !strings.Contains(d.Why, why) || !strings.Contains(d.Hint, hint) {
			t.Errorf("%+v, want %q and %q", d, why, hint)
		}
		if len(n.life.pulls) > 0 {
			t.Errorf("it asks all the same: %v", n.life.pulls)
		}
	}
	deny(vipgroup.Key{1}, "no such group in plan 1", "peers")
	deny(p.Groups[0].Key, "node1 would take "+p.Groups[0].Name+" back at once (preferred node)", "prefer")
	other := p.Groups[slices.IndexFunc(m.owners(), func(i int) bool { return i == 0 })].Key
	if other == p.Groups[0].Key {
		other = p.Groups[1].Key
	}
	n.Vote(m.now, Vote{Source: "check pg", Group: &other, Bar: true, Reason: "refused"})
	m.run(100 * time.Millisecond)
	deny(other, "can't have", "explain")
	n.Vote(m.now, Vote{Source: "check pg", Group: &other, Penalty: 5, Reason: "slow"})
	m.run(100 * time.Millisecond)
	deny(other, "would take", "penalty")
	n.Vote(m.now, Vote{Source: "check pg", Group: &other})
	n.Drain(m.now, Drain{})
	m.run(100 * time.Millisecond)
	deny(other, "drained", "vippyctl undrain node2")
}

// TestPullEnds: what doesn't come is not asked for for ever.
func TestPullEnds(t *testing.T) {
	r := matureRig(t, 2, 2)
	if d := r.n.Pull(r.now, r.n.plan.Groups[0].Key); d != nil {
		t.Fatal(d)
	}
	r.pass(50 * time.Millisecond)
	if !r.claims(0) || len(r.said.barred) != 1 || r.said.barred[0].penalty != vipgroup.Pull || !r.said.barred[0].groups.has(0) {
		t.Errorf("it claims the group: %v, and says %+v", r.claims(0), r.said.barred)
	}
	r.pass(r.n.pullFor())
	if r.claims(0) || len(r.said.barred) > 0 || r.n.pulling(r.n.plan.Groups[0].Key) {
		t.Errorf("afterwards it claims the group: %v, and says %+v", r.claims(0), r.said.barred)
	}
}

// owners is the host that has each group, -1 for none or several.
func (m *mesh) owners() []int {
	var out []int
	for _, g := range m.nodes[0].plan.Groups {
		at := -1
		for i, has := range m.has {
			switch a := g.VIPs[0].Address.Addr(); {
			case !has[a]:
			case at >= 0:
				m.t.Fatalf("%v is on two hosts", a)
			default:
				at = i
			}
		}
		out = append(out, at)
	}
	return out
}

// pulling says whether this node asks for a group that it has not yet.
func (n *Node) pulling(k vipgroup.Key) bool {
	_, pulls := n.life.pulls[n.plan.Group(k)]
	return pulls
}
