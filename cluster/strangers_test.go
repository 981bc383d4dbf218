package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// onlyOf is a plan of the nodes named by digits: "13" are node1 and node3.
func onlyOf(t testing.TB, version uint64, nodes, groups string) vipgroup.Plan {
	t.Helper()
	p := planOf(t, version, 1, groups)
	p.Nodes = nil
	for _, digit := range nodes {
		p.Nodes = append(p.Nodes, "node"+string(digit))
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// strangersMesh is node1 and node2, each by a plan that lacks the other, and node3, which
// goes by node1's plan and holds everything.
func strangersMesh(t *testing.T, first, second vipgroup.Plan) *mesh {
	m := newMesh(t, 3, 1)
	m.nodes = make([]*Node, 3)
	start := func(i int, p vipgroup.Plan) {
		m.nodes[i] = New(m.now, Options{Name: fmt.Sprintf("node%d", i+1), Cluster: "test", Boot: uint64(i + 1), Keys: []Key{testKey()}, Plan: p, Timing: testTiming()})
	}
	start(2, first)
	m.run(6 * time.Second)
	if h := m.hosts(); len(h[2]) != len(first.Groups) {
		t.Fatalf("addresses are at %q, want all at node3", h)
	}
	start(0, first)
	start(1, second)
	m.watch(6 * time.Second)
	return m
}

// TestStrangersTakeOnce: of two nodes whose plans lack each other, the one with the higher
// plan takes what falls silent, and the other says why not; it does where the first one is
// gone, or can't.
func TestStrangersTakeOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		other  vipgroup.Plan
		before func(m *mesh)
		want   string // what node2 has after the loss of node3; node1 has the rest
	}{
		{"the lower plan", onlyOf(t, 6, "23", "a b"), nil, ""},
		{"the higher plan", onlyOf(t, 8, "23", "a b"), nil, "ab"},
		{"the higher plan, other groups", onlyOf(t, 8, "23", "a+b"), nil, "ab"},
		{"the higher plan, of a part", onlyOf(t, 8, "23", "b"), nil, "b"},
		{"the higher plan, of nothing here", onlyOf(t, 8, "23", "x"), nil, "x"},
		{"drained", onlyOf(t, 8, "23", "a b"), func(m *mesh) { m.nodes[1].Drain(m.now, Drain{}) }, ""},
		{"barred from one", onlyOf(t, 8, "23", "a b"), func(m *mesh) {
			k := m.nodes[1].plan.Groups[0].Key
			m.nodes[1].Vote(m.now, Vote{Source: "check", Group: &k, Bar: true, Reason: "broken"})
		}, string(rune(onlyOf(t, 8, "23", "a b").Groups[1].VIPs[0].Address.Addr().As4()[3]))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := strangersMesh(t, onlyOf(t, 7, "13", "a b"), tt.other)
			if tt.before != nil {
				tt.before(m)
				m.watch(200 * time.Millisecond)
			}
			m.lose(2)
			m.watch(4 * time.Second)
			h := m.hosts()
			rest := strings.Map(func(r rune) rune {
				if strings.ContainsRune(tt.want, r) {
					return -1
				}
				return r
			}, "ab")
			if h[1] != tt.want || h[0] != rest {
				t.Errorf("addresses are at %q, want %q at node1 and %q at node2", h, rest, tt.want)
			}
			meets := tt.other.Owns("10.0.0.98") >= 0
			if hasAlarm(m.nodes[0].Status(m.now), "plan-conflict", "") != meets {
				t.Errorf("node1's alarms are %v", m.nodes[0].Status(m.now).Alarms)
			}
			m.lose(1)
			m.watch(2 * time.Second)
			if h := m.hosts(); h[0] != "ab" {
				t.Errorf("when node2 is gone node1 has %q", h[0])
			}
		})
	}
}

// TestStrangersMeet: two nodes whose plans lack each other both have everything behind a cut;
// once that heals, the one with the higher plan has it, and goes on having it.
func TestStrangersMeet(t *testing.T) {
	for _, other := range []uint64{6, 8} {
		m := strangersMesh(t, onlyOf(t, 7, "13", "a b"), onlyOf(t, other, "23", "a b"))
		m.lose(2)
		m.side[1] = 1
		m.run(3 * time.Second)
		if h := m.hosts(); h[0] != "ab" || h[1] != "ab" {
			t.Fatalf("behind the cut addresses are at %q", h)
		}
		m.side[1] = 0
		m.run(4 * testTiming().Interval)
		m.watch(5 * time.Second)
		if h := m.hosts(); h[0] == "ab" != (other < 7) || len(h[0])+len(h[1]) != 2 {
			t.Errorf("plan 7 and %d: then addresses are at %q", other, h)
		}
	}
}

// TestStrangersElect: nobody answers for the name of an election; who holds it says so, and
// keeps it from a node with a higher plan, too, that doesn't believe it.
func TestStrangersElect(t *testing.T) {
	plan := func(version uint64, nodes string) vipgroup.Plan {
		p := onlyOf(t, version, nodes, "a")
		p.Groups = append(p.Groups, vipgroup.Group{Name: "leader", Election: true, Preempt: true})
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	m := newMesh(t, 2, 1)
	m.nodes = make([]*Node, 2)
	for i, p := range []vipgroup.Plan{plan(7, "13"), plan(8, "23")} {
		m.nodes[i] = New(m.now, Options{Name: fmt.Sprintf("node%d", i+1), Cluster: "test", Boot: uint64(i + 1), Keys: []Key{testKey()}, Plan: p, Timing: testTiming()})
		for end := m.now.Add(8 * time.Second); m.now.Before(end); m.run(time.Millisecond) {
			leaders := 0
			for _, n := range m.nodes {
				if n != nil && n.holds.mine.has(n.plan.Find("leader")) {
					leaders++
				}
			}
			if leaders > 1 {
				t.Fatalf("%v after the start of node%d both lead", 8*time.Second-end.Sub(m.now), i+1)
			}
		}
	}
	if n := m.nodes[0]; !n.holds.mine.has(n.plan.Find("leader")) {
		t.Error("node1 doesn't lead any more")
	}
}

// aStranger is a speaker that node1's plan lacks and that lacks node1: it lists what it hears
// of node1 as not believed.
func aStranger(r *rig, version uint64) *speaker {
	s := &speaker{name: "node9", boot: 9, plan: onlyOf(r.t, version, "89", "a b"), deaf: true, heard: map[string]heard{}}
	s.ann.eligible = true
	return s
}

// hears lets a stranger have heard node1's newest announcement.
func (r *rig) hears(s *speaker) {
	s.heard[r.n.name] = heard{r.n.id, r.said.boot, r.said.seq | unbelieved}
}

// TestStrangerMustLive: a recording of a stranger keeps nobody from anything, a node that
// believes us isn't meant, and the plan of one that lives is asked for and rules nobody.
func TestStrangerMustLive(t *testing.T) {
	for _, tt := range []struct {
		name  string
		words func(r *rig, s *speaker)
		lives bool
		takes bool
	}{
		{"a recording", func(*rig, *speaker) {}, false, true},
		{"one of another process of ours", func(r *rig, s *speaker) {
			s.heard[r.n.name] = heard{r.n.id, r.n.boot - 1, r.said.seq | unbelieved}
		}, false, true},
		{"it believes this node", func(r *rig, s *speaker) { s.heard[r.n.name] = heard{r.n.id, r.said.boot, r.said.seq} }, true, true},
		{"it lives", func(r *rig, s *speaker) { r.hears(s) }, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, planOf(t, 7, 2, "a b"))
			r.peers[0].holds(0, 1)
			s, asked := aStranger(r, 8), 0
			speak := func(d time.Duration) {
				for end := r.now.Add(d); r.now.Before(end); {
					r.pass(50 * time.Millisecond)
					tt.words(r, s)
					if refusal := r.say(s); refusal != UnknownNode {
						t.Fatalf("it is refused for %q", refusal)
					}
					r.ready()
					asked += len(r.messages(kindPlanRequest))
				}
			}
			speak(time.Second)
			r.peers[0].mute = true
			speak(3 * time.Second)
			if takes := len(r.has) == 2; takes != tt.takes || len(r.has) == 1 {
				t.Errorf("node1 has %d groups after the loss of its peer", len(r.has))
			}
			if asked > 0 != tt.lives {
				t.Errorf("its plan was asked for %d times", asked)
			}
			if p, _, ok := r.n.Newer(); ok {
				t.Errorf("its plan is offered: %v", p)
			}
			if !slices.ContainsFunc(r.said.heard, func(h heard) bool { return h.node == idOf(s.name) && h.boot == s.boot && !h.believed() }) {
				t.Errorf("node1 doesn't tell that it hears it: %v", r.said.heard)
			}
			for range 10 { // it is gone
				r.pass(300 * time.Millisecond)
			}
			if len(r.has) != 2 {
				t.Errorf("node1 has %d groups after the loss of both", len(r.has))
			}
		})
	}
}

// TestStrangerThatDoesNotHear: a holder lets go to a stranger that can't hear it any more and
// takes what it holds, whichever plan is the higher one.
func TestStrangerThatDoesNotHear(t *testing.T) {
	for _, holds := range []bool{false, true} {
		r := newRig(t, planOf(t, 9, 2, "a b"))
		r.peers[0].mute = true
		r.pass(8 * time.Second)
		s := aStranger(r, 8)
		r.n.plans.learn(s.plan)
		for range 10 {
			r.hears(s)
			r.say(s)
			r.pass(50 * time.Millisecond)
		}
		if len(r.has) != 2 {
			t.Fatalf("node1 has %d groups beside a stranger with a lower plan", len(r.has))
		}
		delete(s.heard, r.n.name)
		for range 4 {
			r.say(s)
			r.pass(100 * time.Millisecond)
		}
		if holds {
			s.holds(0, 1)
		} else {
			s.claims(0, 1)
		}
		r.say(s)
		r.pass(2 * testTiming().Interval)
		r.say(s)
		r.pass(2 * testTiming().Interval)
		r.say(s)
		r.ready()
		if len(r.has) != 0 {
			t.Errorf("holds %v: node1 still has %d groups", holds, len(r.has))
		}
	}
}

// TestManyStrangers: whoever replays the words of many keeps out none that lives.
func TestManyStrangers(t *testing.T) {
	r := newRig(t, planOf(t, 7, 2, "a b"))
	r.pass(time.Second)
	s := aStranger(r, 8)
	say := func(i int) {
		other := aStranger(r, 8)
		other.name = fmt.Sprintf("old%d", i)
		r.say(other)
	}
	for i := range 20 {
		say(i)
	}
	r.say(s)
	r.pass(100 * time.Millisecond)
	r.hears(s)
	r.say(s)
	for i := range 20 {
		say(i)
	}
	if len(r.n.strangers) != maxStrangers || !r.n.strangers[r.n.strangerOf(s.name)].rival {
		t.Errorf("%d are kept; node9 isn't one of them", len(r.n.strangers))
	}
}
