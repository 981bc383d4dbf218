package cluster

import (
	"testing"
	"time"
)

// TestRivalIsKnownUntilItIsSilent: who else announces a held address is counted and shown,
// with what to look for, and forgotten when it has been silent for a while.
func TestRivalIsKnownUntilItIsSilent(t *testing.T) {
	r := holderRig(t, 2)
	first := r.now
	for range 3 {
		r.seen(0, Announced)
		r.pass(time.Second)
	}
	s := r.status()
	if len(s.Rivals) != 1 || s.Stats.Conflicts != 3 {
		t.Fatalf("rivals %+v, conflicts %d", s.Rivals, s.Stats.Conflicts)
	}
	want := Rival{Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr(), MAC: foreign, Link: "eth0", Since: first, Last: first.Add(2 * time.Second)}
	if s.Rivals[0] != want {
		t.Errorf("got %+v, want %+v", s.Rivals[0], want)
	}
	r.pass(alarmFor - 2*time.Second)
	if s := r.status(); len(s.Rivals) != 1 || !hasAlarm(s, "contested", "") {
		t.Errorf("forgotten too soon: rivals %v, alarms %v", s.Rivals, s.Alarms)
	}
	r.pass(2 * time.Second)
	if s := r.status(); len(s.Rivals) > 0 || hasAlarm(s, "contested", "") {
		t.Errorf("still there: rivals %v, alarms %v", s.Rivals, s.Alarms)
	}
	if !r.holding(0) {
		t.Error("given up")
	}
}

// TestNoRival: what is heard of an address that is held, and means nothing.
func TestNoRival(t *testing.T) {
	for name, hear := range map[string]func(r *rig){
		"an echo reply of ourselves": func(r *rig) { r.seen(0, Echoed) },
		"an announcement that waited since before it was taken": func(r *rig) {
			r.n.Sign(r.now, Sign{Kind: Announced, Addr: r.n.plan.Groups[0].VIPs[0].Address.Addr(), At: r.n.holds.groups[0].taken.Add(-1)})
		},
		"an answer to our own question": func(r *rig) {
			r.n.holds.groups[0].taken = r.now.Add(-100 * time.Millisecond)
			r.seen(0, Answered)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := holderRig(t, 2)
			hear(r)
			r.ready()
			if s := r.status(); len(s.Rivals) > 0 || s.Stats.Conflicts > 0 || len(r.out.Announce) > 0 {
				t.Errorf("rivals %v, %d conflicts, announced %v", s.Rivals, s.Stats.Conflicts, r.out.Announce)
			}
		})
	}
}

// TestUnaskedAnswerIsAConflict: nobody asked, so whoever answers claims the address.
func TestUnaskedAnswerIsAConflict(t *testing.T) {
	r := holderRig(t, 2)
	r.seen(0, Answered)
	if r.ready(); r.status().Stats.Conflicts != 1 || len(r.out.Announce) != 1 {
		t.Errorf("%d conflicts, announced %v", r.status().Stats.Conflicts, r.out.Announce)
	}
}

// TestRivalsName: the words for a host.
func TestRivalsName(t *testing.T) {
	for _, tt := range []struct{ node, mac, link, want string }{
		{"", "", "", "a host"},
		{"", foreign, "eth0", foreign + " on eth0"},
		{"node2", foreign, "eth0", "node2 (" + foreign + ") on eth0"},
		{"node2", "", "", "node2"},
	} {
		if got := who(tt.node, tt.mac, tt.link); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
