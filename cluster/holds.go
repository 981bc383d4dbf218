package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// holds keeps what this node has. A group is wanted from the grant of a claim until it
// is given away, and mine as long as it is wanted or any of its addresses may still be
// in the kernel: that is what is announced as held.
type holds struct {
	wanted set
	mine   set
	handed set // the groups that a Ready told the caller to hold, until they are gone
	groups []hold
	list   []vipgroup.Key // the keys of wanted, for Ready
	dirty  bool           // list is out of date
}

type hold struct {
	plumbed bool // all addresses were seen in the kernel since it was wanted
	present int  // addresses in the kernel at the last look
	yielded bool // it was let go to somebody else who has it
	taken   time.Time
	given   time.Time // when it was last given up for whoever may take it
}

func newHolds(groups int) holds {
	return holds{wanted: newSet(groups), mine: newSet(groups), handed: newSet(groups), groups: make([]hold, groups), dirty: true}
}

func (h *holds) want(g int) {
	h.groups[g].plumbed, h.groups[g].yielded = false, false
	h.wanted.add(g)
	h.mine.add(g)
	h.dirty = true
}

// drop stops wanting a group. It stays mine until the kernel was seen without it, unless
// nobody was ever told to plumb it.
func (h *holds) drop(g int, yielded bool) {
	if !h.handed.has(g) && h.groups[g].present == 0 {
		h.mine.del(g)
	}
	if h.wanted.has(g) {
		h.wanted.del(g)
		h.dirty = true
	}
	h.groups[g].yielded = yielded
}

// report takes what the kernel has of a group, and says whether the group is gone now.
// A wanted group of which an address vanished is dropped: only a new claim brings it back.
func (h *holds) report(g int, r Report) (gone bool) {
	x := &h.groups[g]
	x.present = r.Present
	if h.wanted.has(g) {
		switch {
		case r.Missing == 0:
			x.plumbed = true
		case x.plumbed:
			h.drop(g, false)
		}
	}
	switch {
	case h.wanted.has(g):
		h.mine.add(g)
	case r.Present > 0:
		if !h.mine.has(g) {
			x.yielded = true // nobody granted it: what follows is no release
		}
		h.mine.add(g)
	case h.mine.has(g):
		h.mine.del(g)
		h.handed.del(g)
		x.plumbed = false
		return true
	}
	return false
}

func (h *holds) keys(p vipgroup.Plan) []vipgroup.Key {
	if h.dirty {
		h.list = make([]vipgroup.Key, 0, h.wanted.len())
		for g := range h.wanted.all {
			h.list = append(h.list, p.Groups[g].Key)
		}
		h.handed.or(h.wanted)
		h.dirty = false
	}
	return h.list
}

// contest answers an ARP announcement of an address that this node holds (RFC 5227 section
// 2.4): it lets go to a better-ranked node of the plan that it can't hear, or to one that
// can't hear it, else it announces in turn. What came before the address was taken is the
// former holder's, and an answer soon after it may be to our own question.
func (n *Node) contest(now time.Time, g int, s Sign) {
	taken := n.holds.groups[g].taken
	switch {
	case !n.holds.wanted.has(g), s.At.Before(taken), s.Kind == Echoed:
		return
	case s.Kind == Answered && s.At.Sub(taken) < n.bounds.stale:
		return
	}
	n.stats.Conflicts++
	n.rivals.note(now, s)
	i := n.plan.Node(s.Node)
	switch {
	case i >= 0 && n.peers[i] != nil:
		p := n.peers[i]
		// The rank is the address's own, which nodes with other plans compute alike.
		key := vipgroup.KeyOf([]string{s.Addr.String()})
		unheard := !p.isHeard() && n.plan.Better(key, p.name, n.name)
		if unheard || p.isHeard() && p.cannotHear(now, n.bounds.interval) {
			n.letGo(now, g)
			return
		}
	case n.life.behind:
		n.letGo(now, g) // to our twin, most likely
		return
	case n.sealedOut():
		n.letGo(now, g) // to one of those whose secret this node lacks, most likely
		return
	default:
		n.alarms.raise("contested", now, fmt.Sprintf(
			"%v is held here and announced by %s, no node of the plan: find that host at the switch, and take the address off it", s.Addr, s.who()))
	}
	n.voice.reannounce(now, s.Addr)
}

// sealedOut says whether this process has never believed anybody, while somebody speaks on the
// wire whose seal it can't open: it knows nobody's host, and has the wrong secret, most likely.
func (n *Node) sealedOut() bool {
	if !n.neverMet() {
		return false
	}
	for a := range n.accused {
		if a.refusal == BadSeal || a.refusal == UnknownKey {
			return true
		}
	}
	return false
}

// letGo gives a group up because another node has it; it is not released.
func (n *Node) letGo(now time.Time, g int) {
	if !n.holds.wanted.has(g) {
		return
	}
	n.holds.drop(g, true)
	n.signs.yielded(g, now)
	n.stale = true
}

// overslept is for a gap in which this node did nothing: what it was granted before, and has
// not seen in its kernel since, somebody else may have taken.
func (n *Node) overslept(now time.Time) {
	for g := range n.holds.wanted.all {
		if h := &n.holds.groups[g]; !h.plumbed && h.present == 0 {
			n.letGo(now, g)
		}
	}
}

// judgeHolds lets go what another node has a better right to, and gives away what
// should be elsewhere.
func (n *Node) judgeHolds(now time.Time) {
	if n.holds.wanted.empty() {
		return
	}
	if n.life.isolated {
		for g := range n.holds.wanted.all {
			n.release(now, g)
		}
		return
	}
	for g := range n.holds.wanted.all {
		if n.unable(g) || !n.majority.has && n.majority.groups.has(g) {
			n.release(now, g)
		}
	}
	for _, p := range n.peers {
		if p == nil || !p.isHeard() {
			continue
		}
		if p.held.meets(n.holds.wanted) {
			for g := range n.holds.wanted.all {
				if !p.held.has(g) {
					continue
				}
				if p.cannotHear(now, n.bounds.interval) || n.rivalFirst(p, p.ann.held, g) {
					n.letGo(now, g)
				} else {
					n.reannounceGroup(now, g)
				}
			}
		}
		if p.cannotHear(now, n.bounds.stand/2) && p.claimed.meets(n.holds.wanted) {
			for g := range n.holds.wanted.all {
				if p.claimed.has(g) {
					n.letGo(now, g)
				}
			}
		}
		if p.state == Live && len(p.ann.objections) > 0 {
			for g := range n.holds.wanted.all {
				if n.objected(p, g) {
					n.letGo(now, g)
				}
			}
		}
	}
	n.contestStrangers(now)
	n.handOver(now)
}

// handedAtOnce is how many addresses are on their way to one successor: to remove one is
// quicker than to add and announce it, so what waits its turn is better served meanwhile.
const handedAtOnce = 4

// handOver gives the groups that belong elsewhere to their successors, once everybody
// would let the successor have them. A node that stops gives up what nobody takes, and one
// that fails what is better nowhere.
func (n *Node) handOver(now time.Time) {
	var underway []int // by successor
	for g := range n.holds.wanted.all {
		to := n.owner[g]
		if to == n.self {
			continue
		}
		if to == nobody || n.peers[to] == nil || n.peers[to].state != Live {
			if n.life.leaving || to == nobody && n.betterNowhere(g) {
				n.release(now, g)
			}
			continue
		}
		if n.life.leaving && !now.Before(n.life.leaveBy) {
			n.release(now, g)
			continue
		}
		if !n.taken(n.peers[to], to, g) {
			continue
		}
		if underway == nil {
			underway = n.underway(now)
		}
		if size := len(n.plan.Groups[g].VIPs); underway[to] == 0 || underway[to]+size <= handedAtOnce {
			n.release(now, g)
			underway[to] += size
		}
	}
}

// underway counts the addresses that each peer is about to take from this node: given up here
// lately, and not yet said to be held there.
func (n *Node) underway(now time.Time) []int {
	count := make([]int, len(n.peers))
	for g, to := range n.owner {
		if to == nobody || to == n.self || n.holds.wanted.has(g) || n.peers[to] == nil || n.peers[to].held.has(g) {
			continue
		}
		s := &n.signs[g]
		h := &n.holds.groups[g]
		// What a kernel can't remove doesn't keep the others here.
		leaves := n.holds.mine.has(g) && !h.yielded && now.Sub(h.given) <= n.recent()
		left := !n.holds.mine.has(g) && s.holder == n.self && s.isFresh(now, n.recent())
		if leaves || left {
			count[to] += len(n.plan.Groups[g].VIPs)
		}
	}
	return count
}

// taken says whether a successor's claim is acknowledged by everybody else.
func (n *Node) taken(p *peer, at, g int) bool {
	begin := p.startOf(g)
	if begin == 0 || n.halves(p, at, g) {
		return false
	}
	for _, q := range n.peers {
		if q == nil || q == p || !q.isHeard() || !q.hearsUs {
			continue
		}
		if s := q.hears[at]; s.boot != p.boot || s.seq < begin || n.objectedTo(q, p, g) {
			return false
		}
	}
	return true
}

// halves says whether a successor with another plan would take something else than our group:
// it claims it together with addresses that stay here, or that a third has; or it claims a
// part, and nobody the rest, which is served as long as this node is fit to.
func (n *Node) halves(p *peer, at, g int) bool {
	if p.table.same {
		return false
	}
	fit := n.life.eligible && !n.barredHere(g)
	if fit && !p.table.whole[g] {
		return true
	}
	for _, i := range p.table.overlap(g) {
		if !p.claims(i) {
			if fit && !n.claimedBy(p.table, i) {
				return true
			}
			continue
		}
		if slices.ContainsFunc(p.table.mine[i], func(j int) bool {
			return n.holds.mine.has(j) && n.owner[j] != at ||
				slices.ContainsFunc(n.peers, func(q *peer) bool { return q != nil && q != p && q.isHeard() && q.held.has(j) })
		}) {
			return true
		}
	}
	return false
}

// claimedBy says whether a live node that goes by a plan claims its group in that place.
func (n *Node) claimedBy(t *table, place int) bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool {
		return p != nil && p.state == Live && p.table == t && p.claims(place)
	})
}

// release gives a group up for whoever may take it.
func (n *Node) release(now time.Time, g int) {
	n.holds.drop(g, false)
	n.holds.groups[g].given = now
	n.noteGone(now, g)
}

// noteGone is for a group that may have been ours and is no longer, whoever removed it:
// it counts as released, but for one that was let go to somebody else.
func (n *Node) noteGone(now time.Time, g int) {
	if n.holds.mine.has(g) {
		return
	}
	n.voice.urgent, n.stale = true, true
	if n.holds.groups[g].yielded {
		n.signs.yielded(g, now)
		return
	}
	n.signs.held(g, n.self, n.boot, now)
	n.signs[g].freed, n.signs[g].fresh = now, true
	n.voice.freed = true
}
