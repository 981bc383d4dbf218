package cluster

import (
	"slices"
	"testing"
	"time"
)

// holdsUnheard is a rig whose node holds the group, better ranked for it than other or not,
// which fell silent.
func holdsUnheard(t *testing.T, better bool) (r *rig, other *speaker) {
	t.Helper()
	r = newRig(t, ranked(t, better))
	other = r.peers[0]
	for _, s := range r.peers {
		s.ann.eligible = false
	}
	r.pass(1500 * time.Millisecond)
	if !r.holding(0) {
		t.Fatal("node1 doesn't hold the group")
	}
	other.mute = true
	r.pass(2 * time.Second)
	return r, other
}

// TestHealedCut: both sides of a cut hold a group. In the turn in which they hear each other
// again, be it after the cut or because one stood still (a resumed virtual machine), the
// worse-ranked lets go and the other announces what it keeps; and it does so again at once,
// 100 ms and 1 s after the loser has let go, whose last announcement may be on its way.
func TestHealedCut(t *testing.T) {
	for _, better := range []bool{true, false} {
		r, other := holdsUnheard(t, better)
		other.holds(0)
		for last := r.n.voice.repeated; r.n.voice.repeated.Equal(last); {
			r.pass(r.step) // it announces for who isn't heard
		}
		r.pass(announceGap)
		other.mute = false
		r.say(other)
		if r.ready(); r.holding(0) != better {
			t.Errorf("better ranked %v; in the turn that heard the other: holds %v", better, r.holding(0))
		}
		if !better {
			continue
		}
		if len(r.out.Announce) == 0 {
			t.Error("it doesn't announce in the turn that heard the other")
		}
		r.pass(50 * time.Millisecond)
		other.frees(0)
		r.say(other)
		heal, said := r.now, []time.Duration{}
		for ; r.now.Before(heal.Add(3 * time.Second)); r.pass(r.step) {
			if r.ready(); len(r.out.Announce) > 0 {
				said = append(said, r.now.Sub(heal))
			}
		}
		for _, want := range []time.Duration{0, announceGap, time.Second} {
			if !slices.Contains(said, want) {
				t.Errorf("announced at %v after the other let go, not at %v", said, want)
			}
		}
		if len(said) > 6 { // two are due to the return, one may be the last word against what the other said before
			t.Errorf("announced at %v after the other let go", said)
		}
	}
}

// TestMeshHeals: both of two nodes hold everything during a cut. Each address has one owner
// as soon as they have heard each other once.
func TestMeshHeals(t *testing.T) {
	m := formed(t, 2, 4)
	m.side[0]++
	m.run(2 * time.Second)
	if len(m.has[0]) != 4 || len(m.has[1]) != 4 {
		t.Fatalf("while they are cut off they have %d and %d of 4 addresses: this tests nothing", len(m.has[0]), len(m.has[1]))
	}
	m.side[0]--
	m.run(m.nodes[0].timing.Interval * 5 / 4)
	if got := m.count(); got[0]+got[1] != 4 {
		t.Errorf("after the heal they have %v of 4 addresses", got)
	}
}

// TestReturnAfterSilence: who fell silent and is back may have had what is held here, and let go
// before it was heard. So it is announced at once, 100 ms and 1 s later; but not for a process
// that has just started.
func TestReturnAfterSilence(t *testing.T) {
	schedule := []time.Duration{0, announceGap, time.Second}
	for name, tt := range map[string]struct {
		meanwhile func(r *rig, other *speaker)
		want      []time.Duration
	}{
		"the same process":           {func(*rig, *speaker) {}, schedule},
		"an upgrade here, meanwhile": {func(r *rig, _ *speaker) { r.replace(50 * time.Millisecond) }, schedule},
		"a process that has started": {func(_ *rig, other *speaker) { other.boot, other.seq = other.boot+100, 0 }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, other := holdsUnheard(t, true)
			tt.meanwhile(r, other)
			for last := r.n.voice.repeated; r.n.voice.repeated.Equal(last); {
				r.pass(r.step) // it announces for who isn't heard
			}
			r.pass(announceGap)
			other.mute = false
			r.say(other)
			heal, said := r.now, []time.Duration(nil)
			for ; r.now.Before(heal.Add(3 * time.Second)); r.pass(r.step) {
				if r.ready(); len(r.out.Announce) > 0 {
					said = append(said, r.now.Sub(heal))
				}
			}
			if !slices.Equal(said, tt.want) {
				t.Errorf("announced at %v after the return, want %v", said, tt.want)
			}
		})
	}
}
