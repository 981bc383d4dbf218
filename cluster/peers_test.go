package cluster

import (
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// TestAdmit: which messages of which boot are believed.
func TestAdmit(t *testing.T) {
	const believed, top = 20, 30 // a higher boot was believed once
	for _, tt := range []struct {
		name      string
		boot, seq uint64
		farewell  bool
		proof     bool
		want      Refusal
	}{
		{"the next", 20, 8, false, false, ""},
		{"a later one", 20, 1000, false, false, ""},
		{"the same", 20, 7, false, false, Replayed},
		{"an earlier one", 20, 6, false, true, Replayed},
		{"a higher boot", 31, 1, false, false, ""},
		{"the highest boot ever", 30, 99, false, false, SupersededBoot},
		{"the highest boot ever, with proof", 30, 1, false, true, ""},
		{"a lower boot", 19, 99, false, false, SupersededBoot},
		{"a lower boot, with proof", 19, 1, false, true, ""},
		{"after the farewell", 20, farewellSeq + 1, true, true, SupersededBoot},
		{"a higher boot after the farewell", 31, 1, true, false, ""},
		{"a lower boot after the farewell", 19, 1, true, false, SupersededBoot},
	} {
		p := trail{boot: believed, top: top, seq: 7, farewell: tt.farewell}
		if got := p.admit(tt.boot, tt.seq, func() bool { return tt.proof }); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestProof: only an acknowledgement of something that this very process sent lately lets
// a lower boot in.
func TestProof(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(r *rig, a *announcement)
		want Refusal
	}{
		{"acknowledges the newest", func(*rig, *announcement) {}, ""},
		{"acknowledges nothing", func(_ *rig, a *announcement) { a.heard = nil }, SupersededBoot},
		{"acknowledges another node", func(_ *rig, a *announcement) { a.heard[0].node = idOf("node3") }, SupersededBoot},
		{"acknowledges a former boot of ours", func(_ *rig, a *announcement) { a.heard[0].boot-- }, SupersededBoot},
		{"acknowledges what was never sent", func(_ *rig, a *announcement) { a.heard[0].seq += 1 << 40 }, SupersededBoot},
		{"acknowledges what was sent long ago", func(r *rig, a *announcement) { r.pass(time.Second) }, SupersededBoot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, testPlan(t, 3, 1))
			r.pass(time.Second)
			s := r.peers[0]
			s.mute = true // the former process has ended, and the next has listened
			r.pass(300 * time.Millisecond)
			s.boot -= 50
			v, err := open("secret", s.next(r))
			if err != nil {
				t.Fatal(err)
			}
			s.boot += 50
			tt.edit(r, &v.ann)
			v.secret = "secret"
			if got := r.receive(s, v.seal()); got != tt.want {
				t.Errorf("a lower boot that %s: %q, want %q", tt.name, got, tt.want)
			}
			if boot := r.peer(s).boot; (boot == s.boot-50) != (tt.want == "") {
				t.Errorf("boot %d is believed", boot)
			}
		})
	}
}

// leaves returns the farewell of a speaker that holds groups 0 and 2, and its word before that.
func leaves(r *rig, s *speaker) (before, bye []byte) {
	before = s.next(r)
	s.seq, s.ann.farewell = farewellSeq-1, true
	s.frees(0, 2)
	return before, s.next(r)
}

// TestFarewellEndsABoot: nothing that was recorded of it counts afterwards, and the next
// process is heard as a new one.
func TestFarewellEndsABoot(t *testing.T) {
	r := matureRig(t, 3, 3)
	s := r.peers[0]
	before, bye := leaves(r, s)
	for _, step := range []struct {
		name string
		data []byte
		want Refusal
	}{{"the farewell", bye, ""}, {"the farewell again", bye, SupersededBoot}, {"an earlier word", before, SupersededBoot}} {
		if got := r.receive(s, step.data); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
	s.mute = true
	r.pass(10 * time.Millisecond)
	if p := r.status().Peers[0]; p.State != Absent || !p.Farewell {
		t.Errorf("after its farewell node2 is %s (farewell %v)", p.State, p.Farewell)
	}
	s.mute, s.boot, s.seq, s.ann.farewell = false, s.boot+1, 0, false
	r.pass(200 * time.Millisecond)
	if p := r.status().Peers[0]; p.State != Live || p.Farewell {
		t.Errorf("after its restart node2 is %s (farewell %v)", p.State, p.Farewell)
	}
}

// TestRecordingsOfWhoLeft: recordings that are younger than stale prove to be fresh; of a
// process that took its leave they count for nothing all the same, and so does a farewell
// itself that is heard only after the next process. That one may not hear us at all, and could
// not come back.
func TestRecordingsOfWhoLeft(t *testing.T) {
	for _, missed := range []bool{false, true} {
		r := matureRig(t, 3, 3)
		s := r.peers[0]
		before, bye := leaves(r, s)
		if !missed {
			r.receive(s, bye)
		}
		s.mute = true
		r.pass(3 * r.n.timing.Interval) // as a new process listens
		s.boot, s.seq, s.ann.farewell, s.deaf = s.boot+1, 0, false, true
		if got := r.say(s); got != "" {
			t.Fatalf("the next process is refused: %s", got)
		}
		recordings := [][]byte{bye}
		if !missed {
			recordings = append(recordings, before)
		}
		for i, data := range recordings {
			if got := r.receive(s, data); got != SupersededBoot {
				t.Errorf("missed %v, recording %d: %q, want %q", missed, i, got, SupersededBoot)
			}
		}
		if got := r.say(s); got != "" {
			t.Errorf("missed %v: then the next process is refused: %s", missed, got)
		}
	}
}

// TestJudge: the states of a peer, at their bounds.
func TestJudge(t *testing.T) {
	now := time.Unix(1000, 0)
	b := boundsOf(100*time.Millisecond, 500*time.Millisecond)
	ago := func(ms int) time.Time { return now.Add(-time.Duration(ms) * time.Millisecond) }
	others := announcement{heard: make([]heard, 1)}
	for _, tt := range []struct {
		name string
		peer peer
		want PeerState
	}{
		{"never heard", peer{}, Absent},
		{"heard stale - T ago", peer{last: ago(450), hearsUs: true, ackedAt: ago(500), ann: others}, Live},
		{"heard longer ago", peer{last: ago(451), hearsUs: true, ackedAt: ago(451), ann: others}, Absent},
		{"said farewell", peer{last: ago(0), trail: trail{farewell: true}, hearsUs: true, ackedAt: ago(0), ann: others}, Absent},
		{"acknowledges what is older than stale", peer{last: ago(0), hearsUs: true, ackedAt: ago(501), ann: others}, OneWay},
		{"hears others", peer{last: ago(0), ann: others}, OneWay},
		{"heard us once", peer{last: ago(0), ackedAt: ago(10), ann: others}, OneWay},
		{"hears nobody", peer{last: ago(0)}, Deaf},
	} {
		if got := tt.peer.judge(now, b); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestBoundsOf(t *testing.T) {
	for interval, stand := range map[time.Duration]time.Duration{
		20 * time.Millisecond: 50 * time.Millisecond, 100 * time.Millisecond: 50 * time.Millisecond, time.Second: 500 * time.Millisecond,
	} {
		if got := boundsOf(interval, 10*time.Second).stand; got != stand {
			t.Errorf("a claim stands for %v at an interval of %v, want %v", got, interval, stand)
		}
	}
}

// TestLongestTimingRules: a node judges by the largest timings among the nodes heard, and
// by its own again when those are gone.
func TestLongestTimingRules(t *testing.T) {
	r := matureRig(t, 3, 2)
	s := r.peers[0]
	s.ann.interval, s.ann.stale = 300*time.Millisecond, 2*time.Second
	r.pass(300 * time.Millisecond)
	s.mute = true
	r.pass(time.Second)
	if got := r.status().Peers[0].State; got == Absent {
		t.Error("a peer that bears 2 s of silence is absent after 1 s")
	}
	r.pass(1500 * time.Millisecond)
	if got := r.status().Peers[0].State; got != Absent {
		t.Errorf("after 2.5 s of silence it is %s", got)
	}
	r.peers[1].mute = true
	r.pass(500 * time.Millisecond)
	if got := r.status().Peers[1].State; got != Absent {
		t.Errorf("the other peer is %s after 0.5 s: the timings of one that is gone still rule", got)
	}
}

// TestAlarmsOfStates: who can't hear whom is said aloud.
func TestAlarmsOfStates(t *testing.T) {
	r := matureRig(t, 3, 2)
	oneWay, deaf := r.peers[0], r.peers[1]
	oneWay.deaf, deaf.deaf = true, true
	oneWay.heard["node3"] = heard{idOf("node3"), deaf.boot, 1}
	r.pass(700 * time.Millisecond)
	s := r.status()
	if s.Peers[0].State != OneWay || s.Peers[1].State != Deaf {
		t.Errorf("node2 is %s, node3 %s, want one-way and deaf", s.Peers[0].State, s.Peers[1].State)
	}
	for _, want := range []Alarm{{Name: "one-way", Detail: "node2 does not hear node1, which hears it"}, {Name: "deaf", Detail: "node3 hears nobody"}} {
		if !hasAlarm(s, want.Name, want.Detail) {
			t.Errorf("no alarm %s: %s in %v", want.Name, want.Detail, s.Alarms)
		}
	}
}

func hasAlarm(s Status, name, detail string) bool {
	for _, a := range s.Alarms {
		if a.Name == name && (detail == "" || a.Detail == detail) {
			return true
		}
	}
	return false
}

// TestDuplicateNameIsAnAlarm: two nodes with one name.
func TestDuplicateNameIsAnAlarm(t *testing.T) {
	r := matureRig(t, 2, 1)
	twin := speaker{name: "node1", boot: 7, plan: vipgroup.Plan{}}
	if got := r.n.Receive(r.now, Packet{Data: twin.next(r), From: host(5), TTL: 255}); got != DuplicateName {
		t.Fatalf("our own name from another process: %q", got)
	}
	if !hasAlarm(r.status(), "duplicate-name", "another process calls itself node1 at 10.9.9.6") {
		t.Errorf("no alarm: %v", r.status().Alarms)
	}
}
