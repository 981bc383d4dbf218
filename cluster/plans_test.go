package cluster

import (
	"bytes"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// messages returns what node1 sent in its last turn of one kind.
func (r *rig) messages(what kind) (out []vector) {
	r.t.Helper()
	for _, d := range r.out.Send {
		if v, err := open("secret", d.Data); err == nil && v.what == what {
			out = append(out, v)
		}
	}
	return out
}

// part delivers a part of a plan as if the speaker had sent it.
func (r *rig) part(s *speaker, p planPart) Refusal {
	s.seq++
	v := vector{secret: "secret", what: kindPlanPart, cluster: "test", sender: s.name, boot: s.boot, seq: s.seq, part: p}
	return r.receive(s, v.seal())
}

// request delivers a request, and returns the parts with which node1 answers.
func (r *rig) request(s *speaker, q planRequest, times int) []vector {
	for range times {
		s.seq++
		v := vector{secret: "secret", what: kindPlanRequest, cluster: "test", sender: s.name, boot: s.boot, seq: s.seq, req: q}
		if refusal := r.receive(s, v.seal()); refusal != "" {
			r.t.Fatalf("a request is refused: %s", refusal)
		}
	}
	r.ready()
	return r.messages(kindPlanPart)
}

// TestServePlan: a node serves the plan that rules, in parts, and nothing else.
func TestServePlan(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 100))
	s, plan := r.peers[0], r.n.Plan()
	r.say(s)
	var got []byte
	for len(got) < len(plan.Encode()) {
		parts := r.request(s, planRequest{plan.Digest(), len(got)}, 1)
		if len(parts) != 1 {
			t.Fatalf("%d parts answer one request", len(parts))
		}
		p := parts[0].part
		if p.digest != plan.Digest() || p.total != len(plan.Encode()) || p.offset != len(got) || len(p.data) > partSize || len(p.data) == 0 {
			t.Fatalf("a part of %d bytes at %d of %d, want them at %d of %d", len(p.data), p.offset, p.total, len(got), len(plan.Encode()))
		}
		if to := r.out.Send[0].To; to != host(1) {
			t.Fatalf("sent to %v, want %v", to, host(1))
		}
		got = append(got, p.data...)
	}
	if !bytes.Equal(got, plan.Encode()) {
		t.Error("the parts make another plan")
	}
	for name, q := range map[string]planRequest{
		"another plan":   {vipgroup.Digest{1}, 0},
		"its end":        {plan.Digest(), len(got)},
		"beyond its end": {plan.Digest(), maxPlanSize},
	} {
		if parts := r.request(s, q, 1); len(parts) > 0 {
			t.Errorf("a request for %s is answered", name)
		}
	}
	if parts := r.request(s, planRequest{plan.Digest(), 0}, 50); len(parts) > maxDirect {
		t.Errorf("%d parts in one turn", len(parts))
	}
}

// otherPlanRig is a rig whose node2 has a plan that node1 doesn't know, and holds nothing.
func otherPlanRig(t *testing.T) (r *rig, s *speaker, other vipgroup.Plan) {
	r = newRig(t, testPlan(t, 3, 90))
	other = testPlan(t, 3, 100)
	other.Version = 2
	other, err := vipgroup.NewPlan(other)
	if err != nil {
		t.Fatal(err)
	}
	r.peers[0].plan = other
	return r, r.peers[0], other
}

// TestFetchPlan: a node asks for the plan that it lacks until it has it, through losses
// and copies, and claims nothing before.
func TestFetchPlan(t *testing.T) {
	r, s, other := otherPlanRig(t)
	data := other.Encode()
	asked, turns := 0, 0
	for r.n.plans.tables[other.Digest()] == nil {
		if turns++; turns > 5000 {
			t.Fatalf("after %d turns and %d requests the plan isn't there", turns, asked)
		}
		r.pass(time.Millisecond)
		if len(r.said.claims) > 0 || len(r.out.Hold) > 0 {
			t.Fatal("claims or holds while it can't tell what node2 has")
		}
		for _, m := range r.messages(kindPlanRequest) {
			if asked++; asked%3 == 1 {
				continue // lost
			}
			q := m.req
			if q.digest != other.Digest() {
				t.Fatalf("asks for %s", q.digest)
			}
			p := planPart{q.digest, len(data), q.offset, data[q.offset:min(len(data), q.offset+700)]}
			r.part(s, p)
			r.part(s, p) // twice
			r.part(s, planPart{q.digest, len(data), len(data) - 5, data[len(data)-5:]})
			r.part(s, planPart{vipgroup.Digest{9}, 5, 0, []byte("hello")})
		}
	}
	if want := (len(data) + 699) / 700; asked < want || asked > 2*want+1 {
		t.Errorf("%d requests for %d parts", asked, want)
	}
	r.until("holds something", 10*time.Second, func() bool { return len(r.has) > 0 })
}

// TestBrokenPlan: bytes that make no plan, or another, are not asked for again, and that
// peer's plan stays unknown.
func TestBrokenPlan(t *testing.T) {
	for name, data := range map[string][]byte{
		"no plan":      []byte("{}"),
		"another plan": testPlan(t, 3, 5).Encode(),
		"nothing":      nil,
	} {
		r, s, other := otherPlanRig(t)
		r.until("asks for the plan", 2*time.Second, func() bool { return len(r.messages(kindPlanRequest)) > 0 })
		r.part(s, planPart{other.Digest(), len(data), 0, data})
		r.never(name+": asks again", time.Second, func() bool { return len(r.messages(kindPlanRequest)) > 0 })
		if r.n.plans.tables[other.Digest()] != nil || len(r.has) > 0 {
			t.Errorf("%s: plan known: %v, holds %d", name, r.n.plans.tables[other.Digest()] != nil, len(r.has))
		}
	}
}

// TestPlanPartsOfAnotherTransfer: a part counts only when it continues the one under way.
func TestPlanPartsOfAnotherTransfer(t *testing.T) {
	r, s, other := otherPlanRig(t)
	data := other.Encode()
	for range 20 {
		r.part(s, planPart{other.Digest(), len(data), 0, data})
	}
	if r.n.plans.tables[other.Digest()] != nil {
		t.Error("a plan that nobody asked for is taken")
	}
}

// TestForgetsPlans: a plan that no peer announces any more is dropped.
func TestForgetsPlans(t *testing.T) {
	r, s, other := otherPlanRig(t)
	r.n.plans.learn(other)
	r.pass(time.Second)
	if r.n.plans.tables[other.Digest()] == nil {
		t.Fatal("a plan in use is dropped")
	}
	for i := range 5 {
		s.plan = testPlan(t, 3, 91+i)
		r.say(s)
	}
	if got := len(r.n.plans.tables); got > 2 {
		t.Errorf("%d plans are kept", got)
	}
}

// TestTables: groups of two plans meet where they share an address.
func TestTables(t *testing.T) {
	own, theirs := planOf(t, 5, 2, "a+b c d"), planOf(t, 6, 2, "a b c+d e")
	p := plans{own: own, tables: map[vipgroup.Digest]*table{}}
	table := p.learn(theirs)
	all := newSet(len(own.Groups))
	all.fill(len(own.Groups))
	for theirName, ownNames := range map[string][]string{"a": {"a+b"}, "b": {"a+b"}, "c+d": {"c", "d"}, "e": nil} {
		want := newSet(len(own.Groups))
		for _, name := range ownNames {
			want.add(own.Find(name))
		}
		got := newSet(len(own.Groups))
		table.translate(got, setOf(theirs.Find(theirName)), all)
		if !got.equal(want) {
			t.Errorf("their %s is our %v, want %v", theirName, got, want)
		}
	}
	if got := table.overlap(own.Find("a+b")); len(got) != 2 {
		t.Errorf("our a+b meets their %v, want two groups", got)
	}
}
