package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A table is a plan that some node announces, with the way from its groups to those of
// our own plan. Nodes with different plans compare addresses: two groups meet where
// they share one.
type table struct {
	plan  vipgroup.Plan
	same  bool    // it is our own plan: places are equal
	mine  [][]int // for each of its groups, ours that share an address
	their [][]int // for each of ours, its groups that share an address
	whole []bool  // for each of ours: all its addresses are in groups of theirs
	// strange: it has a node that is none of ours, so whoever goes by it may give up an
	// address for one that isn't believed here.
	strange bool
	// conflict says in what it differs from our own plan of the same version, "" for others.
	conflict string
}

// plans knows the plan of every peer that is heard, and fetches those it lacks.
type plans struct {
	own    vipgroup.Plan
	tables map[vipgroup.Digest]*table
	fetch  fetch
}

func (p *plans) adopt(own vipgroup.Plan) {
	old := p.tables
	p.own, p.fetch = own, fetch{refused: p.fetch.refused}
	p.tables = map[vipgroup.Digest]*table{own.Digest(): {plan: own, same: true}}
	for d, t := range old {
		if d != own.Digest() {
			p.learn(t.plan)
		}
	}
}

// learn adds a plan that peers use.
func (p *plans) learn(other vipgroup.Plan) *table {
	at := map[string]int{}
	for i, g := range p.own.Groups {
		for _, r := range g.Resources() {
			at[r] = i
		}
	}
	t := &table{plan: other, mine: make([][]int, len(other.Groups)), their: make([][]int, len(p.own.Groups)),
		whole: make([]bool, len(p.own.Groups))}
	for i, g := range other.Groups {
		for _, r := range g.Resources() {
			j, ok := at[r]
			if !ok || (len(t.mine[i]) > 0 && t.mine[i][len(t.mine[i])-1] == j) {
				continue
			}
			t.mine[i] = append(t.mine[i], j)
			t.their[j] = append(t.their[j], i)
		}
	}
	for j, g := range p.own.Groups {
		t.whole[j] = !slices.ContainsFunc(g.Resources(), func(r string) bool { return other.Owns(r) < 0 })
	}
	t.strange = lacks(p.own, other)
	if other.Version == p.own.Version {
		t.conflict = conflict(p.own, other)
	}
	p.tables[other.Digest()] = t
	return t
}

// lacks says whether a plan lacks a node of another one.
func lacks(p, other vipgroup.Plan) bool {
	return slices.ContainsFunc(other.Nodes, func(name string) bool { return p.Node(name) < 0 })
}

// conflict says in what two plans of one version differ: one line, and how many more.
func conflict(own, other vipgroup.Plan) string {
	changes := vipgroup.Differ(own, other)
	if len(changes) == 0 {
		return ""
	}
	c := changes[0]
	said := func(text string) string {
		if text == "" {
			return "nothing"
		}
		return strconv.Quote(short(text))
	}
	out := fmt.Sprintf("of %s it says %s and this node %s", short(c.Subject), said(c.Is), said(c.Was))
	if more := len(changes) - 1; more > 0 {
		out += fmt.Sprintf(" (and %d more: vippyctl plan diff)", more)
	}
	return out
}

// short cuts what others chose the length of.
func short(text string) string {
	const most = 120
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// Newer returns the plan with the highest version of those that peers announce and that are
// known here, if it is above that of the plan that rules or comes into force; From is a peer
// that has it. Of equal versions it is the one with the lowest digest, so that nodes that hear
// the same choose the same. The caller checks that it suits this host, keeps it, and adopts it.
func (n *Node) Newer() (p vipgroup.Plan, from string, ok bool) {
	p = n.plan
	if n.next != nil {
		p = *n.next
	}
	for _, peer := range n.peers {
		if peer == nil || !peer.isHeard() || peer.table == nil {
			continue
		}
		if other := peer.table.plan; other.Version > p.Version || ok && other.Version == p.Version && lower(other, p) {
			p, from, ok = other, peer.name, true
		}
	}
	return p, from, ok
}

// forget drops the plans that nobody uses any more.
func (p *plans) forget(used func(vipgroup.Digest) bool) {
	for d, t := range p.tables {
		if !t.same && !used(d) {
			delete(p.tables, d)
		}
	}
}

// translate makes dst, in places of our plan, of theirs.
func (t *table) translate(dst, theirs set, all set) {
	if t.same {
		dst.copyFrom(theirs)
		for i := range dst {
			dst[i] &= all[i]
		}
		return
	}
	dst.clear()
	for i := range theirs.all {
		if i >= len(t.mine) {
			return
		}
		for _, j := range t.mine[i] {
			dst.add(j)
		}
	}
}

// covers says whether whoever holds these groups of the table's plan has every address of
// our group.
func (t *table) covers(group int, theirs set) bool {
	if t.same {
		return theirs.has(group)
	}
	return t.whole[group] && !slices.ContainsFunc(t.their[group], func(i int) bool { return !theirs.has(i) })
}

// meets says whether the table's plan has any address of our plan.
func (t *table) meets() bool {
	return t.same || slices.ContainsFunc(t.their, func(theirs []int) bool { return len(theirs) > 0 })
}

// overlap returns the groups of the table's plan that share an address with our group.
func (t *table) overlap(group int) []int {
	if t.same {
		return []int{group}
	}
	return t.their[group]
}

// unknownTo says in whose plan this node is missing, "" for nobody's. Who doesn't know this
// node can't object to what it claims, be it for a third that holds it.
func (n *Node) unknownTo() string {
	for _, p := range n.peers {
		if p != nil && p.isHeard() && p.table != nil && p.table.plan.Member(n.name) < 0 {
			return fmt.Sprintf("not in plan %d, which %s goes by", p.table.plan.Version, p.name)
		}
	}
	return ""
}

// rivalFirst says whether, where our group and a peer's groups in its set share an
// address, the peer has the better rank for one of them. The plan of the lower version
// gives the rank (of equal versions the lower digest), so that both sides agree.
func (n *Node) rivalFirst(p *peer, theirs set, group int) bool {
	own := n.plan.Groups[group].Key
	if p.table == nil {
		return true
	}
	if p.table.same {
		return n.plan.Better(own, p.name, n.name)
	}
	if lower(n.plan, p.table.plan) {
		return n.plan.Better(own, p.name, n.name)
	}
	for _, i := range p.table.overlap(group) {
		if theirs.has(i) && p.table.plan.Better(p.table.plan.Groups[i].Key, p.name, n.name) {
			return true
		}
	}
	return false
}

func lower(a, b vipgroup.Plan) bool {
	if a.Version != b.Version {
		return a.Version < b.Version
	}
	da, db := a.Digest(), b.Digest()
	return string(da[:]) < string(db[:])
}
