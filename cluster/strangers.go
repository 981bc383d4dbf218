package cluster

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A stranger is a node that our plan lacks: nothing that it says is believed. But where it
// doesn't believe this node either, and its plan has addresses of ours, neither would wait for
// the other's claim, and both would take what falls silent. So a stranger that lives, as it
// once told that it had just heard this process, is a rival as long as it doesn't believe us:
// who goes by the lower plan leaves to the other what that one may take.
type stranger struct {
	*peer
	rival bool
	since time.Time // when that last changed
}

// maxStrangers bounds how many are kept: a recording makes its sender one.
const maxStrangers = 8

// receiveUnknown takes what a node says that our plan lacks.
func (n *Node) receiveUnknown(now time.Time, what kind, e envelope, r *reader, from netip.AddrPort) Refusal {
	refusal := UnknownNode
	if i := n.departedOf(string(e.sender)); i >= 0 && what != kindAnnouncement {
		n.departed[i].follow(e)
	}
	switch what {
	case kindPlanRequest:
		n.serveStranger(now, r, from)
	case kindPlanPart:
		i := n.strangerOf(string(e.sender))
		if i < 0 || e.boot != n.strangers[i].boot || e.seq <= n.strangers[i].seq {
			break
		}
		if part, ok := r.planPart(); ok {
			n.strangers[i].seq = e.seq
			n.takePart(part)
		}
	case kindAnnouncement:
		if !r.announcement(&n.incoming) {
			return Malformed
		}
		refusal = n.receiveDeparted(now, e)
		n.noteStranger(now, e, from)
	}
	return refusal
}

func (n *Node) strangerOf(name string) int {
	return slices.IndexFunc(n.strangers, func(s *stranger) bool { return s.name == name })
}

// noteStranger keeps the newest announcement of a node that our plan lacks.
func (n *Node) noteStranger(now time.Time, e envelope, from netip.AddrPort) {
	i := n.strangerOf(string(e.sender))
	if i < 0 {
		if n.incoming.farewell || !n.roomForStranger() {
			return
		}
		i = len(n.strangers)
		n.strangers = append(n.strangers, &stranger{peer: newPeer(string(e.sender), len(n.plan.Groups), len(n.peers))})
	}
	s := n.strangers[i]
	if s.admit(e.boot, e.seq, func() bool { return n.provesFresh(now, &n.incoming) }) != "" {
		return
	}
	if e.boot != s.boot {
		s.restart(e.boot)
	}
	n.takeIn(now, s.peer, e, from)
	n.noteOutcast(now, from)
	n.judgeStranger(now, s)
	if s.rival {
		n.stale = true // what it bars decides what is left to it
		for g := range s.held.all {
			n.signs.heldInPart(g, now)
		}
	}
}

// roomForStranger says whether another one may be kept, if need be instead of one that
// nothing proves to live.
func (n *Node) roomForStranger() bool {
	if len(n.strangers) < maxStrangers {
		return true
	}
	i := slices.IndexFunc(n.strangers, func(s *stranger) bool { return !s.sure })
	if i < 0 {
		return false
	}
	n.strangers = slices.Delete(n.strangers, i, i+1)
	return true
}

// judgeStrangers finds out which of them are rivals now, and forgets who fell silent.
func (n *Node) judgeStrangers(now time.Time) {
	for _, s := range n.strangers {
		n.judgeStranger(now, s)
	}
	n.strangers = slices.DeleteFunc(n.strangers, func(s *stranger) bool { return !s.isHeard() })
}

func (n *Node) judgeStranger(now time.Time, s *stranger) {
	b := boundsOf(max(n.bounds.interval, s.ann.interval), max(n.bounds.stale, s.ann.stale))
	s.state = s.judge(now, b)
	s.sure = s.isHeard() && (s.sure || s.hears(now, b.stale))
	rival := s.sure && !s.hearsUs && (s.table == nil || s.table.meets())
	if rival != s.rival {
		s.rival, s.since = rival, now
		n.stale, n.voice.urgent = true, true
	}
}

// hears says whether a stranger, believing it or not, heard something that this process sent
// so lately.
func (s *stranger) hears(now time.Time, lately time.Duration) bool {
	return !s.notedAt.IsZero() && now.Sub(s.notedAt) <= lately || !s.ackedAt.IsZero() && now.Sub(s.ackedAt) <= lately
}

// estrange makes strangers of the peers that the new plan lacks, which may not know it yet.
func (n *Node) estrange(peers []*peer) {
	n.strangers = slices.DeleteFunc(n.strangers, func(s *stranger) bool { return n.plan.Member(s.name) >= 0 })
	for _, p := range peers {
		if p != nil && p.isHeard() && n.plan.Member(p.name) < 0 && n.roomForStranger() {
			n.strangers = append(n.strangers, &stranger{peer: p})
		}
	}
	for _, s := range n.strangers {
		s.fit(len(n.plan.Groups), len(n.peers))
	}
}

// goesFirst says whether a stranger's plan is the one that would rule if both were known to
// everybody: the higher version, of equal ones the lowest digest (Newer).
func (s *stranger) goesFirst(n *Node) bool {
	own := n.plan.Digest()
	return s.ann.version > n.plan.Version || s.ann.version == n.plan.Version && bytes.Compare(s.ann.digest[:], own[:]) < 0
}

// mayTake says whether a stranger may take an address of our group.
func (s *stranger) mayTake(g int) bool {
	if s.table == nil {
		return true
	}
	return s.eligible && slices.ContainsFunc(s.table.overlap(g), func(i int) bool {
		return !slices.ContainsFunc(s.ann.barred, func(b barred) bool { return b.penalty == vipgroup.Barred && b.groups.has(i) })
	})
}

// leftTo is the stranger to whom this node leaves a group that it doesn't hold, or nil.
func (n *Node) leftTo(g int) *stranger {
	for _, s := range n.strangers {
		if s.rival && s.goesFirst(n) && s.mayTake(g) {
			return s
		}
	}
	return nil
}

// hasRival says whether somebody may take our addresses whom nobody asks.
func (n *Node) hasRival() bool {
	return slices.ContainsFunc(n.strangers, func(s *stranger) bool { return s.rival })
}

// contestStrangers settles what a rival holds as well, as a cut between the two that healed
// leaves behind: who goes by the lower plan lets go, the other has the last word with the
// clients. To a rival that can't hear this node any more it lets go in any case, and of what
// that one claims.
func (n *Node) contestStrangers(now time.Time) {
	for _, s := range n.strangers {
		deaf := !s.hears(now, n.bounds.stale)
		if !s.rival || !s.held.meets(n.holds.wanted) && !(deaf && s.claimed.meets(n.holds.wanted)) {
			continue
		}
		for g := range n.holds.wanted.all {
			switch {
			case s.held.has(g) && (deaf || s.goesFirst(n)), deaf && s.claimed.has(g):
				n.letGo(now, g)
			case s.held.has(g):
				n.reannounceGroup(now, g)
			}
		}
	}
}

// strangerAlarms tell of two plans that will never meet by themselves.
func (n *Node) strangerAlarms() (out []Alarm) {
	for _, s := range n.strangers {
		if s.rival && s.table != nil && s.table.plan.Member(n.name) < 0 {
			out = append(out, Alarm{Name: "plan-conflict", Since: s.since, Detail: fmt.Sprintf(
				"%s goes by plan %d, which lacks %s, as plan %d lacks %s: give them one plan that has both, or stop one of them",
				short(s.name), s.ann.version, n.name, n.plan.Version, short(s.name))})
		}
	}
	return out
}
