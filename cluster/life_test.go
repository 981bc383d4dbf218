package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// TestMaturity: when a new node may own something.
func TestMaturity(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, tt := range []struct {
		name        string
		edit        func(r *rig)
		after, most time.Duration
	}{
		{"everybody is live", func(r *rig) {}, ms(300), ms(450)},
		{"one is away", func(r *rig) { r.peers[1].mute = true }, ms(5000), ms(5010)},
		{"one is deaf", func(r *rig) { r.peers[1].deaf = true }, ms(5000), ms(5010)},
		{"alone", func(r *rig) { r.peers[0].mute, r.peers[1].mute = true, true }, ms(5000), ms(5010)},
		{"everybody bears much", func(r *rig) {
			for _, s := range r.peers {
				s.ann.interval, s.ann.stale = ms(100), ms(20000)
			}
			r.peers[1].deaf = true
		}, ms(20200), ms(20210)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testPlan(t, 3, 3))
			start := r.now
			tt.edit(r)
			for !r.status().Mature {
				if r.now.Sub(start) > tt.most {
					t.Fatalf("not mature after %v", r.now.Sub(start))
				}
				if s := r.status(); s.Eligible || r.now.Sub(start) > 0 && !slices.Equal(s.Reasons, []string{"booting"}) {
					t.Fatalf("eligible %v, reasons %q", s.Eligible, s.Reasons)
				}
				r.pass(time.Millisecond)
			}
			if took := r.now.Sub(start); took < tt.after {
				t.Errorf("mature after %v, not before %v", took, tt.after)
			}
		})
	}
}

// TestListensFirst: a new process says nothing for 3 intervals.
func TestListensFirst(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 3))
	end := r.now.Add(3 * r.n.timing.Interval)
	for r.pass(time.Millisecond); r.now.Before(end); r.pass(time.Millisecond) {
		if len(r.out.Send) > 0 {
			t.Fatalf("speaks %v before it may", end.Sub(r.now))
		}
	}
	r.until("speaks", 5*time.Millisecond, func() bool { return len(r.out.Send) > 0 })
}

// TestIsolation: who hears nothing at all gives up everything, where somebody is known
// whom it should hear; any frame ends it.
func TestIsolation(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.255.1")
	for _, tt := range []struct {
		name     string
		nodes    int
		edit     func(r *rig)
		isolated bool
	}{
		{"one peer fell silent", 2, func(r *rig) {}, false},
		{"one peer fell silent, a stranger spoke once", 2, func(r *rig) { r.n.Sign(r.now, Sign{Kind: Outsider}) }, false},
		{"one peer and a talkative stranger fell silent", 2, func(r *rig) {
			for range 20 {
				r.pass(100 * time.Millisecond)
				r.n.Sign(r.now, Sign{Kind: Outsider})
			}
		}, true},
		{"one peer fell silent, and a stranger after a burst", 2, func(r *rig) {
			for range 100 {
				r.pass(2 * time.Millisecond)
				r.n.Sign(r.now, Sign{Kind: Outsider})
			}
		}, false},
		{"one peer fell silent, and a stranger who had just come", 2, func(r *rig) {
			for range 10 {
				r.pass(100 * time.Millisecond)
				r.n.Sign(r.now, Sign{Kind: Outsider})
			}
		}, false},
		{"one peer and the gateway fell silent", 2, func(r *rig) {
			r.n.Witness(r.now, []netip.Addr{gateway})
			r.n.Sign(r.now, Sign{Kind: Answered, Addr: gateway})
		}, true},
		{"two peers fell silent together", 3, func(r *rig) {}, true},
		{"two peers fell silent, one long ago", 3, func(r *rig) {
			r.peers[1].mute = true
			r.pass(2 * time.Second)
		}, false},
		{"two peers fell silent, one by farewell", 3, func(r *rig) {
			s := r.peers[1]
			s.seq, s.ann.farewell = farewellSeq-1, true
			r.say(s)
			s.mute = true
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := holderRig(t, tt.nodes)
			tt.edit(r)
			for _, s := range r.peers {
				s.mute = true
			}
			r.pass(2 * time.Second)
			s := r.status()
			if s.Isolated != tt.isolated || r.holding(0) == tt.isolated || s.Eligible == tt.isolated {
				t.Fatalf("isolated %v, holds %v, eligible %v %q", s.Isolated, r.holding(0), s.Eligible, s.Reasons)
			}
			r.n.Sign(r.now, Sign{Kind: Frame})
			r.ready()
			if s := r.status(); s.Isolated {
				t.Error("still isolated although a frame came")
			}
			if tt.isolated {
				for _, s := range r.peers {
					s.mute = false
				}
				r.until("holds again", 3*time.Second, func() bool { return r.holding(0) })
			}
		})
	}
}

// TestDeafInTime: who hears nothing gives up before others may take what it has: an interval
// before they last heard it at the latest, if that is known no better by what they acknowledged.
func TestDeafInTime(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		acked []time.Duration // of each peer, before the last frame
		last  []time.Duration // when it was last heard, before that
		want  time.Duration   // after it
	}{
		"nothing acknowledged lately":            {[]time.Duration{300 * ms}, []time.Duration{0}, 400 * ms},
		"acknowledged a moment ago":              {[]time.Duration{20 * ms}, []time.Duration{0}, 480 * ms},
		"by one peer longer ago":                 {[]time.Duration{20 * ms, 60 * ms}, []time.Duration{0, 0}, 440 * ms},
		"by one that had fallen silent long ago": {[]time.Duration{20 * ms, 2000 * ms}, []time.Duration{0, 1900 * ms}, 480 * ms},
		"nobody was heard lately":                {[]time.Duration{2000 * ms}, []time.Duration{1900 * ms}, 400 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			r := holderRig(t, len(tt.acked)+1)
			for i, s := range r.peers {
				p := r.n.peers[r.n.plan.Node(s.name)]
				p.last, p.ackedAt = r.now.Add(-tt.last[i]), r.now.Add(-tt.acked[i])
			}
			r.n.life.frame = r.now
			if got := r.n.deafAt().Sub(r.now); got != tt.want {
				t.Errorf("deaf %v after the last frame, want %v", got, tt.want)
			}
		})
	}
}

// TestPauseIsNoSilence: the last node of two, which hears but what it asks its gateway, gives up
// nothing for a pause of its own, but for what doesn't answer after it.
func TestPauseIsNoSilence(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.255.1")
	r := holderRig(t, 2)
	r.n.Witness(r.now, []netip.Addr{gateway})
	r.peers[0].mute = true
	answers := func(d time.Duration) {
		for end := r.now.Add(d); r.now.Before(end); r.pass(5 * time.Millisecond) {
			r.n.Sign(r.now, Sign{Kind: Answered, Addr: gateway})
		}
	}
	answers(5 * time.Second)
	for range 3 {
		r.now = r.now.Add(590 * time.Millisecond)
		r.ready()
		r.pass(50 * time.Millisecond)
		if s := r.status(); s.Isolated || !r.holding(0) {
			t.Fatalf("after a pause: isolated %v, holds %v", s.Isolated, r.holding(0))
		}
		answers(100 * time.Millisecond)
	}
	for range 2 { // now nobody answers any more, and only the first pause counts for that
		r.now = r.now.Add(590 * time.Millisecond)
		r.ready()
		r.pass(60 * time.Millisecond)
	}
	if s := r.status(); !s.Isolated || r.holding(0) {
		t.Errorf("nobody answers: isolated %v, holds %v", s.Isolated, r.holding(0))
	}
}

// TestBornDeaf: a node that has not heard a single frame since its start is isolated where a
// witness should have answered, and alone where nobody is known.
func TestBornDeaf(t *testing.T) {
	for _, witness := range []bool{true, false} {
		r := newRig(t, testPlan(t, 2, 1))
		r.peers[0].mute = true
		if witness {
			r.n.Witness(r.now, []netip.Addr{netip.MustParseAddr("10.0.255.1")})
		}
		r.pass(3 * time.Second)
		if s := r.status(); s.Isolated != witness || witness && r.holding(0) {
			t.Errorf("with a witness %v: isolated %v, holds %v", witness, s.Isolated, r.holding(0))
		}
	}
}

// TestLeftOutWitness: a witness that answered is none any more once it isn't named, and the one
// in its place has not answered yet.
func TestLeftOutWitness(t *testing.T) {
	for _, stays := range []bool{true, false} {
		r := holderRig(t, 2)
		answering, silent := netip.MustParseAddr("10.0.255.1"), netip.MustParseAddr("10.0.255.2")
		r.n.Witness(r.now, []netip.Addr{answering})
		r.n.Sign(r.now, Sign{Kind: Answered, Addr: answering})
		r.pass(10 * time.Millisecond)
		if stays {
			r.n.Witness(r.now, []netip.Addr{answering, silent})
		} else {
			r.n.Witness(r.now, []netip.Addr{silent})
		}
		r.peers[0].mute = true
		r.pass(time.Second)
		if s := r.status(); s.Isolated != stays || r.holding(0) == stays {
			t.Errorf("the witness stays %v: isolated %v, holds %v", stays, s.Isolated, r.holding(0))
		}
	}
}

// TestAsksWitnesses: the gateway is asked now and then, and often when nobody is heard;
// then the peers' hosts are asked too.
func TestAsksWitnesses(t *testing.T) {
	r := holderRig(t, 2)
	gateway := netip.MustParseAddr("10.0.255.1")
	r.n.Witness(r.now, []netip.Addr{gateway})
	count := func(d time.Duration) (n int) {
		for end := r.now.Add(d); r.now.Before(end); {
			r.pass(time.Millisecond)
			if slices.Contains(r.out.Ask, gateway) {
				n++
			}
		}
		return n
	}
	if n := count(3 * time.Second); n != 3 {
		t.Errorf("asked the gateway %d times in 3 s while a peer is heard, want 3", n)
	}
	r.peers[0].mute = true
	count(200 * time.Millisecond)
	if n := count(200 * time.Millisecond); n < 7 || n > 9 {
		t.Errorf("asked the gateway %d times in 2 intervals of silence, want 8", n)
	}
	if !slices.Contains(r.out.Ask, host(1).Addr()) {
		r.until("asks node2's host", 30*time.Millisecond, func() bool { return slices.Contains(r.out.Ask, host(1).Addr()) })
	}
}

// TestVotes: opinions on the node and on groups, and how each ends.
func TestVotes(t *testing.T) {
	m := newMesh(t, 2, 4)
	m.run(2 * time.Second)
	n := m.nodes[0]
	plan := n.Plan()
	mine := -1
	for g := range plan.Groups {
		if n.holds.mine.has(g) {
			mine = g
		}
	}
	key := plan.Groups[mine].Key
	addr := plan.Groups[mine].VIPs[0].Address.Addr()
	for _, step := range []struct {
		name string
		vote Vote
		here int  // how many of the 4 node1 has after the vote
		has  bool // whether the group is at node1
	}{
		{"a penalty for one group", Vote{Source: "a", Group: &key, Penalty: 3, Reason: "slow"}, 1, false},
		{"withdrawn: nothing comes back by itself", Vote{Source: "a", Group: &key}, 1, false},
		{"the node is out", Vote{Source: "b", Bar: true, Reason: "disk full"}, 0, false},
		{"another opinion changes nothing", Vote{Source: "c", Reason: "fine"}, 0, false},
		{"withdrawn", Vote{Source: "b"}, 0, false},
	} {
		n.Vote(m.now, step.vote)
		m.watch(400 * time.Millisecond)
		if got := m.count()[0]; got != step.here || m.has[0][addr] != step.has {
			t.Errorf("%s: node1 has %d groups, want %d; the one: %v", step.name, got, step.here, m.has[0][addr])
		}
		s := n.Status(m.now)
		if barred := step.vote.Source == "b" && step.vote.Bar; barred && !slices.Contains(s.Reasons, "b: disk full") {
			t.Errorf("%s: reasons %q", step.name, s.Reasons)
		}
	}
	other := m.nodes[1]
	other.Vote(m.now, Vote{Source: "d", Group: &key, Bar: true, Reason: "no database"})
	m.watch(400 * time.Millisecond)
	if !m.has[0][addr] {
		t.Error("a group barred at node2 isn't at node1")
	}
	n.Vote(m.now, Vote{Source: "d", Group: &key, Bar: true, Reason: "no database"})
	m.watch(400 * time.Millisecond)
	if s := n.Status(m.now).Groups[mine]; s.Assigned != "" || s.Reason != string(vipgroup.BarredEverywhere) {
		t.Errorf("barred everywhere: assigned to %q, %q", s.Assigned, s.Reason)
	}
}

// TestPreemptDelay: a preferred node that comes back leaves the group to its holder for
// a while, and says so.
func TestPreemptDelay(t *testing.T) {
	p := testPlan(t, 2, 1)
	p.Groups[0].Prefer, p.Groups[0].PreemptDelay = []string{"node1"}, 12*time.Second
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, p)
	s := r.peers[0]
	s.holds(0)
	r.pass(time.Second)
	if !r.status().Eligible {
		t.Fatal("not eligible")
	}
	r.never("claims before the delay is over", 11*time.Second, func() bool { return r.claims(0) })
	if len(r.said.barred) != 1 || !r.said.barred[0].groups.has(0) {
		t.Errorf("it doesn't say that it bars the group meanwhile: %+v", r.said.barred)
	}
	r.until("claims", 2*time.Second, func() bool { return r.claims(0) })

	// A holder that is lost is no reason to wait.
	r = newRig(t, p)
	r.peers[0].holds(0)
	r.pass(time.Second)
	r.peers[0].mute = true
	r.until("takes it from a lost holder", time.Second, func() bool { return r.holding(0) })
}

// TestRebalance: with a pause in the plan a new node gets its share, one group at a time.
func TestRebalance(t *testing.T) {
	p := testPlan(t, 2, 8)
	p.Rebalance = 10 * time.Second
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	m := meshOf(t, p, p)
	late := m.nodes[1]
	m.nodes[1] = nil
	m.run(6 * time.Second)
	if got := m.count()[0]; got != 8 {
		t.Fatalf("node1 has %d groups", got)
	}
	*late = *New(m.now, Options{Name: "node2", Cluster: "test", Boot: 9, Keys: []Key{testKey()}, Plan: p, Timing: testTiming()})
	m.nodes[1] = late
	had, moved := 0, m.now
	for end := m.now.Add(60 * time.Second); m.now.Before(end); {
		m.watch(100 * time.Millisecond)
		if got := m.count()[1]; got != had {
			if gap := m.now.Sub(moved); got != had+1 || had > 0 && gap < 10*time.Second-200*time.Millisecond {
				t.Errorf("node2 went from %d to %d groups after %v", had, got, gap)
			}
			had, moved = got, m.now
		}
	}
	if got := m.count(); !slices.Equal(got, []int{4, 4}) {
		t.Errorf("groups per node: %v", got)
	}
}

// TestRebalanceByOnePlan: while two plans of one version differ, the load stays as it is.
func TestRebalanceByOnePlan(t *testing.T) {
	plan := func(pause time.Duration) vipgroup.Plan {
		p := testPlan(t, 2, 8)
		p.Rebalance = pause
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	m := meshOf(t, plan(time.Second), plan(time.Second))
	m.nodes[1] = nil
	m.run(6 * time.Second)
	for _, tt := range []struct {
		theirs time.Duration
		want   int
	}{{2 * time.Second, 0}, {time.Second, 4}} {
		m.nodes[1] = New(m.now, Options{Name: "node2", Cluster: "test", Boot: uint64(m.now.UnixNano()), Keys: []Key{testKey()}, Plan: plan(tt.theirs), Timing: testTiming()})
		m.watch(20 * time.Second)
		if got := m.count()[1]; got != tt.want {
			t.Errorf("node1 pauses for 1s and node2 for %v: node2 has %d groups, want %d", tt.theirs, got, tt.want)
		}
	}
}

// TestDrainReason: who is drained says so.
func TestDrainReason(t *testing.T) {
	r := holderRig(t, 2)
	r.n.Drain(r.now, Drain{})
	r.pass(20 * time.Millisecond)
	if r.said.eligible || !strings.Contains(r.said.reason, "drained") {
		t.Errorf("it says eligible %v, %q", r.said.eligible, r.said.reason)
	}
	r.n.Undrain(r.now)
	r.pass(20 * time.Millisecond)
	if !r.said.eligible || r.said.reason != "" {
		t.Errorf("after the drain it says eligible %v, %q", r.said.eligible, r.said.reason)
	}
}

// TestDrainEnds: an order with an end ends by itself, at the moment for which the node asks
// to be woken.
func TestDrainEnds(t *testing.T) {
	r := holderRig(t, 2)
	until := r.now.Add(700 * time.Millisecond)
	r.n.Drain(r.now, Drain{Until: until, Note: "by alice"})
	r.pass(20 * time.Millisecond)
	if got := r.status(); !got.Drained || got.Eligible || r.said.reason != "drained by alice" {
		t.Errorf("drained %v, eligible %v, it says %q", got.Drained, got.Eligible, r.said.reason)
	}
	for r.now.Before(until) {
		if !r.n.Drained() {
			t.Fatalf("it ended %v too early", until.Sub(r.now))
		}
		r.ready()
		if r.out.Wake.After(until) {
			t.Fatalf("it sleeps until %v after the end", r.out.Wake.Sub(until))
		}
		r.now = r.out.Wake
	}
	r.ready()
	if got := r.status(); got.Drained || !got.Eligible {
		t.Errorf("after its end: drained %v, eligible %v", got.Drained, got.Eligible)
	}
}

// TestUnsteadyEnds: what a starved node leaves to others meanwhile it takes back afterwards,
// however seldom it has a turn.
func TestUnsteadyEnds(t *testing.T) {
	plan := testPlan(t, 2, 1)
	plan.Groups[0].Prefer = []string{"node1"}
	r := newRig(t, plan)
	r.pass(6 * time.Second)
	if !r.holding(0) {
		t.Fatal("node1 doesn't have the group that it prefers")
	}
	r.now = r.now.Add(3 * time.Second)
	delete(r.has, plan.Groups[0].Key)
	r.n.Report(r.now, Report{Group: plan.Groups[0].Key, Missing: 1})
	r.peers[0].holds(0)
	if refusal := r.say(r.peers[0]); refusal != "" {
		t.Fatal(refusal)
	}
	r.ready()
	if r.holding(0) || r.claims(0) {
		t.Fatalf("node1 wants at once what it lost: holding %v, claims %v", r.holding(0), r.claims(0))
	}
	for range 10 {
		r.now = r.now.Add(180 * time.Millisecond)
		r.say(r.peers[0])
		r.ready()
	}
	if !r.claims(0) {
		t.Errorf("node1 doesn't want what it prefers: %+v", r.status().Groups[0])
	}
}
