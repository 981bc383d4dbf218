package cluster

import (
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A rig is one real node, node1, among peers whose every word the test chooses. Its
// kernel does at once what it is told.
type rig struct {
	t    testing.TB
	now  time.Time
	step time.Duration // of pass
	n    *Node
	said announcement // the newest that node1 sent
	out  Ready
	has  map[vipgroup.Key]bool
	// asked counts ARP probes by group.
	asked map[int]int
	// echoed counts echo requests by group; echoes are the groups that reply.
	echoed map[int]int
	echoes set
	peers  []*speaker
	// replied is the newest announcement that those who answer have answered.
	replied uint64
}

// A speaker stands in for a peer of the node under test.
type speaker struct {
	name      string
	boot, seq uint64
	plan      vipgroup.Plan
	mute      bool // says nothing
	deaf      bool // acknowledges nothing
	answers   bool // speaks at once when it hears something
	ann       announcement
	heard     map[string]heard // what it says it heard of others than node1
}

func newRig(t testing.TB, plan vipgroup.Plan) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Unix(1000, 0), step: time.Millisecond, has: map[vipgroup.Key]bool{}, asked: map[int]int{}, echoed: map[int]int{},
		echoes: newSet(len(plan.Groups))}
	r.n = New(r.now, Options{Name: plan.Nodes[0], Cluster: "test", Boot: 100, Keys: []Key{testKey()}, Plan: plan, Timing: testTiming()})
	for i, name := range plan.Nodes[1:] {
		s := &speaker{name: name, boot: uint64(200 + i), plan: plan, heard: map[string]heard{}, answers: true}
		s.ann.eligible = true
		r.peers = append(r.peers, s)
	}
	return r
}

// matureRig is a rig whose node is mature and holds nothing: its peers hold everything,
// group g at peer g modulo their number.
func matureRig(t testing.TB, nodes, groups int) *rig {
	t.Helper()
	r := newRig(t, testPlan(t, nodes, groups))
	for g := range groups {
		r.peers[g%len(r.peers)].holds(g)
	}
	r.pass(time.Second)
	if s := r.status(); !s.Mature || !s.Eligible || len(r.has) > 0 {
		t.Fatalf("node1 is not ready for the test: mature %v, eligible %v (%v), holds %d", s.Mature, s.Eligible, s.Reasons, len(r.has))
	}
	return r
}

func testKey() Key { return NewKey([]byte("secret")) }

func (s *speaker) holds(groups ...int) {
	if s.ann.held == nil {
		s.ann.held = newSet(vipgroup.MaxGroups)
	}
	for _, g := range groups {
		s.ann.held.add(g)
	}
}

func (s *speaker) frees(groups ...int) {
	for _, g := range groups {
		s.ann.held.del(g)
	}
}

// claims begins a claim on groups with its next announcement.
func (s *speaker) claims(groups ...int) {
	s.ann.claims = append(s.ann.claims, claimed{begin: s.seq + 1, groups: setOf(groups...)})
}

// next returns the speaker's next announcement.
func (s *speaker) next(r *rig) []byte {
	s.seq++
	a := s.ann
	a.cluster, a.sender, a.boot, a.seq = "test", s.name, s.boot, s.seq
	if a.interval == 0 {
		a.interval, a.stale = r.n.timing.Interval, r.n.timing.Stale
	}
	a.version, a.digest = s.plan.Version, s.plan.Digest()
	a.heard = nil
	if !s.deaf && r.said.seq > 0 {
		a.heard = append(a.heard, heard{idOf(r.n.name), r.said.boot, r.said.seq})
	}
	for _, o := range r.peers {
		if h, ok := s.heard[o.name]; ok {
			a.heard = append(a.heard, h)
		} else if o != s && !o.mute && !s.deaf {
			a.heard = append(a.heard, heard{idOf(o.name), o.boot, o.seq})
		}
	}
	if h, ok := s.heard[r.n.name]; ok {
		a.heard = append(a.heard, h)
	}
	return testKey().sealFrame(a.append(testKey().frame(nil, kindAnnouncement)))
}

// say lets the speaker speak now.
func (r *rig) say(s *speaker) Refusal {
	r.t.Helper()
	return r.receive(s, s.next(r))
}

// receive delivers a datagram as if it came from the speaker's host.
func (r *rig) receive(s *speaker, data []byte) Refusal {
	return r.n.Receive(r.now, Packet{Data: data, From: host(r.n.plan.Node(s.name)), TTL: 255})
}

// ready takes node1's Ready and plays its kernel.
func (r *rig) ready() Ready {
	r.t.Helper()
	r.out = r.n.Ready(r.now)
	r.hear()
	for _, a := range r.out.Ask {
		if g, ok := r.n.byAddr[a]; ok {
			r.asked[g]++
		}
	}
	for _, a := range r.out.Echo {
		g := r.n.byAddr[a]
		r.echoed[g]++
		if r.echoes.has(g) {
			r.n.Sign(r.now, Sign{Kind: Echoed, Addr: a})
		}
	}
	want := map[vipgroup.Key]bool{}
	for _, k := range r.out.Hold {
		want[k] = true
		if !r.has[k] {
			r.has[k] = true
			r.n.Report(r.now, Report{Group: k, Present: 1})
		}
	}
	for k := range r.has {
		if !want[k] {
			delete(r.has, k)
			r.n.Report(r.now, Report{Group: k, Missing: 1})
		}
	}
	return r.out
}

// hear reads what node1 said in its last turn.
func (r *rig) hear() {
	r.t.Helper()
	for _, d := range r.out.Send {
		if v, err := open("secret", d.Data); err != nil {
			r.t.Fatalf("node1 sent what doesn't open: %v", err)
		} else if v.what == kindAnnouncement {
			r.said = v.ann
			r.said.boot, r.said.seq = v.boot, v.seq
		}
	}
}

// pass lets time pass in steps of a millisecond, or what step says. Every speaker that isn't mute speaks
// once per interval, and answers at once where it should.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	for end := r.now.Add(d); r.now.Before(end); r.now = r.now.Add(r.step) {
		r.ready()
		wanted := r.said.seq != r.replied && r.said.answer
		r.replied = r.said.seq
		for i, s := range r.peers {
			due := r.now.Add(time.Duration(i)*r.step).UnixNano()%int64(r.n.timing.Interval) < int64(r.step)
			if !s.mute && (due || s.answers && wanted) {
				if refusal := r.say(s); refusal != "" {
					r.t.Fatalf("%s is refused: %s", s.name, refusal)
				}
			}
		}
	}
}

func (r *rig) status() Status { return r.n.Status(r.now) }

// holding says whether group g is in node1's kernel.
func (r *rig) holding(g int) bool { return r.has[r.n.plan.Groups[g].Key] }

// claims says whether node1's newest announcement claims group g.
func (r *rig) claims(g int) bool {
	for _, c := range r.said.claims {
		if c.groups.has(g) {
			return true
		}
	}
	return false
}

// peer returns what node1 knows of a speaker.
func (r *rig) peer(s *speaker) *peer { return r.n.peers[r.n.plan.Node(s.name)] }

// answered lets group g's address answer an ARP probe now.
func (r *rig) answered(g int) {
	r.seen(g, Answered)
}

// foreign is a host that is no node of the plan.
const foreign = "02:00:00:00:00:09"

// seen lets a foreign host speak for group g's address now.
func (r *rig) seen(g int, kind SignKind) {
	r.n.Sign(r.now, Sign{Kind: kind, Addr: r.n.plan.Groups[g].VIPs[0].Address.Addr(), MAC: foreign, Link: "eth0"})
}

// sayWith lets the speaker speak now, and say of whom it heard no more than told.
func (r *rig) sayWith(s *speaker, told ...heard) Refusal {
	r.t.Helper()
	v, err := open("secret", s.next(r))
	if err != nil {
		r.t.Fatal(err)
	}
	v.ann.heard, v.secret = told, "secret"
	return r.receive(s, v.seal())
}
