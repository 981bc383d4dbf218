package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// until lets time pass until the condition holds, and returns how long that took; it
// fails when it takes longer than most.
func (r *rig) until(what string, most time.Duration, cond func() bool) time.Duration {
	r.t.Helper()
	start := r.now
	for !cond() {
		if r.now.Sub(start) > most {
			r.t.Fatalf("not within %v: %s; group 0 waits for %q", most, what, r.status().Groups[0].Waiting)
		}
		r.pass(time.Millisecond)
	}
	return r.now.Sub(start)
}

// never fails when the condition holds at any time within d.
func (r *rig) never(what string, d time.Duration, cond func() bool) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		r.pass(time.Millisecond)
		if cond() {
			r.t.Fatalf("within %v: %s", d, what)
		}
	}
}

// freedRig is a node to which the only group is assigned (node2, its holder, is drained)
// and which claims it. It is taken as soon as node2 frees it.
func freedRig(t *testing.T, nodes int) *rig {
	r := newRig(t, testPlan(t, nodes, 1))
	r.peers[0].holds(0)
	for _, s := range r.peers {
		s.ann.eligible = false
	}
	r.pass(time.Second)
	if !r.claims(0) || r.holding(0) {
		t.Fatalf("node1 holds or doesn't claim what the drained node2 has: %+v", r.status().Groups[0])
	}
	return r
}

// TestFreshReleaseIsTakenAtOnce: a hand-over costs no waiting.
func TestFreshReleaseIsTakenAtOnce(t *testing.T) {
	r := freedRig(t, 3)
	r.peers[0].frees(0)
	r.say(r.peers[0])
	r.ready()
	if !r.holding(0) {
		t.Errorf("not taken in the turn of the release: waits for %q", r.status().Groups[0].Waiting)
	}
}

// TestPermission: what keeps an open claim waiting, although the group was just freed.
func TestPermission(t *testing.T) {
	const acknowledge = "node3 has not acknowledged the claim"
	for _, tt := range []struct {
		name    string
		edit    func(r *rig, holder, third *speaker)
		waiting string
	}{
		{"somebody has it", func(r *rig, holder, third *speaker) { third.holds(0) }, "node3 has it"},
		{"an objection for the holder's sake", func(r *rig, holder, third *speaker) {
			third.ann.objections = []objection{{target: idOf("node1"), named: idOf("node9"), groups: setOf(0)}}
		}, "node3 objects"},
		{"an objection to everything", func(r *rig, holder, third *speaker) {
			third.ann.objections = []objection{{target: idOf("node1"), named: idOf("node3"), all: true}}
		}, "node3 does not know every plan yet"},
		{"a claim by who can't hear us", func(r *rig, holder, third *speaker) {
			third.deaf = true
			r.pass(600 * time.Millisecond)
			third.claims(0)
		}, "node3 claims it and does not hear this node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := freedRig(t, 3)
			holder, third := r.peers[0], r.peers[1]
			tt.edit(r, holder, third)
			r.say(third)
			holder.frees(0)
			r.say(holder)
			r.ready()
			if got := r.status().Groups[0].Waiting; r.holding(0) || got != tt.waiting {
				t.Errorf("holding %v, waits for %q, want %q", r.holding(0), got, tt.waiting)
			}
		})
	}
	t.Run("not acknowledged", func(t *testing.T) {
		r := freedRig(t, 3)
		holder, third := r.peers[0], r.peers[1]
		// The claim begins anew, and node3 keeps acknowledging what came before it.
		r.n.Drain(r.now, Drain{})
		r.pass(10 * time.Millisecond)
		old := r.said
		r.n.Undrain(r.now)
		third.mute = true
		r.until("claim again", 100*time.Millisecond, func() bool { return r.claims(0) })
		now := r.said
		r.said = old
		r.say(third)
		r.said = now
		holder.frees(0)
		r.say(holder)
		r.ready()
		if got := r.status().Groups[0].Waiting; r.holding(0) || got != acknowledge {
			t.Errorf("holding %v, waits for %q, want %q", r.holding(0), got, acknowledge)
		}
		r.say(third)
		r.ready()
		if !r.holding(0) {
			t.Errorf("acknowledged, and still waits for %q", r.status().Groups[0].Waiting)
		}
	})
}

// TestObjections: whom an objection names decides whether it binds.
func TestObjections(t *testing.T) {
	for _, tt := range []struct {
		name  string
		edit  func(r *rig, named, objector *speaker)
		binds bool
	}{
		{"we heard the named one later, without it", func(r *rig, named, objector *speaker) {
			objector.heard["node2"] = heard{idOf("node2"), named.boot, named.seq - 1}
		}, false},
		{"we heard the same", func(r *rig, named, objector *speaker) {
			objector.heard["node2"] = heard{idOf("node2"), named.boot, named.seq}
		}, false},
		{"the objector heard more", func(r *rig, named, objector *speaker) {
			objector.heard["node2"] = heard{idOf("node2"), named.boot, named.seq + 1}
		}, true},
		{"the objector heard another boot", func(r *rig, named, objector *speaker) {
			objector.heard["node2"] = heard{idOf("node2"), named.boot + 1, 1}
		}, true},
		{"the objector doesn't say what it heard", func(r *rig, named, objector *speaker) {
			objector.heard["node2"] = heard{idOf("node5"), 0, 0}
		}, true},
		{"neither hears the named one, whom the objector remembers", func(r *rig, named, objector *speaker) {
			p := r.peer(named)
			p.boot, p.said = 0, 0 // this process never heard it
			objector.heard["node2"] = heard{idOf("node5"), 0, 0}
		}, true},
		{"we too hear the named one claim", func(r *rig, named, objector *speaker) {
			named.claims(0)
			r.say(named)
			objector.heard["node2"] = heard{idOf("node2"), named.boot, named.seq}
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := freedRig(t, 3)
			named, objector := r.peers[0], r.peers[1]
			objector.ann.objections = []objection{{target: idOf("node1"), named: idOf("node2"), groups: setOf(0)}}
			named.frees(0)
			r.say(named)
			tt.edit(r, named, objector)
			r.say(objector)
			if got := r.n.objected(r.peer(objector), 0); got != tt.binds {
				t.Errorf("the objection binds: %v, want %v", got, tt.binds)
			}
		})
	}
}

// TestOldReleaseIsAskedFor: a release that this node didn't witness is believed only
// when the address was asked for T and didn't answer.
func TestOldReleaseIsAskedFor(t *testing.T) {
	r := freedRig(t, 3)
	r.peers[0].mute = true // it is last heard holding, and comes back without
	r.pass(400 * time.Millisecond)
	r.peers[0].frees(0)
	r.peers[0].mute = false
	r.say(r.peers[0])
	took := r.until("taken", time.Second, func() bool { return r.holding(0) })
	if took < r.n.bounds.stand || r.asked[0] == 0 {
		t.Errorf("taken after %v, asked %d times", took, r.asked[0])
	}
}

// TestFreshReleaseNeedsEverybody: a fresh release is taken at once only when every node
// of the plan is live or gone for good; else it is asked for.
func TestFreshReleaseNeedsEverybody(t *testing.T) {
	for _, bye := range []bool{false, true} {
		r := freedRig(t, 3)
		third := r.peers[1]
		if bye {
			third.seq, third.ann.farewell = farewellSeq-1, true
			r.say(third)
		}
		third.mute = true
		r.pass(600 * time.Millisecond)
		r.peers[0].frees(0)
		r.say(r.peers[0])
		if r.ready(); r.holding(0) != bye {
			t.Errorf("node3 said farewell: %v; taken at once: %v", bye, r.holding(0))
		}
		took := r.until("taken", time.Second, func() bool { return r.holding(0) })
		if !bye && took > 2*r.n.bounds.interval {
			t.Errorf("taken after %v", took)
		}
	}
}

// TestPaceOfAsking: nobody asks for the addresses of a heard holder; those of a silent one
// are asked for every quarter of an interval.
func TestPaceOfAsking(t *testing.T) {
	r := matureRig(t, 3, 1)
	r.asked[0] = 0
	r.pass(time.Second)
	if n := r.asked[0]; n > 0 {
		t.Errorf("asked %d times while the holder is heard", n)
	}
	r.peers[0].mute = true
	r.pass(160 * time.Millisecond)
	r.asked[0] = 0
	r.pass(200 * time.Millisecond)
	if n := r.asked[0]; n < 7 || n > 9 {
		t.Errorf("asked %d times in 2 intervals of silence, want 8", n)
	}
}

// TestAnsweredAddressIsNotTaken: as long as somebody answers for an address, its silent
// holder keeps it, and after a while that is an alarm.
func TestAnsweredAddressIsNotTaken(t *testing.T) {
	r := matureRig(t, 3, 1)
	r.peers[0].mute = true
	r.echoes = setOf(0)
	r.never("an answered address is taken", 5*time.Second, func() bool {
		if r.now.UnixMilli()%50 == 0 {
			r.answered(0)
		}
		return r.holding(0)
	})
	if s := r.status(); !s.Groups[0].Contested || !hasAlarm(s, "contested", "10.0.0.0 is answered for by 02:00:00:00:00:09 on eth0, "+
		"although no node that is heard holds it: is that node cut off or firewalled? a foreign host must give the address up") {
		t.Errorf("no alarm: %+v", s.Alarms)
	} else if len(s.Rivals) != 1 || s.Rivals[0].MAC != foreign {
		t.Errorf("rivals %+v", s.Rivals)
	}
	r.echoes.clear()
	took := r.until("taken once it is silent", 2*time.Second, func() bool { return r.holding(0) })
	if took < r.n.bounds.stale-50*time.Millisecond {
		t.Errorf("taken %v after the last answer", took)
	}
}

// TestSilentAddressIsTaken: within stale + 2 intervals of the holder's last word, not
// before stale, and only after asking.
func TestSilentAddressIsTaken(t *testing.T) {
	r := matureRig(t, 3, 1)
	r.peers[0].mute, r.peers[1].ann.eligible = true, false
	r.pass(time.Millisecond)
	last := r.peer(r.peers[0]).last
	r.until("taken", time.Second, func() bool { return r.holding(0) })
	if took := r.now.Sub(last); took < r.n.bounds.stale || took > r.n.bounds.stale+2*r.n.bounds.interval {
		t.Errorf("taken %v after the last word of its holder", took)
	}
	if r.asked[0] < 3 {
		t.Errorf("asked %d times", r.asked[0])
	}
}

// TestDeadWireIsNoSilence: an address isn't silent where nothing at all is heard.
func TestDeadWireIsNoSilence(t *testing.T) {
	r := matureRig(t, 3, 1)
	r.peers[0].mute, r.peers[1].mute = true, true
	r.never("taken on a dead wire", 3*time.Second, func() bool { return r.holding(0) })
	if s := r.status(); !s.Isolated || !hasAlarm(s, "isolated", "") {
		t.Errorf("isolated: %v, alarms %v", s.Isolated, s.Alarms)
	}
}

// TestDyingWireIsNoSilence: nor where somebody should be heard and the last frame of
// anybody is a while ago, though it is too early to call oneself isolated.
func TestDyingWireIsNoSilence(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.255.1")
	r := matureRig(t, 2, 1)
	r.n.Witness(r.now, []netip.Addr{gateway})
	r.peers[0].mute = true
	for range 2 {
		r.n.Sign(r.now, Sign{Kind: Answered, Addr: gateway})
		r.pass(100 * time.Millisecond)
	}
	r.never("taken on a dying wire", 3*time.Second, func() bool { return r.holding(0) })
}

// TestGapVoidsReleases: a process that did nothing for more than two intervals may have
// missed who took what was free.
func TestGapVoidsReleases(t *testing.T) {
	for _, gap := range []time.Duration{150 * time.Millisecond, 250 * time.Millisecond} {
		r := freedRig(t, 3)
		r.peers[1].deaf = true // so that the release alone isn't enough
		r.pass(600 * time.Millisecond)
		r.peers[0].frees(0)
		r.say(r.peers[0])
		r.now = r.now.Add(gap)
		r.n.Tick(r.now)
		void := gap > 2*r.n.bounds.interval
		if r.n.signs[0].released() == void || r.n.claims.open.has(0) == void {
			t.Errorf("after %v without a turn: released %v, claims %v", gap, r.n.signs[0].released(), r.n.claims.open.has(0))
		}
		if hasAlarm(r.status(), "loop-late", "") != void {
			t.Errorf("after %v without a turn the alarms are %v", gap, r.status().Alarms)
		}
	}
}

// TestWorseClaimWithdraws: of two that claim one group the worse-ranked withdraws, and
// waits for a while.
func TestWorseClaimWithdraws(t *testing.T) {
	const groups = 12
	r := newRig(t, testPlan(t, 3, groups))
	holder, rival := r.peers[0], r.peers[1]
	holder.holds(span(0, groups)...)
	holder.ann.eligible, rival.ann.eligible = false, false
	r.pass(time.Second)
	rival.claims(span(0, groups)...)
	r.say(rival)
	r.ready()
	first := 0
	for g, s := range r.status().Groups {
		key := r.n.plan.Groups[g].Key
		if better := r.n.plan.Better(key, "node1", "node3"); better != s.Claiming {
			t.Errorf("group %d: node1 ranks %d, node3 %d, node1 claims: %v", g, r.n.plan.Rank(key, "node1"), r.n.plan.Rank(key, "node3"), s.Claiming)
		} else if better {
			first++
		}
	}
	if first == 0 || first == groups {
		t.Fatalf("node1 goes first for %d of %d groups: this tests one side only", first, groups)
	}
	rival.ann.claims = nil
	r.say(rival)
	r.never("claimed again at once", 2*r.n.bounds.interval-5*time.Millisecond, func() bool {
		n := 0
		for _, s := range r.status().Groups {
			if s.Claiming {
				n++
			}
		}
		return n != first
	})
	r.until("claimed again after the pause", time.Second, func() bool {
		for _, s := range r.status().Groups {
			if !s.Claiming {
				return false
			}
		}
		return true
	})
}

// TestPauseIsForThoseWhoClaim: who withdraws for a better claim waits for as many turns as
// there are such claims, not for every node that the plan ranks better: of many nodes, half
// may be gone, and the others have what they want.
func TestPauseIsForThoseWhoClaim(t *testing.T) {
	const groups = 12
	r := newRig(t, testPlan(t, vipgroup.MaxNodes, groups))
	r.peers[0].holds(span(0, groups)...)
	for _, s := range r.peers {
		s.ann.eligible = false
	}
	r.pass(time.Second)
	rival := r.peers[len(r.peers)-1] // the better one for nearly every group
	rival.claims(span(0, groups)...)
	r.say(rival)
	r.ready()
	worst := 0
	for g, s := range r.status().Groups {
		if !s.Claiming {
			worst = max(worst, r.n.plan.Rank(r.n.plan.Groups[g].Key, "node1"))
		}
	}
	if worst < 10 {
		t.Fatalf("node1 withdrew no claim with a rank beyond %d", worst)
	}
	rival.ann.claims = nil
	r.say(rival)
	r.until("claimed again after one rival's turn", 3*r.n.bounds.interval+20*time.Millisecond, func() bool {
		return !slices.ContainsFunc(r.status().Groups, func(s GroupStatus) bool { return !s.Claiming })
	})
}

// TestShortStaleIsNoOrphan: however short stale is, whoever should take what is free has the
// time that a claim needs.
func TestShortStaleIsNoOrphan(t *testing.T) {
	r := matureRig(t, 3, 1)
	holder, heir := r.peers[0], r.peers[1]
	holder.ann.eligible = false
	r.n.Vote(r.now, Vote{Source: "test", Group: &r.n.plan.Groups[0].Key, Penalty: 5, Reason: "worse"})
	r.n.timing.Interval, r.n.timing.Stale = 10*time.Millisecond, 80*time.Millisecond
	r.pass(time.Second)
	if got := r.status().Groups[0].Assigned; got != heir.name || r.n.bounds.stale != r.n.timing.Stale {
		t.Fatalf("assigned to %q, want %s; stale is %v", got, heir.name, r.n.bounds.stale)
	}
	holder.frees(0)
	r.say(holder)
	place := 2 * r.n.bounds.interval * time.Duration(r.n.plan.Rank(r.n.plan.Groups[0].Key, "node1"))
	r.never("claimed before the other can have taken it", place+r.n.bounds.stand, func() bool { return r.claims(0) })
	r.until("taken as an orphan", time.Second, func() bool { return r.holding(0) })
}

// TestOrphan: what another should take and doesn't is taken by the next in rank; later where
// that one goes by another plan, by which it may have to wait until more is silent.
func TestOrphan(t *testing.T) {
	for name, strange := range map[string]bool{"same plan": false, "another plan": true} {
		t.Run(name, func(t *testing.T) {
			r := matureRig(t, 3, 1)
			holder, heir := r.peers[0], r.peers[1]
			holder.ann.eligible = false
			r.pass(200 * time.Millisecond)
			group := r.status().Groups[0]
			if group.Assigned != "node3" && group.Assigned != "node1" {
				t.Fatalf("assigned to %q", group.Assigned)
			}
			// node1 must not be the one to whom it is assigned: it gets a penalty.
			r.n.Vote(r.now, Vote{Source: "test", Group: &r.n.plan.Groups[0].Key, Penalty: 5, Reason: "worse"})
			r.ready()
			if group = r.status().Groups[0]; group.Assigned != heir.name {
				t.Fatalf("assigned to %q, want %s", group.Assigned, heir.name)
			}
			patience := r.n.bounds.stale/2 + 2*r.n.bounds.interval*time.Duration(r.n.plan.Rank(r.n.plan.Groups[0].Key, "node1"))
			if strange {
				patience += r.n.bounds.silent
				heir.plan.Version++
				other, err := vipgroup.NewPlan(heir.plan)
				if err != nil {
					t.Fatal(err)
				}
				heir.plan = other
				r.n.plans.learn(other)
				r.say(heir)
			}
			holder.frees(0)
			r.say(holder)
			r.never("claimed before its time", patience-10*time.Millisecond, func() bool { return r.claims(0) })
			r.until("taken as an orphan", time.Second, func() bool { return r.holding(0) })
		})
	}
}
