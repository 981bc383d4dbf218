package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// TestReports: what the kernel says of a group of two addresses, and whether it is wanted
// and may be in the kernel after that. Steps: "want", "drop" (given away), or "2/0" for
// a report of two addresses present and none missing.
func TestReports(t *testing.T) {
	for _, tt := range []struct {
		steps              []string
		wanted, mine, gone bool // gone: the last report said so
	}{
		{nil, false, false, false},
		{[]string{"want"}, true, true, false},
		{[]string{"want", "0/2"}, true, true, false}, // not plumbed yet
		{[]string{"want", "1/1"}, true, true, false},
		{[]string{"want", "1/1", "2/0"}, true, true, false},
		{[]string{"want", "2/0", "1/1"}, false, true, false}, // one was taken away
		{[]string{"want", "2/0", "1/1", "0/2"}, false, false, true},
		{[]string{"want", "2/0", "0/2"}, false, false, true},
		{[]string{"want", "2/0", "1/1", "2/0"}, false, true, false}, // only a claim brings it back
		{[]string{"want", "2/0", "drop"}, false, true, false},
		{[]string{"want", "2/0", "drop", "1/1"}, false, true, false},
		{[]string{"want", "2/0", "drop", "0/2"}, false, false, true},
		{[]string{"want", "2/0", "drop", "0/2", "0/2"}, false, false, false},
		{[]string{"want", "drop", "0/2"}, false, false, true},
		{[]string{"grant", "drop"}, false, false, false},
		{[]string{"2/0"}, false, true, false}, // nobody granted it
		{[]string{"1/1", "0/2"}, false, false, true},
		{[]string{"0/2"}, false, false, false},
	} {
		h, gone := newHolds(1), false
		for _, step := range tt.steps {
			gone = false
			switch step {
			case "grant": // never handed out
				h.want(0)
			case "want":
				h.want(0)
				h.keys(testPlan(t, 1, 1))
			case "drop":
				h.drop(0, false)
			default:
				var r Report
				if _, err := fmt.Sscanf(step, "%d/%d", &r.Present, &r.Missing); err != nil {
					t.Fatal(err)
				}
				gone = h.report(0, r)
			}
		}
		if h.wanted.has(0) != tt.wanted || h.mine.has(0) != tt.mine || gone != tt.gone {
			t.Errorf("%v: wanted %v, mine %v, gone %v, want %v, %v, %v", tt.steps, h.wanted.has(0), h.mine.has(0), gone, tt.wanted, tt.mine, tt.gone)
		}
		if got := len(h.keys(testPlan(t, 1, 1))) == 1; got != tt.wanted {
			t.Errorf("%v: listed %v, want %v", tt.steps, got, tt.wanted)
		}
	}
}

// holderRig is a node that holds its only group among peers that hold nothing.
func holderRig(t *testing.T, nodes int) *rig {
	r := newRig(t, testPlan(t, nodes, 1))
	for _, s := range r.peers {
		s.ann.eligible = false
	}
	r.pass(1500 * time.Millisecond)
	if !r.holding(0) {
		t.Fatalf("node1 doesn't hold the only group: %+v", r.status().Groups[0])
	}
	for _, s := range r.peers {
		s.ann.eligible = true
	}
	r.pass(200 * time.Millisecond)
	if !r.holding(0) {
		t.Fatal("node1 gave up a group because others became eligible")
	}
	return r
}

// TestOverslept: a process that stood still between a grant and what its kernel has of it
// claims the group anew, for another may have taken it.
func TestOverslept(t *testing.T) {
	for _, tt := range []struct {
		has  Report
		gap  time.Duration // in intervals
		hold bool
	}{
		{Report{Missing: 1}, 1, true},
		{Report{Missing: 1}, 3, false},
		{Report{Present: 1}, 3, true},
	} {
		r := holderRig(t, 3)
		key := r.n.plan.Groups[0].Key
		r.n.holds.want(0) // as if granted just now
		tt.has.Group = key
		r.n.Report(r.now, tt.has)
		r.now = r.now.Add(tt.gap * r.n.timing.Interval)
		if got := slices.Contains(r.n.Ready(r.now).Hold, key); got != tt.hold {
			t.Errorf("%d present, %d intervals later: held %v, want %v", tt.has.Present, tt.gap, got, tt.hold)
		}
		r.pass(5 * time.Second)
		if !r.holding(0) {
			t.Errorf("%d present, %d intervals later: not held after 5 s", tt.has.Present, tt.gap)
		}
	}
}

// ranked makes a plan in which node1 ranks before node2 for its only group, or after it.
func ranked(t *testing.T, before bool) vipgroup.Plan {
	for i := range 50 {
		p := testPlan(t, 3, i+1)
		p.Groups = p.Groups[i : i+1]
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Better(p.Groups[0].Key, "node1", "node2") == before {
			return p
		}
	}
	t.Fatal("no such group")
	return vipgroup.Plan{}
}

// TestLettingGo: who makes a holder let go, by rank and by who hears whom.
func TestLettingGo(t *testing.T) {
	arp := func(r *rig, node string) {
		if r.n.voice.turns != nil {
			r.pass(announceGap) // it may just have announced for an unheard one
		}
		r.n.Sign(r.now, Sign{Kind: Announced, Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr(), Node: node})
	}
	for _, tt := range []struct {
		name   string
		first  bool // node1 ranks before node2
		event  func(r *rig, s *speaker)
		letsGo bool
		turns  bool // announces by ARP in turn
	}{
		{"a worse-ranked node holds it too", true, func(r *rig, s *speaker) { s.holds(0); r.say(s) }, false, true},
		{"a better-ranked node holds it too", false, func(r *rig, s *speaker) { s.holds(0); r.say(s) }, true, false},
		{"a worse-ranked node that can't hear us holds it", true, func(r *rig, s *speaker) {
			s.deaf = true
			s.holds(0)
			r.pass(600 * time.Millisecond)
		}, true, true},
		{"a node that can't hear us claims it", true, func(r *rig, s *speaker) {
			s.deaf = true
			s.claims(0)
			r.pass(600 * time.Millisecond)
		}, true, false},
		{"a node that hears us claims it", false, func(r *rig, s *speaker) { s.claims(0); r.say(s) }, false, false},
		{"a third objects for a heard node that has it not", true, func(r *rig, s *speaker) {
			third := r.peers[1]
			third.ann.objections = []objection{{target: idOf("node1"), named: idOf("node2"), groups: setOf(0)}}
			r.say(third)
		}, false, false},
		{"a third objects for one that is newer than we know", true, func(r *rig, s *speaker) {
			third := r.peers[1]
			third.heard["node2"] = heard{idOf("node2"), s.boot, s.seq + 1}
			third.ann.objections = []objection{{target: idOf("node1"), named: idOf("node2"), groups: setOf(0)}}
			r.say(third)
		}, true, false},
		{"ARP of a worse-ranked node that isn't heard", true, func(r *rig, s *speaker) {
			s.mute = true
			r.pass(600 * time.Millisecond)
			r.pass(announceGap) // it may just have announced for the unheard one
			arp(r, "node2")
		}, false, true},
		{"ARP of a better-ranked node that isn't heard", false, func(r *rig, s *speaker) {
			s.mute = true
			r.pass(600 * time.Millisecond)
			arp(r, "node2")
		}, true, false},
		{"ARP of a better-ranked node that is heard", false, func(r *rig, s *speaker) { arp(r, "node2") }, false, true},
		{"ARP of a node that can't hear us, before it says that it holds it", true, func(r *rig, s *speaker) {
			s.deaf = true
			r.pass(600 * time.Millisecond)
			arp(r, "node2")
		}, true, false},
		{"ARP of a stranger, while another process has our name", false, func(r *rig, s *speaker) {
			r.n.life.behind = true
			arp(r, "")
		}, true, false},
		{"ARP of a stranger", false, func(r *rig, s *speaker) { arp(r, "") }, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, ranked(t, tt.first))
			r.peers[0].ann.eligible, r.peers[1].ann.eligible = false, false
			r.pass(1500 * time.Millisecond)
			if !r.holding(0) {
				t.Fatalf("node1 doesn't hold the group: %+v", r.status().Groups[0])
			}
			tt.event(r, r.peers[0])
			out := r.ready()
			if r.holding(0) == tt.letsGo {
				t.Errorf("holds: %v, want %v", r.holding(0), !tt.letsGo)
			}
			if !tt.letsGo && (len(out.Announce) > 0) != tt.turns {
				t.Errorf("announces %v in turn, want any: %v", out.Announce, tt.turns)
			}
			if tt.letsGo && r.n.signs[0].released() {
				t.Error("what it let go to another counts as released")
			}
		})
	}
}

// TestForeignHostIsAnAlarm: a stranger that announces our address.
func TestForeignHostIsAnAlarm(t *testing.T) {
	r := holderRig(t, 2)
	r.n.Sign(r.now, Sign{Kind: Announced, Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr(), MAC: foreign, Link: "eth0"})
	r.ready()
	if !hasAlarm(r.status(), "contested", "10.0.0.0 is held here and announced by 02:00:00:00:00:09 on eth0, no node of the plan: "+
		"find that host at the switch, and take the address off it") {
		t.Errorf("no alarm: %v", r.status().Alarms)
	}
}

// TestSealedOutLetsGo: who has the wrong secret knows nobody's host. Behind a cut it has what the
// others have; once that heals, it is the one that lets go.
func TestSealedOutLetsGo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		met    bool   // node1 believed a peer before
		secret string // of what is heard on the wire, "" for nothing
		letsGo bool
	}{
		{"another secret", false, "another", true},
		{"nothing", false, "", false},
		{"another secret, but it has met a peer", true, "another", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testPlan(t, 2, 1))
			if tt.met {
				r.say(r.peers[0])
			}
			r.peers[0].mute = true
			for range 160 { // somebody else is on the wire
				r.n.Sign(r.now, Sign{Kind: Outsider})
				r.pass(50 * time.Millisecond)
			}
			if !r.holding(0) {
				t.Fatalf("node1 doesn't hold the only group: %+v", r.status().Reasons)
			}
			if tt.secret != "" {
				v, err := open("secret", r.peers[0].next(r))
				if err != nil {
					t.Fatal(err)
				}
				v.secret = tt.secret
				r.receive(r.peers[0], v.seal())
			}
			r.seen(0, Announced)
			r.ready()
			if r.holding(0) == tt.letsGo {
				t.Errorf("holds: %v, want %v", r.holding(0), !tt.letsGo)
			}
		})
	}
}

// TestAnnouncesInTurn: whoever else announces our address, clients hear from us again, at
// most every 100 ms.
func TestAnnouncesInTurn(t *testing.T) {
	r := holderRig(t, 2)
	n := 0
	for range 300 { // a stranger that doesn't stop
		r.n.Sign(r.now, Sign{Kind: Announced, Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr()})
		n += len(r.ready().Announce)
		r.now = r.now.Add(time.Millisecond)
	}
	if n < 3 || n > 4 {
		t.Errorf("announced %d times in 0.3 s, want every 100 ms", n)
	}
}

// TestAnnouncesForTheUnheard: while a node of the plan isn't heard, what is held is
// announced by ARP all the time: that node may hold it too.
func TestAnnouncesForTheUnheard(t *testing.T) {
	r := holderRig(t, 3)
	count := func() (n int) {
		for end := r.now.Add(time.Second); r.now.Before(end); {
			r.pass(time.Millisecond)
			n += len(r.out.Announce)
		}
		return n
	}
	if n := count(); n > 0 {
		t.Errorf("announced %d times while everybody is heard", n)
	}
	r.peers[0].mute = true
	r.pass(time.Second)
	if n := count(); n != 4 {
		t.Errorf("announced %d times in a second, want one every stale/2", n)
	}
}

// TestLostAddressComesBack: what a meddler deleted is claimed anew, at once.
func TestLostAddressComesBack(t *testing.T) {
	r := holderRig(t, 3)
	key := r.n.plan.Groups[0].Key
	delete(r.has, key)
	r.n.Report(r.now, Report{Group: key, Missing: 1})
	r.ready()
	if r.holding(0) {
		t.Fatal("plumbed again without a claim")
	}
	if took := r.until("holds it again", time.Second, func() bool { return r.holding(0) }); took > 20*time.Millisecond {
		t.Errorf("has it again after %v", took)
	}
}

// TestHandOver: a drained holder serves until everybody acknowledged its successor's
// claim, and announces the release in the turn in which the address is gone.
func TestHandOver(t *testing.T) {
	r := holderRig(t, 3)
	heir, third := r.peers[0], r.peers[1]
	third.ann.eligible = false
	r.pass(200 * time.Millisecond)
	r.n.Drain(r.now, Drain{})
	r.never("gave up before anybody claims", 500*time.Millisecond, func() bool { return !r.holding(0) })
	heir.claims(0)
	third.heard["node2"] = heard{idOf("node2"), heir.boot, heir.seq} // not the claim
	r.say(heir)
	r.never("gave up before the claim is acknowledged", 300*time.Millisecond, func() bool { return !r.holding(0) })
	third.ann.objections = []objection{{target: heir.id(), named: third.id(), groups: setOf(0)}}
	delete(third.heard, "node2")
	r.never("gave up although a third objects", 300*time.Millisecond, func() bool { return !r.holding(0) })
	third.ann.objections = nil
	r.say(third)
	r.ready()
	if r.holding(0) {
		t.Fatal("still holds after everybody acknowledged the claim")
	}
	r.ready() // the report came in
	if r.said.held.has(0) {
		t.Error("the release isn't announced in the turn in which the address is gone")
	}
}

func (s *speaker) id() nodeID { return idOf(s.name) }

// TestDrainWithoutSuccessor: a drained node goes on serving, a stopping one doesn't.
func TestDrainWithoutSuccessor(t *testing.T) {
	r := holderRig(t, 2)
	r.peers[0].ann.eligible = false
	r.pass(200 * time.Millisecond)
	r.n.Drain(r.now, Drain{})
	r.never("gave up what nobody can take", 2*time.Second, func() bool { return !r.holding(0) })
	r.n.Leave(r.now)
	r.until("gives up and leaves", 100*time.Millisecond, func() bool { return !r.holding(0) && r.n.Left() })
}

// TestLeaveWithDeadSuccessor: a successor that never claims doesn't hold up a stop.
func TestLeaveWithDeadSuccessor(t *testing.T) {
	r := holderRig(t, 2)
	r.n.Leave(r.now)
	r.never("gave up before its successor had a chance", 900*time.Millisecond, func() bool { return !r.holding(0) })
	r.until("leaves all the same", time.Second, func() bool { return r.n.Left() })
}

// TestHasTheLastWord: a stranger that announces our address twice in a row is answered
// twice, the second time when its turn has come.
func TestHasTheLastWord(t *testing.T) {
	r := holderRig(t, 2)
	said := []int{}
	for ms := range 300 {
		if ms == 0 || ms == 20 {
			r.n.Sign(r.now, Sign{Kind: Announced, Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr()})
		}
		if len(r.ready().Announce) > 0 {
			said = append(said, ms)
		}
		r.now = r.now.Add(time.Millisecond)
	}
	if len(said) != 2 || said[0] != 0 || said[1] != 100 {
		t.Errorf("announced at %v ms, want at 0 and 100", said)
	}
}

// TestManyAreHandedOverInTurn: of many addresses only some are on their way at a time, so that
// each is without an owner for as short as if it moved alone.
func TestManyAreHandedOverInTurn(t *testing.T) {
	m := formed(t, 2, 200)
	m.nodes[0].Drain(m.now, Drain{})
	most := 0
	for end := m.now.Add(time.Second); m.now.Before(end) && m.count()[1] < 200; {
		m.run(time.Millisecond)
		there := m.count()
		most = max(most, 200-there[0]-there[1])
	}
	if got := m.count(); got[0] > 0 || got[1] != 200 {
		t.Errorf("after a drain they have %v", got)
	}
	if most == 0 || most > handedAtOnce {
		t.Errorf("up to %d addresses were on no node, at most %d should be", most, handedAtOnce)
	}
}

// TestReleaseOfARecording: what a process says that never proved to live releases nothing: it may
// be a recording, of which this process never heard the original.
func TestReleaseOfARecording(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		r := newRig(t, testPlan(t, 3, 1))
		s := r.peers[1]
		s.mute, s.deaf = true, deaf
		r.pass(time.Second)
		s.holds(0)
		for range 3 {
			r.say(s)
			r.pass(10 * time.Millisecond)
		}
		s.frees(0)
		r.say(s)
		if got := r.n.signs[0].isFresh(r.now, r.n.recent()); got == deaf {
			t.Errorf("acknowledges nothing: %v; it released: %v", deaf, got)
		}
	}
}

// TestUnsteadyLeavesItToTheHolder: who just did nothing for a while bars what a healthy peer
// serves, for as long as it could take nothing anyway; not what nobody has, or what has to go.
func TestUnsteadyLeavesItToTheHolder(t *testing.T) {
	r := matureRig(t, 2, 3)
	r.peers[0].frees(2)
	r.pass(time.Second)
	if !r.holding(2) {
		t.Fatal("node1 should hold what nobody has")
	}
	barred := func() (out []int) {
		for g := range r.n.plan.Groups {
			if bars := r.n.view.Penalty[r.n.self]; bars != nil && bars[g] >= vipgroup.Barred {
				out = append(out, g)
			}
		}
		return out
	}
	check := func(when string, want ...int) {
		t.Helper()
		if got := barred(); !slices.Equal(got, want) {
			t.Errorf("%s it bars %v, want %v", when, got, want)
		}
	}
	check("before")
	r.now = r.now.Add(3 * r.n.bounds.interval)
	r.pass(10 * time.Millisecond)
	check("after a pause", 0, 1)
	if d := r.n.Pull(r.now, r.n.plan.Groups[0].Key); d == nil || !strings.Contains(d.Why, "did nothing for a while") {
		t.Errorf("asked to take a group: %+v", d)
	}
	r.peers[0].ann.eligible = false
	r.pass(r.n.bounds.interval * 2)
	check("while the holder has to go")
	r.peers[0].ann.eligible = true
	r.pass(r.n.bounds.interval * 2)
	check("while the holder serves", 0, 1)
	r.pass(r.n.bounds.silent)
	check("in the end")
}

// TestWhatNobodyTakesMakesWay: a successor that claims and never takes ends up with all that it
// was promised, not only with the first few that were to be on their way.
func TestWhatNobodyTakesMakesWay(t *testing.T) {
	const groups = 3 * handedAtOnce
	r := newRig(t, testPlan(t, 2, groups))
	successor := r.peers[0]
	successor.ann.eligible = false
	r.pass(1500 * time.Millisecond)
	successor.ann.eligible = true
	for g := range groups {
		successor.claims(g)
	}
	r.n.Drain(r.now, Drain{})
	given := func() (count int) {
		for g := range groups {
			if !r.holding(g) {
				count++
			}
		}
		return count
	}
	r.until("gave up the first ones", 300*time.Millisecond, func() bool { return given() > 0 })
	if first := given(); first > handedAtOnce {
		t.Errorf("%d at once, at most %d should be", first, handedAtOnce)
	}
	r.until("gave up all", 3*time.Second, func() bool { return given() == groups })
}

// TestHandOverOfWhatGoes: addresses that the kernel doesn't remove keep no others here.
func TestHandOverOfWhatGoes(t *testing.T) {
	m := formed(t, 2, 50)
	for _, g := range m.nodes[0].plan.Groups {
		if a := g.VIPs[0].Address.Addr(); m.has[0][a] && len(m.stuck) < handedAtOnce {
			m.stuck[a] = true
		}
	}
	m.nodes[0].Drain(m.now, Drain{})
	m.run(2 * time.Second)
	if got := m.count(); got[0] != len(m.stuck) || got[1] != 50-len(m.stuck) {
		t.Errorf("after a drain they have %v, want all on node2 but the %d that are stuck", got, len(m.stuck))
	}
}
