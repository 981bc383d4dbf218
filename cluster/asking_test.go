package cluster

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// lostRig is a node that is asking for the addresses of a node that fell silent: groups of
// so many addresses each.
func lostRig(t *testing.T, groups, addresses int) *rig {
	t.Helper()
	p := testPlan(t, 3, groups)
	a := netip.MustParseAddr("10.1.0.0")
	for g := range p.Groups {
		p.Groups[g].VIPs = nil
		for range addresses {
			p.Groups[g].VIPs = append(p.Groups[g].VIPs, vipgroup.VIP{Address: netip.PrefixFrom(a, 32)})
			a = a.Next()
		}
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, p)
	for g := range groups {
		r.peers[0].holds(g)
	}
	r.peers[1].ann.eligible = false
	r.pass(time.Second)
	r.peers[0].mute = true
	return r
}

// TestAskingIsBounded: however many addresses fall silent, a round of asking has room for 256,
// and each address is asked once an interval.
func TestAskingIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name              string
		groups, addresses int
	}{
		{"one group", 1, 1000},
		{"as many groups as addresses", 1000, 1},
		{"groups of several", 40, 25},
		{"few", 2, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := lostRig(t, tt.groups, tt.addresses)
			r.step = 5 * time.Millisecond
			r.pass(200 * time.Millisecond)
			var rounds []time.Time
			room := 0
			last := map[netip.Addr]time.Time{}
			began := r.now
			for r.now.Sub(began) < 350*time.Millisecond {
				r.pass(r.step)
				if len(r.out.Ask) == 0 {
					continue
				}
				if len(rounds) == 0 || r.now.Sub(rounds[len(rounds)-1]) >= r.n.quarter() {
					rounds, room = append(rounds, r.now), mostAsked
				}
				for _, a := range r.out.Ask {
					if _, vip := r.n.byAddr[a]; !vip {
						continue
					}
					room--
					if gap := r.now.Sub(last[a]); !last[a].IsZero() && gap > r.n.bounds.interval+r.n.quarter() {
						t.Errorf("%v was asked again after %v", a, gap)
					}
					last[a] = r.now
				}
				if room < 0 {
					t.Fatalf("%d too many were asked in a round", -room)
				}
			}
			if len(last) != tt.groups*tt.addresses {
				t.Errorf("%d of %d addresses were asked", len(last), tt.groups*tt.addresses)
			}
		})
	}
}

// TestAllAreAskedBeforeTaking: a group is taken only when each of its addresses was asked
// after the last objection to its claim fell, and the last of them had time to answer.
func TestAllAreAskedBeforeTaking(t *testing.T) {
	r := lostRig(t, 1, 1000)
	var since time.Time
	asked := map[netip.Addr]time.Time{}
	r.until("taken", 2*time.Second, func() bool {
		if r.holding(0) {
			return true
		}
		if c := r.n.claims.groups[0].since; c != since {
			since = c
			clear(asked)
		}
		for _, a := range r.out.Ask {
			if _, ok := asked[a]; !ok && !since.IsZero() {
				asked[a] = r.now
			}
		}
		return false
	})
	if len(asked) < 1000 {
		t.Errorf("taken when %d of 1000 addresses were asked", len(asked))
	}
	for a, at := range asked {
		if answer := r.now.Sub(at); answer < r.n.bounds.stand/2 {
			t.Fatalf("taken %v after %v was first asked", answer, a)
		}
	}
}

// TestWitnessedReleaseIsNotAskedFor: what everybody saw released is left to who takes it for
// a moment; then, or where a node is missing, it is asked for.
func TestWitnessedReleaseIsNotAskedFor(t *testing.T) {
	for _, missing := range []bool{false, true} {
		r := matureRig(t, 4, 12)
		if missing {
			r.peers[2].mute = true
			r.pass(r.n.timing.Stale + 2*r.n.timing.Interval)
		}
		r.n.Drain(r.now, Drain{}) // the group is another's to take, who doesn't
		const g = 0
		r.pass(r.n.timing.Interval)
		r.asked[g] = 0
		r.peers[0].frees(g)
		r.say(r.peers[0])
		r.pass(r.n.quarter() - 2*r.step)
		if asked := r.asked[g] > 0; asked != missing {
			t.Errorf("a node is missing %v, and within a quarter of an interval the address was asked for: %v", missing, asked)
		}
		r.pass(4 * r.step)
		if r.asked[g] == 0 {
			t.Errorf("a node is missing %v, and nobody asked although nobody took it", missing)
		}
	}
}

// TestAddressesThatFallSilentOneByOne: however many beginnings of claims there are, of which
// an announcement has room for three, each address is taken in its time.
func TestAddressesThatFallSilentOneByOne(t *testing.T) {
	r := matureRig(t, 3, 24)
	r.peers[1].ann.eligible = false
	r.peers[0].mute = true
	r.pass(2 * r.n.bounds.interval)
	silent := map[int]time.Time{}
	for g := 0; g < 24; g += 2 { // what node2 held
		for h := g; h < 24; h += 2 {
			r.answered(h)
			silent[h] = r.now
		}
		r.pass(7 * time.Millisecond)
	}
	r.until("all are taken", time.Second, func() bool {
		for g, since := range silent {
			late := r.now.Sub(since) - r.n.silence(g)
			if !r.holding(g) && late > 5*r.step {
				t.Fatalf("group %d is not taken %v after it was due", g, late)
			}
		}
		return len(r.has) == 12
	})
}

// TestWhoMetNobodyGoesLast: processes that never heard a peer take what fell silent one after
// the other, and after those that did.
func TestWhoMetNobodyGoesLast(t *testing.T) {
	p := planOf(t, 1, 3, "a b")
	m := meshOf(t, p, p, p)
	apart := 2 * m.nodes[0].bounds.interval
	for g := range p.Groups {
		var silences []time.Duration
		for _, n := range m.nodes {
			silences = append(silences, n.silence(g))
		}
		slices.Sort(silences)
		for i, s := range silences {
			if want := m.nodes[0].bounds.silent + time.Duration(i+1)*apart; s != want {
				t.Errorf("%s: the silences are %v, want steps of %v", p.Groups[g].Name, silences, apart)
			}
		}
	}
	m.run(time.Second)
	for _, n := range m.nodes {
		if got := n.silence(0); got != n.bounds.silent {
			t.Errorf("%s has met its peers and waits for %v of silence, want %v", n.name, got, n.bounds.silent)
		}
	}
}
