package cluster

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

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
}

// plans knows the plan of every peer that is heard, and fetches those it lacks.
type plans struct {
	own    vipgroup.Plan
	tables map[vipgroup.Digest]*table
	fetch  fetch
}

// fetch is the one transfer under way.
type fetch struct {
	digest vipgroup.Digest
	from   int // the peer asked
	data   []byte
	total  int
	asked  time.Time
	broken map[vipgroup.Digest]bool // arrived whole and made no sense
}

func (p *plans) adopt(own vipgroup.Plan) {
	old := p.tables
	p.own, p.fetch = own, fetch{broken: p.fetch.broken}
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
	p.tables[other.Digest()] = t
	return t
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

// overlap returns the groups of the table's plan that share an address with our group.
func (t *table) overlap(group int) []int {
	if t.same {
		return []int{group}
	}
	return t.their[group]
}

// The messages by which a plan travels: a request names the digest and how much is
// there already, a part answers with the next bytes of the encoding.
const (
	partSize    = 1000
	maxPlanSize = 1 << 20
)

// planRequest asks for more of a plan.
type planRequest struct {
	digest vipgroup.Digest
	offset int
}

// appendPlanRequest writes a request.
func (r planRequest) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, r.digest[:]...), uint64(r.offset))
}

func (r *reader) planRequest() (q planRequest, ok bool) {
	copy(q.digest[:], r.take(len(q.digest)))
	at := r.uvarint()
	q.offset = int(min(at, maxPlanSize))
	return q, !r.bad && len(r.b) == 0
}

// planPart carries some of a plan's encoding.
type planPart struct {
	digest        vipgroup.Digest
	total, offset int
	data          []byte
}

func (p planPart) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, p.digest[:]...), uint64(p.total))
	return append(binary.AppendUvarint(b, uint64(p.offset)), p.data...)
}

func (r *reader) planPart() (p planPart, ok bool) {
	copy(p.digest[:], r.take(len(p.digest)))
	total, offset := r.uvarint(), r.uvarint()
	p.data = r.b
	ok = !r.bad && total <= maxPlanSize && offset <= total && uint64(len(p.data)) <= total-offset
	p.total, p.offset = int(total), int(offset)
	return p, ok
}

// servePlan answers a request for our own plan.
func (n *Node) servePlan(q planRequest, to netip.AddrPort) {
	data := n.encoded
	if q.digest != n.plan.Digest() || q.offset >= len(data) || len(n.direct) >= maxDirect {
		return
	}
	part := planPart{digest: q.digest, total: len(data), offset: q.offset,
		data: data[q.offset:min(len(data), q.offset+partSize)]}
	n.direct = append(n.direct, Datagram{To: to, Data: n.sealed(kindPlanPart, part.append)})
}

// maxDirect bounds the answers of one turn.
const maxDirect = 8

// takePart adds a part to the transfer under way; a whole plan is checked and learnt.
func (n *Node) takePart(now time.Time, p planPart) {
	f := &n.plans.fetch
	if p.digest != f.digest || p.offset != len(f.data) {
		return
	}
	f.data, f.total, f.asked = append(f.data, p.data...), p.total, time.Time{}
	if len(f.data) < f.total {
		return
	}
	plan, err := vipgroup.Decode(f.data)
	f.data = nil
	if err != nil || plan.Digest() != f.digest {
		if f.broken == nil {
			f.broken = map[vipgroup.Digest]bool{}
		}
		f.broken[f.digest] = true
		return
	}
	n.plans.learn(plan)
	n.digestChanged()
	f.digest = vipgroup.Digest{}
}

// fetchPlans asks the heard peers in turn for a plan that is not known here, and returns
// when to ask again.
func (n *Node) fetchPlans(now time.Time) (wake time.Time) {
	f := &n.plans.fetch
	var ask []int // who has a plan that is not known here
	for i, p := range n.peers {
		if p != nil && p.isHeard() && p.table == nil && !f.broken[p.ann.digest] && p.from.IsValid() {
			ask = append(ask, i)
		}
	}
	if len(ask) == 0 {
		return wake
	}
	of := func(i int) vipgroup.Digest { return n.peers[i].ann.digest }
	if !slices.ContainsFunc(ask, func(i int) bool { return of(i) == f.digest }) {
		*f = fetch{digest: of(ask[0]), broken: f.broken, from: nobody}
	}
	pause := n.timing.Interval / 4
	if now.Sub(f.asked) >= pause {
		// The next one that has it: the last may not have heard the question.
		ask = slices.DeleteFunc(ask, func(i int) bool { return of(i) != f.digest })
		next := ask[0]
		if f.asked.IsZero() && slices.Contains(ask, f.from) {
			next = f.from
		} else if i := slices.IndexFunc(ask, func(i int) bool { return i > f.from }); i >= 0 {
			next = ask[i]
		}
		f.from, f.asked = next, now
		q := planRequest{digest: f.digest, offset: len(f.data)}
		n.direct = append(n.direct, Datagram{To: n.peers[next].from, Data: n.sealed(kindPlanRequest, q.append)})
	}
	return f.asked.Add(pause)
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
