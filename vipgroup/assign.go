package vipgroup

import (
	"math"
	"math/bits"
)

// A View is what one node knows when it decides: which nodes are candidates, and who
// holds what. All slices are indexed like the plan's Nodes and Groups; those by node may
// go on with the plan's other members, which are never eligible.
type View struct {
	// Eligible says for each node whether it may own anything.
	Eligible []bool
	// Holder is, for each group, the node that has it now, or -1.
	// A nil Holder means that nothing is held.
	Holder []int
	// Penalty is, for each node, a cost per group: lower wins; Barred or more means
	// never, and Pull that the node asks for the group. A nil row means no penalties at
	// that node; a nil Penalty, none at all.
	Penalty [][]int
}

// Barred is the penalty that takes a node out for a group.
const Barred = 1 << 30

// A Decision is one group's owner and why.
type Decision struct {
	// Owner is the place of the node in the plan's Nodes, or -1 when nobody may have it.
	Owner int
	// Reason is a constant that explains the rule which decided.
	Reason Reason
}

// A Reason names the rule that gave a group its owner: the first one, in the order
// below, that left a single node.
type Reason string

// The rules, in the order in which they are asked.
const (
	// NoCandidate: the group has no owner because no node is eligible.
	NoCandidate Reason = "no eligible node"
	// BarredEverywhere: the group has no owner because every eligible node bars it.
	BarredEverywhere Reason = "barred on every eligible node"
	// OnlyCandidate: every other node is ineligible or bars the group.
	OnlyCandidate Reason = "only eligible node"
	// Pulled: it is the only candidate that asks for the group.
	Pulled Reason = "being moved there"
	// LowestPenalty: every other candidate has a higher penalty for the group.
	LowestPenalty Reason = "lowest penalty"
	// KeptByPolicy: the holder keeps it against a preferred node, as preempt is off.
	KeptByPolicy Reason = "already there, and preempt is off"
	// Preferred: the first node of the group's preference list.
	Preferred Reason = "preferred node"
	// NextPreferred: the first node of the preference list that is a candidate.
	NextPreferred Reason = "next preferred node"
	// KeptByHolder: the holder keeps what no rule above moves.
	KeptByHolder Reason = "already there"
	// EvenLoad: nobody had it, and this candidate had not yet its share of the groups.
	EvenLoad Reason = "evens the load"
)

// An Assignment has one decision per group of the plan, in the plan's order.
type Assignment []Decision

// Assign says which node should have each group of p, as far as v tells.
//
// It goes over the groups twice. First it decides what does not depend on other groups:
// eligibility, penalty, preference and the present holder. Then it deals out what is left,
// in the order of keys: each group goes to the candidate with its highest rendezvous weight
// among those that have not yet got their share, so that in the end the load is even.
//
// So nodes may see each other's work in progress, which they do in any order, as one
// address falls silent after the other: whoever holds some of the groups that were dealt to
// it has so much less room for the rest, which is dealt as before. Where the candidates are
// not the same for all groups there are no such shares, and each group goes to the one that
// has the fewest; then the rest is dealt as before if each node holds the first of its own.
func Assign(p Plan, v View) Assignment {
	out := make(Assignment, len(p.Groups))
	load := make([]int, len(p.Nodes))
	free, set, mixed := 0, nodeSet(0), false
	for i := range p.Groups {
		out[i] = pin(p, v, i, v.holder(i), Pull)
		if out[i].Owner >= 0 {
			load[out[i].Owner]++
		}
		switch out[i].Reason {
		case EvenLoad:
			free++
			fallthrough
		case KeptByHolder: // also one that was dealt just now
			its, _ := candidates(v, i, Pull)
			mixed = mixed || set != 0 && its != set
			set = its
		}
	}
	if free == 0 {
		return out
	}
	var q quota
	if !mixed {
		q = share(load, set, free)
	}
	seeds := nodeSeeds(p.Nodes)
	for i := range out {
		if out[i].Reason == EvenLoad {
			set, _ := candidates(v, i, Pull)
			n := q.deal(set, load, seeds, p.Groups[i].Key.Uint64())
			out[i].Owner = n
			load[n]++
		}
	}
	return out
}

// A quota is how many groups the nodes get to which all free ones are dealt: so many in all
// have room for each that they are filled up to base, and extra of them for one more.
type quota struct{ base, extra int }

// share divides the free groups among the nodes of a set, whose load is what they have.
func share(load []int, set nodeSet, free int) quota {
	room := func(base int) (sum int) {
		for s := set; s != 0; s &= s - 1 {
			sum += max(0, base-load[s.first()])
		}
		return sum
	}
	base := free
	for s := set; s != 0; s &= s - 1 {
		base += load[s.first()]
	}
	for base /= bits.OnesCount64(uint64(set)); room(base) > free; {
		base-- // some have more than their share
	}
	return quota{base: base, extra: free - room(base)}
}

// deal picks a node of the set for the group with a key.
func (q *quota) deal(set nodeSet, load []int, seeds []uint64, key uint64) int {
	open := nodeSet(0)
	for s := set; s != 0; s &= s - 1 {
		if n := s.first(); load[n] < q.base || load[n] == q.base && q.extra > 0 {
			open |= 1 << n
		}
	}
	if open == 0 {
		open = set.least(load)
	}
	n := open.heaviest(seeds, key)
	if load[n] == q.base && q.extra > 0 {
		q.extra--
	}
	return n
}

// holder returns who has group i, or -1.
func (v View) holder(i int) int {
	if v.Holder == nil {
		return -1
	}
	return v.Holder[i]
}

// pin decides group i, which holder has, by everything but the load of other groups; a
// penalty below least counts as that. A group that the load has to decide comes back with
// EvenLoad and no owner yet.
func pin(p Plan, v View, i, holder, least int) Decision {
	set, out := candidates(v, i, least)
	switch {
	case set == 0 && out == nobody:
		return Decision{Owner: -1, Reason: NoCandidate}
	case set == 0:
		return Decision{Owner: -1, Reason: BarredEverywhere}
	case set.single() && out == unasked:
		return Decision{Owner: set.first(), Reason: Pulled}
	case set.single() && out == costly:
		return Decision{Owner: set.first(), Reason: LowestPenalty}
	case set.single():
		return Decision{Owner: set.first(), Reason: OnlyCandidate}
	}
	g := &p.Groups[i]
	if !set.has(holder) {
		holder = -1
	}
	for j, name := range g.Prefer {
		n := p.Node(name)
		switch {
		case !set.has(n):
			continue
		case holder >= 0 && holder != n && !g.Preempt:
			return Decision{Owner: holder, Reason: KeptByPolicy}
		case j > 0:
			return Decision{Owner: n, Reason: NextPreferred}
		}
		return Decision{Owner: n, Reason: Preferred}
	}
	if holder >= 0 {
		return Decision{Owner: holder, Reason: KeptByHolder}
	}
	return Decision{Owner: -1, Reason: EvenLoad}
}

// An outvoted says what a group's penalties did to the eligible nodes.
type outvoted int

const (
	nobody  outvoted = iota // no penalty took a node out
	barred                  // a node is out because it bars the group
	costly                  // a node is out because another one is cheaper
	unasked                 // a node is out because another one asks for the group
)

// candidates returns the eligible nodes with the lowest penalty for group i, and what
// took the other eligible ones out; a penalty below least counts as that.
func candidates(v View, i, least int) (nodeSet, outvoted) {
	set, out, lowest := nodeSet(0), nobody, Barred
	for n, ok := range v.Eligible {
		if !ok {
			continue
		}
		penalty := 0
		if v.Penalty != nil && v.Penalty[n] != nil {
			penalty = max(v.Penalty[n][i], least)
		}
		switch {
		case penalty >= Barred:
			out = max(out, barred)
		case penalty > lowest:
			out = costly
		case penalty == lowest:
			set |= 1 << n
		default:
			if set != 0 {
				out = costly
			}
			set, lowest = 1<<n, penalty
		}
	}
	if lowest == Pull && out == costly {
		out = unasked
	}
	return set, out
}

// A nodeSet is a set of places in the plan's Nodes.
type nodeSet uint64

// A nodeSet must have a bit for every node.
const _ = uint(64 - MaxNodes)

func (s nodeSet) has(n int) bool { return n >= 0 && s&(1<<n) != 0 }
func (s nodeSet) single() bool   { return s != 0 && s&(s-1) == 0 }
func (s nodeSet) first() int     { return bits.TrailingZeros64(uint64(s)) }

// least returns the nodes of the set that have the lowest load.
func (s nodeSet) least(load []int) (out nodeSet) {
	lowest := math.MaxInt
	for ; s != 0; s &= s - 1 {
		switch n := s.first(); {
		case load[n] < lowest:
			out, lowest = 1<<n, load[n]
		case load[n] == lowest:
			out |= 1 << n
		}
	}
	return out
}

// heaviest returns the node of the set, which must not be empty, with the highest rendezvous
// weight for the key: each group has its own order of nodes, and a node that is gone changes
// nothing between the others.
func (s nodeSet) heaviest(seeds []uint64, key uint64) int {
	best, weight := -1, uint64(0)
	for ; s != 0; s &= s - 1 {
		n := s.first()
		if w := mix(key ^ seeds[n]); best < 0 || w > weight {
			best, weight = n, w
		}
	}
	return best
}

// nodeSeeds hashes the names of the nodes by 64-bit FNV-1a. It is written out, like mix,
// because the answer must be the same in every version of vippy and Go.
func nodeSeeds(names []string) []uint64 {
	seeds := make([]uint64, len(names))
	for i, name := range names {
		h := uint64(14695981039346656037)
		for j := range len(name) {
			h = (h ^ uint64(name[j])) * 1099511628211
		}
		seeds[i] = h
	}
	return seeds
}

// mix spreads every bit of x over the whole word (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
