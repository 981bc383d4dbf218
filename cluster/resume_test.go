package cluster

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// replace makes the node another that goes on after a while, as an upgrade does: what it
// takes along was text meanwhile.
func (r *rig) replace(after time.Duration) {
	r.t.Helper()
	text, err := json.Marshal(r.n.Snapshot(r.now))
	if err != nil {
		r.t.Fatal(err)
	}
	var s Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		r.t.Fatal(err)
	}
	r.now = r.now.Add(after)
	r.n = Resume(r.now, after, Options{Name: r.n.name, Cluster: "test", Boot: 7, Keys: []Key{testKey()}, Plan: r.n.plan, Timing: testTiming()}, s)
}

// TestResume replaces a node that holds something while its peers hold the rest.
func TestResume(t *testing.T) {
	r := matureRig(t, 3, 6)
	r.peers[0].frees(0, 2)
	r.pass(time.Second)
	if !r.holding(0) && !r.holding(2) {
		t.Fatal("node1 took nothing of what was freed")
	}
	before, said, held := r.status(), r.said, r.out.Hold
	r.replace(50 * time.Millisecond)
	r.ready()
	if r.said.boot != said.boot || r.said.seq <= said.seq {
		t.Errorf("its first word has boot %d, sequence %d; the last one was %d, %d", r.said.boot, r.said.seq, said.boot, said.seq)
	}
	if !slices.Equal(r.out.Hold, held) || !r.said.held.equal(said.held) {
		t.Errorf("it holds %v and says %v, before %v and %v", r.out.Hold, r.said.held, held, said.held)
	}
	var ears []heard
	for _, p := range r.peers {
		ears = append(ears, heard{idOf(p.name), p.boot, p.seq})
	}
	if !slices.Equal(r.said.heard, ears) {
		t.Errorf("it has heard %v, what was said is %v", r.said.heard, ears)
	}
	after := r.status()
	if !after.Mature || !after.Eligible {
		t.Errorf("it is not eligible: %v", after.Reasons)
	}
	for i, p := range after.Peers {
		if old := before.Peers[i]; p.State != old.State || p.Boot != old.Boot || p.Eligible != old.Eligible || !p.LastHeard.Equal(old.LastHeard.Add(50*time.Millisecond)) {
			t.Errorf("it sees %+v, before %+v", p, old)
		}
	}
	for i, g := range after.Groups {
		if old := before.Groups[i]; !slices.Equal(g.Owners, old.Owners) || g.Assigned != old.Assigned || !g.Since.Equal(old.Since) {
			t.Errorf("group %d is %+v, before %+v", i, g, old)
		}
	}
	r.pass(2 * time.Second)
	if now := r.status(); !slices.EqualFunc(now.Groups, before.Groups, func(a, b GroupStatus) bool { return slices.Equal(a.Owners, b.Owners) }) {
		t.Errorf("afterwards the groups are %+v, before %+v", now.Groups, before.Groups)
	}
}

// TestResumeAmongTheSilent replaces a holder that hears nobody then: it neither lets go
// nor takes what it doesn't know to be free.
func TestResumeAmongTheSilent(t *testing.T) {
	r := matureRig(t, 3, 2)
	r.peers[0].frees(0)
	r.pass(time.Second)
	if !r.holding(0) || r.holding(1) {
		t.Fatal("node1 should hold group 0 alone")
	}
	r.replace(50 * time.Millisecond)
	for _, p := range r.peers {
		p.mute = true
	}
	r.echoes.add(1)
	for end := r.now.Add(3 * time.Second); r.now.Before(end); r.pass(20 * time.Millisecond) {
		r.answered(1)
		if !r.holding(0) || r.holding(1) || r.claims(1) {
			t.Fatalf("it holds group 0: %v; of group 1, which answers, it holds %v, claims %v", r.holding(0), r.holding(1), r.claims(1))
		}
	}
}

// TestResumeRefusesWhatIsOld keeps the guards against replays.
func TestResumeRefusesWhatIsOld(t *testing.T) {
	r := matureRig(t, 2, 1)
	old := r.peers[0].next(r)
	if refusal := r.receive(r.peers[0], old); refusal != "" {
		t.Fatal(refusal)
	}
	formerly := *r.peers[0]
	r.peers[0].mute = true // until it is restarted
	r.pass(3 * testTiming().Interval)
	r.peers[0].mute = false
	r.peers[0].boot += 5
	r.pass(2 * testTiming().Stale)
	r.replace(10 * time.Millisecond)
	if refusal := r.receive(r.peers[0], r.peers[0].next(r)); refusal != "" {
		t.Errorf("what is new is refused: %s", refusal)
	}
	if refusal := r.receive(r.peers[0], old); refusal == "" {
		t.Error("an old packet is believed")
	}
	formerly.deaf = true
	if refusal := r.receive(r.peers[0], formerly.next(r)); refusal != SupersededBoot {
		t.Errorf("a packet of an older boot: %q, want %q", refusal, SupersededBoot)
	}
}

// TestResumeNotices tells a resumed node that the kernel lost what it held.
func TestResumeNotices(t *testing.T) {
	r := matureRig(t, 2, 1)
	r.peers[0].frees(0)
	r.pass(time.Second)
	if !r.holding(0) {
		t.Fatal("node1 should hold group 0")
	}
	r.replace(50 * time.Millisecond)
	r.n.Report(r.now, Report{Group: r.n.plan.Groups[0].Key, Missing: 1})
	if out := r.n.Ready(r.now); len(out.Hold) > 0 {
		t.Errorf("it goes on to hold %v, which is gone", out.Hold)
	}
}

// TestResumeInTheMiddle goes on to listen where the former process was about to, and
// begins claims anew.
func TestResumeInTheMiddle(t *testing.T) {
	r := newRig(t, testPlan(t, 2, 1))
	r.peers[0].mute = true
	r.pass(2 * testTiming().Interval)
	r.replace(time.Millisecond)
	r.ready()
	if r.said.seq != 0 {
		t.Error("it speaks before it has listened for as long as a new process must")
	}
	r.peers[0].mute = false
	r.peers[0].deaf = true
	r.pass(time.Second)

	r = matureRig(t, 3, 2)
	r.peers[0].frees(0)
	for _, p := range r.peers {
		p.deaf = true
	}
	r.ready()
	r.say(r.peers[0])
	r.ready()
	r.now = r.now.Add(2 * time.Millisecond)
	r.ready()
	if !r.claims(0) {
		t.Fatal("node1 should claim group 0")
	}
	r.replace(time.Millisecond)
	r.ready()
	if r.claims(0) || r.holding(0) {
		t.Error("a claim outlived the process that asked")
	}
}

// TestResumeKeepsTheOrderOfClaims keeps which of two claims was heard of first: a third
// that changed its mind would object to the one that it has let pass.
func TestResumeKeepsTheOrderOfClaims(t *testing.T) {
	r := matureRig(t, 3, 1)
	r.peers[0].frees(0)
	r.peers[1].claims(0)
	r.say(r.peers[1])
	r.peers[0].claims(0)
	r.say(r.peers[0])
	before := [2]uint64{r.peer(r.peers[0]).stampOf(0), r.peer(r.peers[1]).stampOf(0)}
	if before[1] == 0 || before[0] <= before[1] {
		t.Fatalf("the claims were heard of in the order %v", before)
	}
	r.replace(10 * time.Millisecond)
	r.say(r.peers[0])
	r.say(r.peers[1])
	if after := [2]uint64{r.peer(r.peers[0]).stampOf(0), r.peer(r.peers[1]).stampOf(0)}; after != before {
		t.Errorf("afterwards their order is %v, before %v", after, before)
	}
}
