package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// mesh is a handful of nodes on a perfect wire, with kernels that do at once what they
// are told. It serves the tests of single rules; whole clusters under faults are
// simulated in internal/sim.
type mesh struct {
	t     *testing.T
	now   time.Time
	nodes []*Node
	has   []map[netip.Addr]bool // each host's kernel, which outlives its node
	cut   map[[2]int]bool       // from, to: chat only
	side  []int                 // no frame passes between hosts of different sides
	stuck map[netip.Addr]bool   // what no kernel can remove
	sends int
	// mute is a switch that filters multicast; unicast and ARP pass.
	mute bool
	// tape is everything that was ever sent.
	tape [][]byte
	wire []flight
	// obeyed are the orders that arrived, which are carried out as obey says, and replies
	// what came back.
	obeyed  []Given
	replies []Replied
	obey    func(node int, g Given) Reply
	// drop, where it says so, lets a datagram get lost.
	drop func(from int, data []byte) bool
}

// flight is a packet on its way.
type flight struct {
	to int
	p  Packet
}

func testPlan(t testing.TB, nodes, groups int) vipgroup.Plan {
	t.Helper()
	p := vipgroup.Plan{Version: 1}
	for i := range nodes {
		p.Nodes = append(p.Nodes, fmt.Sprintf("node%d", i+1))
	}
	for i := range groups {
		p.Groups = append(p.Groups, vipgroup.Group{Preempt: true, VIPs: []vipgroup.VIP{{
			Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32)}}})
	}
	plan, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func testTiming() Timing {
	return Timing{Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond, Mature: 5 * time.Second, Lifetime: time.Second}
}

func newMesh(t *testing.T, nodes, groups int) *mesh {
	return meshFor(t, testPlan(t, nodes, groups))
}

// meshFor has a host for each member of the plan.
func meshFor(t *testing.T, plan vipgroup.Plan) *mesh {
	m := &mesh{t: t, now: time.Unix(1000, 0), cut: map[[2]int]bool{}, stuck: map[netip.Addr]bool{}}
	for range plan.Members() {
		m.nodes, m.has, m.side = append(m.nodes, nil), append(m.has, map[netip.Addr]bool{}), append(m.side, 0)
	}
	for i := range m.nodes {
		m.start(i, plan)
	}
	return m
}

// start begins a process on host i, in the place of the one that was there.
func (m *mesh) start(i int, plan vipgroup.Plan) {
	m.nodes[i] = New(m.now, Options{Name: plan.Members()[i], Cluster: "test", Boot: uint64(m.now.Unix())*100 + uint64(i) + 1,
		Keys: []Key{NewKey([]byte("secret"))}, Plan: plan, Timing: testTiming()})
}

// upgrade replaces the program of host i by itself, in a moment.
func (m *mesh) upgrade(i int) {
	n := m.nodes[i]
	m.nodes[i] = Resume(m.now, 0, Options{Name: n.name, Cluster: "test", Keys: []Key{testKey()}, Plan: n.plan, Timing: testTiming()}, n.Snapshot(m.now))
}

func host(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 9, byte(i + 1)}), 5007)
}

// run lets time pass in steps of a millisecond; packets arrive in the next step.
func (m *mesh) run(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); m.now = m.now.Add(time.Millisecond) {
		arrived := m.wire
		m.wire = nil
		for _, f := range arrived {
			if m.nodes[f.to] != nil {
				m.nodes[f.to].Receive(m.now, f.p)
			}
		}
		for i, n := range m.nodes {
			if n == nil {
				continue
			}
			r := n.Ready(m.now)
			for _, d := range r.Send {
				m.sends++
				m.tape = append(m.tape, d.Data)
				if m.drop != nil && m.drop(i, d.Data) {
					continue
				}
				for j := range m.nodes {
					if j != i && m.side[i] == m.side[j] && !m.cut[[2]int{i, j}] && (!d.To.IsValid() && !m.mute || d.To == host(j)) {
						m.wire = append(m.wire, flight{j, Packet{Data: d.Data, From: host(i), TTL: 255}})
					}
				}
			}
			m.replies = append(m.replies, r.Replies...)
			for _, g := range r.Orders {
				m.obeyed = append(m.obeyed, g)
				if m.obey != nil {
					n.Answer(m.now, g, m.obey(i, g))
				}
			}
			m.plumb(i, n, r.Hold)
			asked := map[SignKind][]netip.Addr{Answered: r.Ask, Echoed: r.Echo}
			for _, kind := range []SignKind{Answered, Echoed} {
				for _, a := range asked[kind] {
					for j := range m.nodes {
						if j != i && m.side[i] == m.side[j] && m.has[j][a] {
							n.Sign(m.now, Sign{Kind: kind, Addr: a})
						}
					}
				}
			}
		}
	}
}

// plumb makes host i's kernel have what its node wants, and reports what changed.
func (m *mesh) plumb(i int, n *Node, hold []vipgroup.Key) {
	want := map[netip.Addr]bool{}
	for _, k := range hold {
		for _, v := range n.plan.Groups[n.plan.Group(k)].VIPs {
			want[v.Address.Addr()] = true
		}
	}
	before := maps.Clone(m.has[i])
	maps.DeleteFunc(m.has[i], func(a netip.Addr, _ bool) bool { return !want[a] && !m.stuck[a] })
	maps.Copy(m.has[i], want)
	for _, group := range n.plan.Groups {
		r, changed := Report{Group: group.Key}, false
		for _, v := range group.VIPs {
			a := v.Address.Addr()
			if changed = changed || before[a] != m.has[i][a]; m.has[i][a] {
				r.Present++
			} else {
				r.Missing++
			}
		}
		if changed || r.Present > 0 {
			n.Report(m.now, r)
		}
	}
}

// count returns how many addresses each host has; it fails where one has two owners.
func (m *mesh) count() []int {
	m.t.Helper()
	out := make([]int, len(m.nodes))
	owners := map[netip.Addr]int{}
	for i, has := range m.has {
		out[i] = len(has)
		for k := range has {
			owners[k]++
		}
	}
	for k, n := range owners {
		if n > 1 {
			m.t.Errorf("%v has %d owners", k, n)
		}
	}
	return out
}

func TestClusterForms(t *testing.T) {
	m := newMesh(t, 3, 9)
	m.run(2 * time.Second)
	if got := fmt.Sprint(m.count()); got != "[3 3 3]" {
		t.Errorf("groups per node after the start: %s", got)
		for _, n := range m.nodes {
			s := n.Status(m.now)
			t.Logf("%s mature=%v eligible=%v %v peers=%+v", s.Name, s.Mature, s.Eligible, s.Reasons, s.Peers)
			t.Logf("%+v", s.Groups)
		}
	}
}

func TestLeaveHandsOver(t *testing.T) {
	m := newMesh(t, 3, 9)
	m.run(2 * time.Second)
	m.nodes[0].Leave(m.now)
	m.run(100 * time.Millisecond)
	if got := m.count(); got[0] != 0 || got[1]+got[2] != 9 {
		t.Errorf("groups per node after node1 left: %v", got)
	}
	if !m.nodes[0].Left() {
		t.Error("node1 holds nothing and has not left")
	}
}

// TestUnheard: who acknowledges nothing new for more than 2.5 intervals, and is heard, is named.
func TestUnheard(t *testing.T) {
	r := matureRig(t, 3, 3)
	if got := r.n.Unheard(r.now); got != "" {
		t.Errorf("in calm: %q", got)
	}
	s := r.peers[1]
	s.deaf = true
	r.pass(3 * r.n.timing.Interval)
	if got := r.n.Unheard(r.now); got != s.name {
		t.Errorf("while %s is deaf: %q", s.name, got)
	}
	s.mute = true
	r.pass(time.Second)
	if got := r.n.Unheard(r.now); got != "" {
		t.Errorf("once it is absent: %q", got)
	}
}

func TestSilentNodeIsReplaced(t *testing.T) {
	m := newMesh(t, 3, 9)
	m.run(2 * time.Second)
	m.nodes[0], m.has[0] = nil, map[netip.Addr]bool{}
	m.run(700 * time.Millisecond)
	if got := m.count(); got[1]+got[2] != 9 {
		t.Errorf("groups per node after node1 was lost: %v", got)
	}
}

func TestDeadDaemonsAddressesAreLeftAlone(t *testing.T) {
	m := newMesh(t, 3, 9)
	m.run(2 * time.Second)
	m.nodes[0] = nil
	m.run(3 * time.Second)
	if got := fmt.Sprint(m.count()); got != "[3 3 3]" {
		t.Errorf("groups per node while a dead daemon's kernel answers: %s", got)
	}
}
