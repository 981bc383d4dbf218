package cluster

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Adopt switches to another plan, which was checked before; it can't fail. What is held
// of groups whose addresses stay together stays held. What the new plan can't speak of
// is given up first, under the old one, so that nobody is told of a release too early, or
// of more than what was held; Plan tells when the switch is done.
func (n *Node) Adopt(now time.Time, p vipgroup.Plan) {
	n.arrive(now)
	n.next = &p
	n.judgePlan(now)
}

// Plan returns the plan that rules now.
func (n *Node) Plan() vipgroup.Plan { return n.plan }

// judgePlan switches to the next plan as soon as nothing is held that it lacks.
func (n *Node) judgePlan(now time.Time) {
	if n.next == nil {
		return
	}
	waits := false
	for g := range n.holds.mine.all {
		if !n.going(g) {
			continue
		}
		if n.holds.wanted.has(g) {
			n.release(now, g)
		}
		// What a kernel can't remove keeps only a plan away that lacks it.
		waits = waits || n.lacking(g) || now.Sub(n.holds.groups[g].given) <= n.recent()
	}
	// A node that the next plan lacks falls silent with the switch: its release must
	// have been said before.
	waits = waits || n.next.Member(n.name) < 0 && n.voice.urgent && n.speaks(now)
	if !waits {
		next := *n.next
		n.next = nil
		n.swap(now, next)
	}
}

// going says whether a group can't be held beyond the switch to the next plan.
func (n *Node) going(g int) bool { return n.next != nil && (n.lacking(g) || n.joining(g)) }

// lacking says whether the next plan lacks an address of a group, or this node itself.
func (n *Node) lacking(g int) bool {
	if n.next.Node(n.name) < 0 {
		return true
	}
	return slices.ContainsFunc(n.plan.Groups[g].Resources(), func(r string) bool { return n.next.Owns(r) < 0 })
}

// joining says whether the next plan puts addresses of a group together with others that this
// node doesn't have: under that plan it could only say that it holds all of them, and later
// that all of them are free.
func (n *Node) joining(g int) bool {
	resources := n.plan.Groups[g].Resources()
	return slices.ContainsFunc(resources, func(r string) bool {
		next := n.next.Groups[n.next.Owns(r)].Resources()
		return !slices.Equal(next, resources) && slices.ContainsFunc(next, func(r string) bool {
			j := n.plan.Owns(r)
			return j < 0 || !n.holds.wanted.has(j)
		})
	})
}

// swap makes p the plan that rules.
func (n *Node) swap(now time.Time, p vipgroup.Plan) {
	oldPlan, oldHolds, oldSigns, oldClaims, oldPeers := n.plan, n.holds, n.signs, n.claims, n.peers
	oldHad, oldSince := n.had, n.since
	n.plan, n.encoded, n.self = p, p.Share(), p.Member(n.name)
	n.plans.adopt(p)
	n.adopted, n.ruled = n.voice.seq+1, now
	count := len(p.Groups)
	n.all = newSet(count)
	n.all.fill(count)
	n.indexGroups()

	members := p.Members()
	n.peers = make([]*peer, len(members))
	for i, name := range members {
		if i == n.self {
			continue
		}
		n.peers[i] = newPeer(name, count, len(members))
		n.peers[i].trail = n.trailOf(name)
		if j := oldPlan.Member(name); j >= 0 && j < len(oldPeers) && oldPeers[j] != nil {
			n.peers[i] = oldPeers[j]
			n.peers[i].fit(count, len(members))
		}
		n.peers[i].serves = i < len(p.Nodes)
	}
	n.majority = n.newMajority()
	as := n.depart(oldPlan, oldPeers)
	n.estrange(oldPeers)

	parted := parts(oldPlan, p, oldPeers)
	for _, x := range n.peers {
		if x != nil && parted {
			x.strange = now
		}
	}

	n.holds, n.claims, n.signs = newHolds(count), newClaims(count), newSigns(count, now)
	for i, g := range p.Groups {
		from := sources(oldPlan, g)
		n.inherit(i, g, oldPlan, &oldHolds)
		for k, j := range from {
			s := oldSigns[j]
			s.fresh = s.fresh && !parted
			s.holder = as(s.holder)
			if len(from) > 1 || !slices.Equal(oldPlan.Groups[j].Resources(), g.Resources()) {
				// Only whole groups are released; of a part nothing is known.
				s.holder, s.freed, s.fresh, s.pingOn = nobody, time.Time{}, false, time.Time{}
			}
			if proof := n.signs[i].proof; k > 0 && proof.After(s.proof) {
				s.proof = proof
			} else {
				n.signs[i].proof = s.proof
			}
			if k == 0 || s.newest.After(n.signs[i].newest) {
				n.signs[i] = s
			}
			if pause := oldClaims.groups[j].pause; pause.After(n.claims.groups[i].pause) {
				n.claims.groups[i].pause = pause
			}
		}
		if len(from) == 0 || covered(oldPlan, from) < len(g.Resources()) {
			n.signs[i].begin(now) // an address that was nobody's business so far
		}
	}

	n.heardHeld, n.candidates = newSet(count), newSet(count)
	n.had, n.since = make([]int, count), make([]time.Time, count)
	for i := range n.had {
		n.had[i], n.since[i] = nobody, now
		if j := oldPlan.Group(p.Groups[i].Key); j >= 0 {
			n.since[i] = oldSince[j]
			if oldHad[j] >= 0 {
				n.had[i] = p.Member(oldPlan.Members()[oldHad[j]])
			}
		}
	}
	n.owner, n.why = make([]int, count), make([]vipgroup.Reason, count)
	for i := range n.owner {
		n.owner[i] = nobody
	}
	n.view = vipgroup.View{Eligible: make([]bool, len(members)), Holder: make([]int, count), Penalty: make([][]int, len(members))}
	for i := range n.twins {
		n.twins[i].held = nil
	}
	clear(n.life.pulls)
	n.voice.fit(count)
	n.digestChanged()
	n.voice.urgent = true
}

// parts says whether the next plan lacks a node that may be there. It may just have taken
// what was given up under the old plan, and nobody who goes by the next one believes it when
// it says so: what was given up lately has to be asked for.
func parts(old, next vipgroup.Plan, peers []*peer) bool {
	for i, name := range old.Nodes {
		if next.Node(name) < 0 && peers[i] != nil && !peers[i].farewell {
			return true
		}
	}
	return false
}

// inherit takes over what is held of a group's addresses from the books of the old plan.
// The group stays wanted where all its addresses were; where only some were, it is mine
// until the kernel was seen without them.
func (n *Node) inherit(to int, g vipgroup.Group, oldPlan vipgroup.Plan, old *holds) {
	mine, wanted, plumbed := false, true, true
	for _, r := range g.Resources() {
		j := oldPlan.Owns(r)
		mine = mine || j >= 0 && old.mine.has(j)
		wanted = wanted && j >= 0 && old.wanted.has(j)
		plumbed = plumbed && j >= 0 && old.groups[j].plumbed
	}
	if !mine {
		return
	}
	n.holds.mine.add(to)
	n.holds.handed.add(to)
	n.holds.groups[to] = hold{plumbed: plumbed, yielded: !wanted}
	if wanted {
		n.holds.wanted.add(to)
	}
}

// indexGroups notes which group each address belongs to.
func (n *Node) indexGroups() {
	n.byAddr, n.delays = map[netip.Addr]int{}, nil
	for i, g := range n.plan.Groups {
		if g.PreemptDelay > 0 {
			n.delays = append(n.delays, i)
		}
		if g.Election {
			continue
		}
		for _, v := range g.VIPs {
			n.byAddr[v.Address.Addr()] = i
		}
	}
}

// sources returns the groups of an old plan that share an address with g.
func sources(old vipgroup.Plan, g vipgroup.Group) []int {
	var from []int
	for _, r := range g.Resources() {
		if j := old.Owns(r); j >= 0 && !slices.Contains(from, j) {
			from = append(from, j)
		}
	}
	return from
}

// covered counts the addresses of some groups.
func covered(p vipgroup.Plan, groups []int) (n int) {
	for _, g := range groups {
		n += len(p.Groups[g].Resources())
	}
	return n
}
