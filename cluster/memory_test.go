package cluster

import (
	"net/netip"
	"testing"
	"time"
)

// remembering lets the only group's address, whose holder just fell silent, be answered for
// ever; more is what else happens every millisecond. It returns when the holder last spoke.
func remembering(t *testing.T, more func(r *rig)) (r *rig, last time.Time, step func() bool) {
	r = matureRig(t, 3, 1)
	r.peers[0].mute, r.peers[1].ann.eligible = true, false
	r.pass(time.Millisecond)
	return r, r.peer(r.peers[0]).last, func() bool {
		if r.now.UnixMilli()%20 == 0 {
			r.answered(0)
		}
		more(r)
		return r.holding(0)
	}
}

// TestMemoryIsTaken: an answer that neither chat nor echo confirms is a switch's memory
// after lifetime + 1.05 s + stale, and taken soon after that, with an alarm that says from
// where it came.
func TestMemoryIsTaken(t *testing.T) {
	r, last, step := remembering(t, func(*rig) {})
	r.until("taken", 5*time.Second, step)
	least := r.n.timing.Lifetime + sweep + r.n.bounds.stale
	if took := r.now.Sub(last); took < least || took > least+2*r.n.bounds.interval {
		t.Errorf("taken %v after the last word of its holder, want %v and at most 2 intervals more", took, least)
	}
	if want := int(r.n.bounds.stale / r.n.bounds.interval); r.echoed[0] < want || r.echoed[0] > want+2 {
		t.Errorf("asked %d times by echo, want %d to %d", r.echoed[0], want, want+2)
	}
	if !hasAlarm(r.status(), "contested", "10.0.0.0 was taken although ARP is answered for 02:00:00:00:00:09 on eth0, which says nothing else: "+
		"does a switch answer from memory (ARP suppression)? clear the entry there") {
		t.Errorf("no alarm: %v", r.status().Alarms)
	}
	if s := r.status(); len(s.Rivals) > 0 || s.Stats.Conflicts > 0 {
		t.Errorf("what was taken is contested by %v, %d times", s.Rivals, s.Stats.Conflicts)
	}
}

// TestWhoSpeaksForItselfIsNoMemory: whatever confirms now and then that somebody has the
// address keeps it from being taken, for ever; once it stops, the wait begins anew.
func TestWhoSpeaksForItselfIsNoMemory(t *testing.T) {
	for name, confirm := range map[string]func(r *rig){
		"it replies to one echo in five": func(r *rig) {
			if r.echoed[0]%5 == 4 {
				r.echoes.add(0)
			} else {
				r.echoes.del(0)
			}
		},
		"it is announced by ARP": func(r *rig) {
			if r.now.UnixMilli()%2500 == 0 {
				r.seen(0, Announced)
			}
		},
		"its holder is heard": func(r *rig) {
			if s := r.peers[0]; r.now.UnixMilli()%2500 == 0 {
				r.say(s)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			stopped := false
			r, _, step := remembering(t, func(r *rig) {
				if !stopped {
					confirm(r)
				}
			})
			r.never("taken", 15*time.Second, step)
			proof := r.n.signs[0].proof
			stopped = true
			r.echoes.del(0)
			r.until("taken when that is over", 5*time.Second, step)
			if took := r.now.Sub(proof); took < r.n.timing.Lifetime+sweep+r.n.bounds.stale {
				t.Errorf("taken %v after it was last confirmed", took)
			}
		})
	}
}

// TestNoEchoWhileAKernelMayHaveIt: the kernel of a node that was stopped, killed or hung
// answers for a while. That is no riddle, and nobody is asked by echo.
func TestNoEchoWhileAKernelMayHaveIt(t *testing.T) {
	r, last, step := remembering(t, func(*rig) {})
	for r.now.Sub(last) < r.n.timing.Lifetime+sweep {
		step()
		r.pass(time.Millisecond)
		if r.echoed[0] > 0 {
			t.Fatalf("asked by echo %v after the last word of the holder", r.now.Sub(last))
		}
	}
	r.until("asked by echo", time.Second, func() bool { step(); return r.echoed[0] > 0 })
}

// TestMemoryWaitsForItsEchoes: however late the asking by echo begins, it goes on for stale
// before an answer counts for nothing.
func TestMemoryWaitsForItsEchoes(t *testing.T) {
	r, _, step := remembering(t, func(*rig) {})
	r.until("asked by echo", 5*time.Second, func() bool { step(); return r.echoed[0] > 0 })
	s := &r.n.signs[0]
	s.pingOn, r.echoed[0] = time.Time{}, 0
	began := r.now
	r.until("taken", 5*time.Second, step)
	if took := r.now.Sub(began); took < r.n.bounds.stale || r.echoed[0] < 5 {
		t.Errorf("taken %v after the first echo, with %d of them", took, r.echoed[0])
	}
}

// TestUnaskedIsNoMemory: a process that could not ask for a while knows nothing of the
// silence meanwhile.
func TestUnaskedIsNoMemory(t *testing.T) {
	r, _, step := remembering(t, func(*rig) {})
	r.never("taken", 2*time.Second, step)
	r.now = r.now.Add(300 * time.Millisecond)
	r.n.Tick(r.now)
	gap := r.now
	r.until("taken", 5*time.Second, step)
	if took := r.now.Sub(gap); took < r.n.timing.Lifetime+sweep+r.n.bounds.stale {
		t.Errorf("taken %v after a gap", took)
	}
}

// TestAnnouncesForWhoMayNotHear: whoever may take its silence in chat for a memory hears a
// holder by ARP: a node that is heard and doesn't hear it, and one that said farewell and
// may be back.
func TestAnnouncesForWhoMayNotHear(t *testing.T) {
	for _, tt := range []struct {
		name      string
		deaf, bye bool
		want      int // announcements in 10 s
	}{
		{"everybody hears it", false, false, 0},
		{"a node is heard and hears nobody", true, false, 40},
		{"a node said farewell", false, true, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := holderRig(t, 3)
			s := r.peers[0]
			if s.deaf = tt.deaf; tt.bye {
				s.seq, s.ann.farewell = farewellSeq-1, true
				r.say(s)
				s.mute = true
			}
			r.pass(time.Second)
			count := 0
			for end := r.now.Add(10 * time.Second); r.now.Before(end); count += len(r.out.Announce) {
				r.pass(time.Millisecond)
			}
			if count < tt.want-1 || count > tt.want+1 {
				t.Errorf("announced %d times in 10 s, want %d", count, tt.want)
			}
		})
	}
}

// TestWhatProves: of IPv4 a bare answer may be a memory's; of IPv6 it can't be told from an
// announcement.
func TestWhatProves(t *testing.T) {
	four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		sign Sign
		want bool
	}{
		{Sign{Kind: Answered, Addr: four}, false},
		{Sign{Kind: Announced, Addr: four}, true},
		{Sign{Kind: Echoed, Addr: four}, true},
		{Sign{Kind: Answered, Addr: six}, true},
	} {
		if got := tt.sign.proves(); got != tt.want {
			t.Errorf("%+v proves: %v", tt.sign, got)
		}
	}
}
