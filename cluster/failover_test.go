package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// formed is a mesh in which every group has a holder.
func formed(t *testing.T, nodes, groups int) *mesh {
	t.Helper()
	m := newMesh(t, nodes, groups)
	m.run(2 * time.Second)
	total := 0
	for _, n := range m.count() {
		total += n
	}
	if total != groups {
		t.Fatalf("%d of %d groups have a holder: %v", total, groups, m.count())
	}
	return m
}

// lose takes a host away, kernel and all.
func (m *mesh) lose(i int) { m.nodes[i], m.has[i] = nil, map[netip.Addr]bool{} }

// stays fails when anything moves within d.
func (m *mesh) stays(what string, d time.Duration) {
	m.t.Helper()
	before := fmt.Sprint(m.hosts())
	for end := m.now.Add(d); m.now.Before(end); {
		m.watch(time.Millisecond)
		if got := fmt.Sprint(m.hosts()); got != before {
			m.t.Fatalf("%s: addresses went from %q to %q", what, before, got)
		}
	}
}

// TestTwoNodesAlone: on an otherwise empty wire, where nothing at all is heard any more,
// the one that is left takes over.
func TestTwoNodesAlone(t *testing.T) {
	for lost := range 2 {
		m := formed(t, 2, 4)
		m.lose(lost)
		m.watch(m.nodes[1-lost].timing.Stale + 2*m.nodes[1-lost].timing.Interval)
		if got := m.count()[1-lost]; got != 4 {
			t.Errorf("node%d was lost, and node%d has %d of 4 groups: %+v", lost+1, 2-lost, got, m.nodes[1-lost].Status(m.now).Groups)
		}
	}
}

// TestLostHosts: each loss is made up for within stale + 2 intervals.
func TestLostHosts(t *testing.T) {
	m := formed(t, 5, 20)
	left := []int{0, 1, 2, 3, 4}
	for _, i := range []int{3, 0, 2} {
		m.lose(i)
		m.watch(700 * time.Millisecond)
		left = slices.DeleteFunc(left, func(j int) bool { return j == i })
		total := 0
		for _, j := range left {
			total += m.count()[j]
		}
		if total != 20 {
			t.Errorf("after the loss of node%d: %v", i+1, m.count())
		}
		m.watch(time.Second)
	}
}

// TestDeadDaemon: its kernel answers until the addresses' lifetime is over; only then
// they are taken, and soon.
func TestDeadDaemon(t *testing.T) {
	m := formed(t, 3, 6)
	m.nodes[0] = nil
	m.stays("the kernel still answers", 1900*time.Millisecond)
	m.lose(0)
	m.watch(700 * time.Millisecond)
	if got := m.count(); got[1]+got[2] != 6 {
		t.Errorf("after the end of the lifetime: %v", got)
	}
}

// TestChatCut: as long as addresses answer, no fault of the chat moves anything.
func TestChatCut(t *testing.T) {
	both := func(m *mesh, a, b int) { m.cut[[2]int{a, b}], m.cut[[2]int{b, a}] = true, true }
	for name, fault := range map[string]func(m *mesh){
		"one way":       func(m *mesh) { m.cut[[2]int{0, 1}] = true },
		"one is mute":   func(m *mesh) { m.cut[[2]int{0, 1}], m.cut[[2]int{0, 2}] = true, true },
		"one is deaf":   func(m *mesh) { m.cut[[2]int{1, 0}], m.cut[[2]int{2, 0}] = true, true },
		"between two":   func(m *mesh) { both(m, 0, 1) },
		"one is alone":  func(m *mesh) { both(m, 0, 1); both(m, 0, 2) },
		"in a circle":   func(m *mesh) { m.cut[[2]int{0, 1}], m.cut[[2]int{1, 2}], m.cut[[2]int{2, 0}] = true, true, true },
		"all of it":     func(m *mesh) { both(m, 0, 1); both(m, 0, 2); both(m, 1, 2) },
		"all multicast": func(m *mesh) { m.mute = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := formed(t, 3, 6)
			fault(m)
			m.stays("while it lasts", 5*time.Second)
			m.cut, m.mute = map[[2]int]bool{}, false
			m.stays("after it", 3*time.Second)
			for _, n := range m.nodes {
				for _, p := range n.Status(m.now).Peers {
					if p.State != Live {
						t.Errorf("afterwards %s is %s at %s", p.Node, p.State, n.name)
					}
				}
			}
		})
	}
}

// TestUnicastCopies: where a switch filters multicast, copies keep everybody live, and a
// drain still hands over.
func TestUnicastCopies(t *testing.T) {
	m := formed(t, 3, 6)
	m.mute = true
	m.watch(time.Second)
	for end := m.now.Add(3 * time.Second); m.now.Before(end); {
		m.watch(10 * time.Millisecond)
		for _, n := range m.nodes {
			for _, p := range n.Status(m.now).Peers {
				if p.State != Live {
					t.Fatalf("without multicast %s is %s at %s", p.Node, p.State, n.name)
				}
			}
		}
	}
	m.nodes[0].Drain(m.now, Drain{})
	m.watch(500 * time.Millisecond)
	if got := m.count(); got[0] != 0 || got[1]+got[2] != 6 {
		t.Errorf("a drain without multicast: %v", got)
	}
}

// TestCopiesEnd: who said farewell, or has been silent for a minute, gets no copies.
func TestCopiesEnd(t *testing.T) {
	r := holderRig(t, 3)
	for _, s := range r.peers {
		s.deaf = true
	}
	copies := func(d time.Duration) (n [3]int) {
		for end := r.now.Add(d); r.now.Before(end); {
			r.pass(time.Millisecond)
			for _, d := range r.out.Send {
				for i := range n {
					if d.To == host(i) {
						n[i]++
					}
				}
			}
		}
		return n
	}
	copies(300 * time.Millisecond)
	if n := copies(time.Second); n[1] < 35 || n[1] > 41 || n[2] < 35 || n[2] > 41 || n[0] > 0 {
		t.Errorf("in a second %v copies, want none to ourselves and 40 to each peer that doesn't hear us", n)
	}
	gone := r.peers[0]
	gone.seq, gone.ann.farewell = farewellSeq-1, true
	r.say(gone)
	gone.mute, r.peers[1].mute = true, true
	if n := copies(time.Second); n[1] > 0 || n[2] == 0 {
		t.Errorf("after node2's farewell: %v copies", n)
	}
	r.pass(time.Minute)
	if n := copies(time.Second); n[2] > 0 {
		t.Errorf("after a minute of silence: %v copies", n)
	}
}

// TestRestart: a process that comes back quickly takes nothing from those who took over,
// and the groups that nobody has are shared.
func TestRestart(t *testing.T) {
	m := formed(t, 3, 6)
	n := m.nodes[1]
	m.lose(1)
	m.watch(2 * time.Second)
	m.nodes[1] = New(m.now, Options{Name: n.name, Cluster: "test", Boot: 50, Keys: n.keys, Plan: n.plan, Timing: n.timing})
	m.stays("a node comes back", 2*time.Second)
	if s := m.nodes[1].Status(m.now); !s.Eligible {
		t.Errorf("after 2 s it isn't eligible: %q", s.Reasons)
	}
	m.lose(2)
	m.watch(time.Second)
	if got := m.count(); got[0]+got[1] != 6 || got[1] == 0 {
		t.Errorf("after the loss of node3: %v", got)
	}
}

// TestBacklog: what waited in the socket while this node did nothing says nothing about
// now: a hold and its release, read one after the other, are no witnessed release.
func TestBacklog(t *testing.T) {
	for name, tt := range map[string]struct {
		gap   time.Duration
		fresh bool
	}{
		"read as it came":  {10 * time.Millisecond, true},
		"read after a gap": {500 * time.Millisecond, false},
	} {
		r := matureRig(t, 3, 1)
		peer := r.peers[0]
		r.pass(100 * time.Millisecond)
		r.now = r.now.Add(tt.gap)
		peer.holds(0)
		r.say(peer)
		peer.frees(0)
		r.say(peer)
		s := &r.n.signs[0]
		if !s.released() || s.isFresh(r.now, r.n.recent()) != tt.fresh {
			t.Errorf("%s: released %v, fresh %v, want %v", name, s.released(), s.isFresh(r.now, r.n.recent()), tt.fresh)
		}
	}
}

// TestSlowHolder: what a node with longer timings had is taken when it has been silent by
// these, not by those of whom it left.
func TestSlowHolder(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 2))
	slow := r.peers[0]
	slow.ann.interval, slow.ann.stale = time.Second, 5*time.Second
	slow.holds(0)
	r.peers[1].holds(1)
	r.pass(6 * time.Second)
	slow.mute = true
	last := r.n.peers[r.n.plan.Member(slow.name)].last
	for silent := boundsOf(time.Second, 5*time.Second).silent; r.now.Sub(last) < silent; r.pass(time.Millisecond) {
		if r.has[r.n.plan.Groups[0].Key] {
			t.Fatalf("taken %v after its last word, before %v", r.now.Sub(last), silent)
		}
	}
	r.pass(time.Second)
	if !r.has[r.n.plan.Groups[0].Key] {
		t.Error("never taken")
	}
}
