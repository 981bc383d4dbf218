package cluster

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// serve lets time pass in which speakers answer node1's requests for a plan, and returns how
// often it asked.
func (r *rig) serve(d time.Duration, share func(digest vipgroup.Digest) []byte) (asked int) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); {
		r.pass(r.step)
		for _, m := range r.messages(kindPlanRequest) {
			asked++
			data := share(m.req.digest)
			if m.req.offset >= len(data) {
				continue
			}
			for _, s := range r.peers {
				if s.plan.Digest() == m.req.digest {
					r.part(s, planPart{m.req.digest, len(data), m.req.offset, data[m.req.offset:min(len(data), m.req.offset+partSize)]})
					break
				}
			}
		}
	}
	return asked
}

// planConflict says whether an alarm of that name begins so.
func planConflict(s Status, detail string) bool {
	return slices.ContainsFunc(s.Alarms, func(a Alarm) bool {
		return a.Name == "plan-conflict" && strings.HasPrefix(a.Detail, detail)
	})
}

// TestNewer: the highest version that somebody heard has is offered, of equal ones the same
// to everybody; never one as low as that which comes into force, nor one of who left.
func TestNewer(t *testing.T) {
	five := planOf(t, 5, 4, "a b")
	six, also := planOf(t, 6, 4, "a b c"), planOf(t, 6, 4, "a b d")
	first := six
	if lower(also, six) {
		first = also
	}
	for _, tt := range []struct {
		name  string
		peers []vipgroup.Plan
		want  vipgroup.Plan
	}{
		{"all the same", []vipgroup.Plan{five, five, five}, five},
		{"lower", []vipgroup.Plan{planOf(t, 4, 4, "a"), five, five}, five},
		{"another of the same version", []vipgroup.Plan{planOf(t, 5, 4, "a"), five, five}, five},
		{"higher", []vipgroup.Plan{five, six, five}, six},
		{"the highest", []vipgroup.Plan{six, planOf(t, 7, 4, "a b"), six}, planOf(t, 7, 4, "a b")},
		{"two of one version", []vipgroup.Plan{six, also, five}, first},
		{"two of one version, the other way round", []vipgroup.Plan{also, six, five}, first},
	} {
		r := newRig(t, five)
		for i, s := range r.peers {
			s.plan = tt.peers[i]
		}
		known := map[vipgroup.Digest]vipgroup.Plan{}
		for _, p := range tt.peers {
			known[p.Digest()] = p
		}
		r.serve(time.Second, func(d vipgroup.Digest) []byte { return known[d].Share() })
		p, from, ok := r.n.Newer()
		if ok != (tt.want.Digest() != five.Digest()) || ok && (p.Digest() != tt.want.Digest() || tt.peers[r.n.plan.Node(from)-1].Digest() != p.Digest()) {
			t.Errorf("%s: plan %d of %q is offered: %v; want plan %d", tt.name, p.Version, from, ok, tt.want.Version)
		}
		if !ok {
			continue
		}
		r.n.Adopt(r.now, p)
		if q, _, ok := r.n.Newer(); ok {
			t.Errorf("%s: plan %d is offered though plan %d comes into force", tt.name, q.Version, p.Version)
		}
	}
}

// TestNewerFromTheAbsent: what somebody had who isn't heard any more is not offered.
func TestNewerFromTheAbsent(t *testing.T) {
	r, s, other := otherPlanRig(t)
	r.serve(time.Second, func(vipgroup.Digest) []byte { return other.Share() })
	if _, _, ok := r.n.Newer(); !ok {
		t.Fatal("a plan of a peer that is heard isn't offered")
	}
	s.mute = true
	r.pass(2 * time.Second)
	if p, from, ok := r.n.Newer(); ok {
		t.Errorf("plan %d of %s is offered, which is silent", p.Version, from)
	}
}

// TestInterfacesTravel: a fetched plan has the interface names of who sent it, and is the
// same plan all the same.
func TestInterfacesTravel(t *testing.T) {
	r, _, other := otherPlanRig(t)
	named := other
	named.Groups = slices.Clone(other.Groups)
	for i := range named.Groups {
		named.Groups[i].VIPs = slices.Clone(named.Groups[i].VIPs)
		named.Groups[i].VIPs[0].Interface = "bond0"
	}
	r.serve(time.Second, func(vipgroup.Digest) []byte { return named.Share() })
	p, _, ok := r.n.Newer()
	if !ok || p.Digest() != other.Digest() || p.Groups[0].VIPs[0].Interface != "bond0" {
		t.Fatalf("offered: %v, %v", ok, p.Groups)
	}
	r.n.Adopt(r.now, p)
	r.pass(time.Second)
	if parts := r.request(r.peers[0], planRequest{p.Digest(), 0}, 1); len(parts) != 1 || parts[0].part.total != len(named.Share()) {
		t.Errorf("it doesn't pass on the interface names: %v", parts)
	}
}

// TestServeStrangers: who isn't in our plan, or wasn't heard yet, is told the plan that it
// asks for, now and then; that changes nothing here.
func TestServeStrangers(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 100))
	r.pass(time.Second)
	plan := r.n.Plan()
	ask := func(sender string, boot uint64, offset int) Refusal {
		v := vector{secret: "secret", what: kindPlanRequest, cluster: "test", sender: sender, boot: boot, seq: 1, req: planRequest{plan.Digest(), offset}}
		return r.n.Receive(r.now, Packet{Data: v.seal(), From: netip.MustParseAddrPort("192.0.2.77:5007"), TTL: 255})
	}
	for _, who := range []struct {
		sender string
		boot   uint64
		want   Refusal
	}{{"node9", 7, UnknownNode}, {r.peers[0].name, 1, SupersededBoot}, {r.peers[0].name, 1 << 60, SupersededBoot}} {
		before, got := calm(r.status()), 0
		for range 1000 {
			if refusal := ask(who.sender, who.boot, 0); refusal != who.want {
				t.Fatalf("%s is refused for %q, want %q", who.sender, refusal, who.want)
			}
			r.ready()
			for _, m := range r.messages(kindPlanPart) {
				if got++; m.part.digest != plan.Digest() || m.part.offset != 0 {
					t.Fatalf("got %v", m.part)
				}
			}
		}
		if got != 1 {
			t.Errorf("%d of 1000 requests of %s at one moment are answered, want one", got, who.sender)
		}
		if after := calm(r.status()); after != before {
			t.Errorf("the requests of %s changed\n%s\nto\n%s", who.sender, before, after)
		}
		r.pass(r.n.timing.Interval)
	}
	s := r.peers[0]
	r.say(s)
	if parts := r.request(s, planRequest{plan.Digest(), 0}, 3); len(parts) != 3 {
		t.Errorf("a peer gets %d parts for 3 requests", len(parts))
	}
}

// TestRemovedNodeFindsOut: a node that was taken out of the plan while it was down learns so
// from nodes that don't know it any more, and that it was taken in again from nodes that
// never heard it.
func TestRemovedNodeFindsOut(t *testing.T) {
	one, two, three := planOf(t, 1, 2, "a b"), planOf(t, 2, 1, "a b"), planOf(t, 3, 2, "a b")
	m := newMesh(t, 2, 1)
	for i, p := range []vipgroup.Plan{two, one} {
		m.nodes[i] = New(m.now, Options{Name: one.Nodes[i], Cluster: "test", Boot: uint64(i + 1), Keys: []Key{testKey()}, Plan: p, Timing: testTiming()})
	}
	follow := func(d time.Duration) {
		for end := m.now.Add(d); m.now.Before(end); {
			m.watch(10 * time.Millisecond)
			if p, _, ok := m.nodes[1].Newer(); ok {
				m.nodes[1].Adopt(m.now, p)
			}
		}
	}
	follow(2 * time.Second)
	if s := m.nodes[1].Status(m.now); s.Plan.Version != 2 || !slices.Contains(s.Reasons, "not in plan 2") || m.hosts()[1] != "" {
		t.Fatalf("node2 goes by plan %d: %v, and has %q", s.Plan.Version, s.Reasons, m.hosts()[1])
	}
	m.nodes[0].Adopt(m.now, three)
	follow(3 * time.Second)
	if s := m.nodes[1].Status(m.now); s.Plan.Version != 3 || !s.Eligible {
		t.Errorf("node2 goes by plan %d: %v", s.Plan.Version, s.Reasons)
	}
	if h := m.hosts(); len(h[0])+len(h[1]) != 2 {
		t.Errorf("addresses are at %q", h)
	}
}

// TestStuckTransfer: who promises a plan and doesn't deliver it keeps nobody from that of
// another peer, whatever it sends instead.
func TestStuckTransfer(t *testing.T) {
	for name, trick := range map[string]func(q planRequest) *planPart{
		"nothing":          func(planRequest) *planPart { return nil },
		"empty parts":      func(q planRequest) *planPart { return &planPart{q.digest, maxPlanSize, q.offset, nil} },
		"one byte a part":  func(q planRequest) *planPart { return &planPart{q.digest, maxPlanSize, q.offset, []byte("x")} },
		"the same again":   func(q planRequest) *planPart { return &planPart{q.digest, maxPlanSize, 0, make([]byte, partSize)} },
		"the end at first": func(q planRequest) *planPart { return &planPart{q.digest, 2000, 1000, make([]byte, 1000)} },
	} {
		five, seven := planOf(t, 5, 3, "a b"), planOf(t, 7, 3, "a b c")
		r := newRig(t, five)
		r.peers[0].plan, r.peers[1].plan = planOf(t, 9, 3, "a"), seven
		for r.n.plans.tables[seven.Digest()] == nil {
			if r.now.Sub(r.n.born) > 10*time.Second {
				t.Fatalf("%s: plan 7 doesn't come through", name)
			}
			r.pass(r.step)
			for _, m := range r.messages(kindPlanRequest) {
				if m.req.digest == seven.Digest() {
					data := seven.Share()
					r.part(r.peers[1], planPart{m.req.digest, len(data), m.req.offset, data[m.req.offset:min(len(data), m.req.offset+partSize)]})
				} else if p := trick(m.req); p != nil {
					r.part(r.peers[0], *p)
				}
			}
		}
		if n := len(r.n.plans.fetch.data); n > partSize {
			t.Errorf("%s: %d bytes are kept of it", name, n)
		}
	}
}

// TestShorterHint: a transfer goes on with another peer, who names its interfaces otherwise.
func TestShorterHint(t *testing.T) {
	r, s, other := otherPlanRig(t)
	r.peers[1].plan = other
	long := append(other.Encode(), []byte(`["`+strings.Repeat("x", 1500)+`"]`)...)
	turn := 0
	r.serve(5*time.Second, func(vipgroup.Digest) []byte {
		if turn++; turn*partSize < len(long) {
			return long
		}
		return other.Encode()
	})
	if r.n.plans.tables[other.Digest()] == nil {
		t.Errorf("the plan of %s and %s never comes", s.name, r.peers[1].name)
	}
}

// TestRefusedPlanIsTold: a plan that can't be one is an alarm that says why, once it is there.
func TestRefusedPlanIsTold(t *testing.T) {
	r, s, other := otherPlanRig(t)
	r.serve(time.Second, func(vipgroup.Digest) []byte {
		return []byte(`{"nodes":["` + strings.Repeat("a", 500) + `"]}`)
	})
	if !planConflict(r.status(), s.name+" has plan 2, which can't be right: nodes[0]") {
		t.Errorf("alarms: %v", r.status().Alarms)
	}
	for _, a := range r.status().Alarms {
		if len(a.Detail) > 300 {
			t.Errorf("the alarm has %d bytes", len(a.Detail))
		}
	}
	if asked := r.serve(time.Second, func(vipgroup.Digest) []byte { return other.Share() }); asked > 0 {
		t.Errorf("asks %d times more", asked)
	}
}

// TestConflictSaysWhere: two plans of one version name a line in which they differ.
func TestConflictSaysWhere(t *testing.T) {
	m := meshOf(t, planOf(t, 5, 2, "a b"), planOf(t, 5, 2, "a b c d"))
	m.watch(2 * time.Second)
	for i, want := range []string{
		`node2 has another plan of the same version 5: of group c it says "10.0.0.99/32" and this node nothing (and 1 more`,
		`node1 has another plan of the same version 5: of group c it says nothing and this node "10.0.0.99/32" (and 1 more`,
	} {
		if s := m.nodes[i].Status(m.now); !planConflict(s, want) {
			t.Errorf("node%d: %v", i+1, s.Alarms)
		}
	}
}

// TestHolderWhilePlanIsFetched: who goes over to another plan doesn't seem to have lost what
// it has, until that plan is there and says so.
func TestHolderWhilePlanIsFetched(t *testing.T) {
	five, six := planOf(t, 5, 2, "a b"), planOf(t, 6, 2, "a c")
	r := newRig(t, five)
	s := r.peers[0]
	s.holds(0, 1)
	r.pass(2 * time.Second)
	before := r.status()
	s.plan, s.ann.held = six, nil
	s.holds(six.Find("a"))
	r.pass(500 * time.Millisecond) // the plan doesn't come
	for g, is := range r.status().Groups {
		if !slices.Equal(is.Owners, before.Groups[g].Owners) || !is.Since.Equal(before.Groups[g].Since) || len(is.Owners) != 1 {
			t.Errorf("%s: owners %v since %v, before %v since %v", five.Groups[g].Name, is.Owners, is.Since, before.Groups[g].Owners, before.Groups[g].Since)
		}
	}
	s.ann.eligible = false // for the test's sake: node1 is to take b, and nothing else
	r.serve(50*time.Millisecond, func(vipgroup.Digest) []byte { return six.Share() })
	a, b := r.status().Groups[five.Find("a")], r.status().Groups[five.Find("b")]
	if !slices.Equal(a.Owners, []string{"node2"}) || !a.Since.Equal(before.Groups[five.Find("a")].Since) || slices.Contains(b.Owners, "node2") {
		t.Errorf("then a is at %v since %v, b at %v", a.Owners, a.Since, b.Owners)
	}
}
