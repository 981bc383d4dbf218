package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// crowd is a mature node among many: group g is at node g modulo their number, all
// sequences are those of years of service.
func crowd(t testing.TB, nodes, groups int) *rig {
	t.Helper()
	r := newRig(t, testPlan(t, nodes, groups))
	r.n.voice.seq, r.step = 1<<34, 5*time.Millisecond
	for g := range groups {
		switch p := g % nodes; {
		case p > 0:
			r.peers[p-1].holds(g)
		case g/nodes >= groups/nodes: // beyond node1's share
			r.peers[0].holds(g)
		}
	}
	for _, s := range r.peers {
		s.seq, s.answers = 1<<34, false
	}
	r.pass(1500 * time.Millisecond)
	if got, want := len(r.has), groups/nodes; got != want {
		t.Fatalf("node1 holds %d groups, want its share, %d", got, want)
	}
	for _, p := range r.status().Peers {
		if p.State != Live {
			t.Fatalf("%s is %s, want all live", p.Node, p.State)
		}
	}
	return r
}

// largest returns the largest datagram and how many were sent, in d.
func (r *rig) largest(d time.Duration) (size, sent int) {
	for end := r.now.Add(d); r.now.Before(end); {
		r.pass(r.step)
		for _, d := range r.out.Send {
			size, sent = max(size, len(d.Data)), sent+1
		}
	}
	return size, sent
}

// TestOneDatagramPerInterval: for as many groups as there may be, all nodes heard, a node
// sends one datagram per interval in calm, and one datagram holds what it has to say.
func TestOneDatagramPerInterval(t *testing.T) {
	for _, nodes := range []int{3, vipgroup.MaxNodes} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			r := crowd(t, nodes, vipgroup.MaxGroups)
			size, sent := r.largest(2 * time.Second)
			if want := 20; sent != want {
				t.Errorf("%d datagrams in %d intervals of calm", sent, want)
			}
			if len(r.said.heard) != nodes-1 || r.said.held.empty() {
				t.Errorf("it says that it hears %d and holds %d", len(r.said.heard), r.said.held.len())
			}
			check := func(what string, size int) {
				t.Helper()
				t.Logf("%d nodes, %d groups: %d bytes %s", nodes, vipgroup.MaxGroups, size, what)
				if size > maxDatagram {
					t.Errorf("%d bytes %s, more than %d", size, what, maxDatagram)
				}
			}
			check("in calm", size)

			// Every third group is barred here by a check, every other is better elsewhere.
			for g := range vipgroup.MaxGroups {
				v := Vote{Source: "check", Group: &r.n.plan.Groups[g].Key, Bar: g%3 == 1, Penalty: g % 2, Reason: "connection refused"}
				r.n.Vote(r.now, v)
			}
			size, _ = r.largest(300 * time.Millisecond)
			if len(r.said.barred) != 2 {
				t.Fatalf("it announces bars of %d kinds, want 2", len(r.said.barred))
			}
			check("with bars", size)

			// It asks for as many groups as it may, and claims them.
			for g := vipgroup.MaxGroups - 1; len(r.n.life.pulls) < maxPulls; g -= 7 {
				if g%3 != 1 {
					r.n.pull(r.now, g)
				}
			}
			size, _ = r.largest(300 * time.Millisecond)
			if len(r.said.barred) != 3 || r.said.barred[0].groups.len() != maxPulls || len(r.said.claims) == 0 {
				t.Fatalf("it asks for %+v and claims %+v", r.said.barred, r.said.claims)
			}
			check("with bars and pulls", size)

			// Two nodes stop, so that everybody claims a share of theirs.
			for _, s := range r.peers[:2] {
				s.ann.eligible = false
			}
			r.pass(5 * time.Millisecond)
			size, _ = r.largest(200 * time.Millisecond)
			if len(r.said.claims) == 0 {
				t.Fatal("it claims nothing")
			}
			check("with bars and claims", size)
		})
	}
}

// TestClaimsMakeRoom: claims that the datagram has no room for wait for the next.
func TestClaimsMakeRoom(t *testing.T) {
	r := crowd(t, vipgroup.MaxNodes, vipgroup.MaxGroups)
	n := r.n
	for g := range n.all.all {
		if !n.holds.mine.has(g) {
			n.claims.open.add(g)
			n.claims.groups[g].begin = n.voice.seq - uint64(g*g%23) // far more kinds than there is room for
		}
	}
	before := n.claims.open.len()
	data := n.announce(r.now, true)
	if len(data) > maxDatagram {
		t.Errorf("%d bytes", len(data))
	}
	v, err := open("secret", data)
	if err != nil {
		t.Fatal(err)
	}
	said := newSet(vipgroup.MaxGroups)
	for _, c := range v.ann.claims {
		said.or(c.groups)
	}
	if !said.equal(n.claims.open) || said.empty() || said.len() == before {
		t.Errorf("of %d claims %d are said and %d are open: both must be the same, and fewer", before, said.len(), n.claims.open.len())
	}
}
