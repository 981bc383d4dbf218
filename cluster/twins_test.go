package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// twinOf is a second process with the name of a speaker, on a host of its own.
func twinOf(s *speaker, boot uint64) *speaker {
	t := *s
	t.boot, t.seq, t.ann = boot, 0, announcement{eligible: true}
	return &t
}

// sayFrom delivers a speaker's next announcement from a host of its own.
func (r *rig) sayFrom(s *speaker, at netip.AddrPort) Refusal {
	return r.n.Receive(r.now, Packet{Data: s.next(r), From: at, TTL: 255})
}

// TestSecondProcess: who is believed goes on being believed while it speaks, whatever the
// boot id of another process with its name; and then the other is.
func TestSecondProcess(t *testing.T) {
	for _, tt := range []struct {
		name  string
		boot  uint64
		quiet time.Duration // since the first one spoke
		bye   bool
		want  Refusal
	}{
		{"a higher boot", 1000, 0, false, SecondProcess},
		{"a lower boot with proof", 50, 0, false, SecondProcess},
		{"a higher boot after two lost packets", 1000, 250 * time.Millisecond, false, SecondProcess},
		{"a process that was restarted", 1000, 300 * time.Millisecond, false, ""},
		{"a restarted one whose clock was set back", 50, 300 * time.Millisecond, false, ""},
		{"a higher boot after a farewell", 1000, 0, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := matureRig(t, 3, 2)
			s := r.peers[0]
			if tt.bye {
				s.seq, s.ann.farewell = farewellSeq-1, true
				r.say(s)
			} else {
				r.say(s)
			}
			s.mute = true
			r.pass(tt.quiet)
			if got := r.sayFrom(twinOf(s, tt.boot), host(7)); got != tt.want {
				t.Errorf("refused for %q, want %q", got, tt.want)
			}
		})
	}
}

// TestRecordingHoldsNobodyOff: a process that never acknowledged us isn't sure to live,
// so the next one is believed at once.
func TestRecordingHoldsNobodyOff(t *testing.T) {
	r := matureRig(t, 3, 2)
	s := r.peers[0]
	s.mute = true
	r.pass(time.Second)
	old := twinOf(s, s.boot+1) // a recording of a process that we never talked to
	old.deaf = true
	r.say(old)
	r.ready()
	if got := r.say(twinOf(s, s.boot+2)); got != "" {
		t.Errorf("the next process is refused: %s", got)
	}
}

// TestTwinWaitsLonger: who was refused for a while is a twin, and a lost packet or two of
// the other is no opportunity.
func TestTwinWaitsLonger(t *testing.T) {
	r := matureRig(t, 3, 2)
	s := r.peers[0]
	twin := twinOf(s, 1000)
	for range 8 {
		r.sayFrom(twin, host(7))
		r.pass(100 * time.Millisecond)
	}
	if !hasAlarm(r.status(), "duplicate-name", "two processes call themselves node2, at 10.9.9.2 and 10.9.9.8: only the first is believed") {
		t.Errorf("no alarm in %v", r.status().Alarms)
	}
	s.mute = true
	for i, want := range []Refusal{SecondProcess, SecondProcess, ""} {
		r.pass(170 * time.Millisecond)
		if got := r.sayFrom(twin, host(7)); got != want {
			t.Errorf("%d ms after the first one was silenced: %q, want %q", 170*(i+1), got, want)
		}
	}
}

// TestOtherHostReleasesNothing: a process with the name of a holder, on another host, does
// not speak for the holder's kernel.
func TestOtherHostReleasesNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		from netip.AddrPort
		want bool
	}{{"the same host", host(1), true}, {"another host", host(7), false}} {
		t.Run(tt.name, func(t *testing.T) {
			r := matureRig(t, 3, 2)
			s := r.peers[0]
			s.mute = true
			r.pass(300 * time.Millisecond)
			if got := r.sayFrom(twinOf(s, 1000), tt.from); got != "" {
				t.Fatalf("the new process is refused: %s", got)
			}
			if got := r.n.signs[0].released(); got != tt.want {
				t.Errorf("released: %v, want %v", got, tt.want)
			}
		})
	}
}

// TestStandsBack: which of two processes with one name gives way, and what it says.
func TestStandsBack(t *testing.T) {
	for _, tt := range []struct {
		name      string
		boot      uint64 // of the twin; ours is 100
		recording bool   // it doesn't acknowledge us
		peers     string // whom they acknowledge: ours, its, or none for nobody
		want      bool
	}{
		{"a newcomer", 1000, false, "ours", false},
		{"a newcomer with a clock that is behind", 50, false, "ours", false},
		{"the established one", 50, false, "its", true},
		{"the established one, with a clock that is ahead", 1000, false, "its", true},
		{"alone with the older", 50, false, "none", true},
		{"alone with the younger", 1000, false, "none", false},
		{"a recording of our past", 50, true, "none", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := matureRig(t, 3, 2)
			twin := &speaker{name: "node1", boot: tt.boot, plan: r.n.plan, deaf: tt.recording}
			for _, s := range r.peers {
				s.mute = tt.peers == "none"
				if tt.peers == "its" {
					s.deaf = true
				}
			}
			for range 12 {
				if tt.peers == "its" {
					for _, s := range r.peers {
						s.heard["node1"] = heard{idOf("node1"), tt.boot, twin.seq}
					}
				}
				r.sayFrom(twin, host(9))
				r.pass(100 * time.Millisecond)
			}
			s := r.status()
			back := slices.ContainsFunc(s.Reasons, func(s string) bool {
				return strings.HasPrefix(s, "another node speaks as node1 from 10.9.9.10: give one of them its own name")
			})
			if back != tt.want || s.Eligible == back {
				t.Errorf("stands back: %v, want %v; eligible %v %v", back, tt.want, s.Eligible, s.Reasons)
			}
			if said := r.said.heard; !slices.ContainsFunc(said, func(h heard) bool {
				return h.node == r.n.id && h.boot == tt.boot && !h.believed()
			}) {
				t.Errorf("it doesn't tell its twin that it hears it: %v", said)
			}
		})
	}
}

// TestTwinsHoldsAreLeft: what another process with this node's name holds is not claimed,
// although everybody else has released it; nor is it left alone for a recording of one.
func TestTwinsHoldsAreLeft(t *testing.T) {
	for _, recording := range []bool{false, true} {
		r := freedRig(t, 3)
		twin := &speaker{name: "node1", boot: 1000, plan: r.n.plan, deaf: recording}
		twin.holds(0)
		speak := func(times int) {
			for range times {
				r.sayFrom(twin, host(9))
				r.pass(100 * time.Millisecond)
			}
		}
		speak(3) // each knows the other
		r.peers[0].frees(0)
		r.say(r.peers[0])
		speak(10)
		if got := r.holding(0); got != recording {
			t.Errorf("with a twin that is a recording (%v) it takes the group: %v", recording, got)
		}
	}
}

// TestTwinStepsBackFirst: of two with one name, the one that comes forward takes nothing
// before the other has said that it stands back.
func TestTwinStepsBackFirst(t *testing.T) {
	r := freedRig(t, 3)
	twin := &speaker{name: "node1", boot: 1000, plan: r.n.plan}
	speak := func(eligible bool) {
		twin.ann.eligible = eligible
		for range 3 {
			r.sayFrom(twin, host(9))
			r.pass(100 * time.Millisecond)
		}
	}
	speak(true)
	r.peers[0].frees(0)
	r.say(r.peers[0])
	speak(true)
	if s := r.status(); !s.Eligible || r.holding(0) {
		t.Fatalf("eligible %v %v, it took what its twin may take: %v", s.Eligible, s.Reasons, r.holding(0))
	}
	if speak(false); !r.holding(0) {
		t.Error("its twin stands back, and it doesn't take the group")
	}
}

// TestStraysMeetAgain: two nodes that both knew a later process of the other believe each
// other again, for each is told that it is heard.
func TestStraysMeetAgain(t *testing.T) {
	r := matureRig(t, 2, 1)
	s := r.peers[0]
	r.say(twinOf(s, 1000)) // refused: the first one is live
	s.mute = true
	r.pass(300 * time.Millisecond)
	if got := r.say(twinOf(s, 1000)); got != "" {
		t.Fatalf("the later process is refused: %s", got)
	}
	r.pass(2 * time.Second) // and has ended
	s.deaf = true           // it doesn't believe us either
	if got := r.say(s); got != SupersededBoot {
		t.Fatalf("without any proof: %q, want %q", got, SupersededBoot)
	}
	r.pass(100 * time.Millisecond)
	if !slices.Contains(r.said.heard, heard{idOf("node2"), s.boot, s.seq | unbelieved}) {
		t.Fatalf("it is not told that it is heard: %v", r.said.heard)
	}
	if got := r.sayWith(s, heard{idOf("node1"), r.said.boot, r.said.seq | unbelieved}); got != "" {
		t.Errorf("with proof that it lives: %q", got)
	}
	r.ready()
	if state := r.status().Peers[0].State; state != Deaf {
		t.Errorf("who hears us and doesn't believe us is %s, want deaf: nobody believes it yet", state)
	}
}

// TestOwnPausesAreNoGrace: a peer that doesn't hear this node must be let have what it
// claims, and each pause of a starved process must not put that off.
func TestOwnPausesAreNoGrace(t *testing.T) {
	r := matureRig(t, 3, 2)
	s := r.peers[0]
	s.deaf = true
	r.pass(2 * time.Second)
	if p := r.peer(s); p.state == Live || !p.cannotHear(r.now, r.n.bounds.interval) {
		t.Fatalf("a peer that acknowledges nothing is %s", p.state)
	}
	for range 3 {
		r.now = r.now.Add(3 * r.n.bounds.interval)
		r.say(s)
		r.ready()
		if !r.peer(s).cannotHear(r.now, r.n.bounds.interval) {
			t.Error("a pause of this process gave a deaf peer another interval")
		}
	}
}

// TestOutcastsAreTold: who is heard and not believed may be in nobody's list of peers, so it
// gets a copy of what is said, every other interval, for as long as it speaks; it is not sent
// more for speaking more, nor are more than a few.
func TestOutcastsAreTold(t *testing.T) {
	r := matureRig(t, 3, 2)
	mine := &speaker{name: "node1", boot: 77, plan: r.n.plan, heard: map[string]heard{}, deaf: true}
	second := twinOf(r.peers[0], 1000)
	second.deaf = true
	copies := map[netip.AddrPort]int{}
	pass := func(long time.Duration) {
		for end := r.now.Add(long); r.now.Before(end); {
			r.pass(r.step)
			for _, d := range r.out.Send {
				if d.To.IsValid() {
					copies[d.To]++
				}
			}
		}
	}
	for range 20 {
		for _, x := range []struct {
			who  *speaker
			at   int
			want Refusal
		}{{mine, 7, DuplicateName}, {second, 8, SecondProcess}} {
			if got := r.sayFrom(x.who, host(x.at)); got != x.want {
				t.Fatalf("%s with boot %d is refused for %q, want %q", x.who.name, x.who.boot, got, x.want)
			}
		}
		pass(50 * time.Millisecond)
	}
	for _, at := range []int{7, 8} {
		if got := copies[host(at)]; got != 5 {
			t.Errorf("%v got %d copies in ten intervals, want 5", host(at), got)
		}
	}
	clear(copies)
	for i := range 20 {
		r.sayFrom(mine, host(20+i))
	}
	pass(200 * time.Millisecond)
	if len(copies) > maxOutcasts {
		t.Errorf("copies went to %d addresses, want at most %d", len(copies), maxOutcasts)
	}
	pass(time.Second)
	clear(copies)
	pass(time.Second)
	if len(copies) != 0 {
		t.Errorf("copies go on to who is silent: %v", copies)
	}
}
