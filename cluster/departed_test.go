package cluster

import (
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// adopt brings node1 to another plan, at once, as nothing is in the way.
func (r *rig) adopt(p vipgroup.Plan) {
	r.t.Helper()
	r.n.Adopt(r.now, p)
	r.ready()
	if r.n.Plan().Digest() != p.Digest() {
		r.t.Fatalf("plan %d doesn't rule", p.Version)
	}
}

// TestDepartedReturns: what a node said before it left the plan, or while it was out of it, is
// no news once a later plan has it back; what it says then is.
func TestDepartedReturns(t *testing.T) {
	without := onlyOf(t, 8, "12", "a b")
	for _, tt := range []struct {
		name string
		// out happens while the plan lacks node3; it returns the recording that comes back later.
		out   func(r *rig, left *speaker, before []byte) []byte
		fresh bool // node3 goes on as the same process
	}{
		{"the same process", func(_ *rig, _ *speaker, before []byte) []byte { return before }, true},
		{"two plans lack it", func(r *rig, _ *speaker, before []byte) []byte {
			r.adopt(onlyOf(r.t, 9, "12", "a b c"))
			return before
		}, true},
		{"what it said meanwhile", func(r *rig, left *speaker, _ []byte) []byte {
			r.adopt(onlyOf(r.t, 9, "12", "a b c"))
			said := left.next(r)
			r.receive(left, said)
			return said
		}, true},
		{"it said farewell meanwhile", func(r *rig, left *speaker, before []byte) []byte {
			left.ann.farewell = true
			r.receive(left, left.next(r))
			return before
		}, false},
		{"it was restarted meanwhile", func(r *rig, left *speaker, before []byte) []byte {
			left.boot += 10
			r.receive(left, left.next(r))
			r.now = r.now.Add(2 * testTiming().Stale) // what the recording acknowledges is old
			return before
		}, true},
		{"this process was replaced", func(r *rig, _ *speaker, before []byte) []byte {
			r.replace(0)
			return before
		}, true},
		{"it is back in a plan, and this process was replaced", func(r *rig, left *speaker, before []byte) []byte {
			left.mute = true
			r.adopt(onlyOf(r.t, 9, "123", "a b"))
			r.replace(0)
			return before
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, onlyOf(t, 7, "123", "a b"))
			left := r.peers[1]
			left.holds(0)
			r.pass(time.Second)
			before := left.next(r)
			if refusal := r.receive(left, before); refusal != "" {
				t.Fatalf("node3 is refused while it is in the plan: %s", refusal)
			}
			r.adopt(without)
			recorded := tt.out(r, left, before)
			r.adopt(onlyOf(t, 10, "123", "a b"))
			if refusal := r.receive(left, recorded); refusal != Replayed && refusal != SupersededBoot {
				t.Errorf("a recording of node3 gets %q", refusal)
			}
			if s := r.peer(left); s.isHeard() || !s.held.empty() {
				t.Error("a recording of node3 counts")
			}
			if tt.fresh {
				if refusal := r.say(left); refusal != "" {
					t.Errorf("node3 itself is refused: %s", refusal)
				}
			}
		})
	}
}

// TestDepartedBounded: however often plans change, no more than a plan's worth of nodes is
// remembered, the latest.
func TestDepartedBounded(t *testing.T) {
	r := newRig(t, onlyOf(t, 7, "123", "a"))
	r.pass(time.Second)
	for range maxDeparted {
		r.n.departed = append(r.n.departed, departed{name: "old", trail: trail{boot: 1, top: 1}})
	}
	r.adopt(onlyOf(t, 8, "12", "a"))
	if d := r.n.departed; len(d) != maxDeparted || d[maxDeparted-1].name != "node3" {
		t.Errorf("%d are remembered, want %d with node3 as the last", len(d), maxDeparted)
	}
}
