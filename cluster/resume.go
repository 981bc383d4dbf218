package cluster

import (
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Snapshot is what one process of a node hands to the next for that to go on under the
// same boot id, as if nothing had happened (Resume). It holds what this node has promised
// others and what they have proved to it. What it knew of free addresses is left out: no
// process that didn't listen for a moment may go on believing that, so claims begin anew.
//
// Moments are told as Ago, since clocks of two processes have nothing in common.
type Snapshot struct {
	Boot uint64
	// Seq is the last sequence that was used; Adopted the first with the ruling plan.
	Seq, Adopted uint64
	Clock        uint64 // of first sightings of claims
	Born         Ago
	SpeakAt      Ago
	Spoke        Ago
	Said         []SentAgo // announcements that may yet be acknowledged
	Life         LifeSnapshot
	Groups       []GroupSnapshot
	Peers        []PeerSnapshot
	Departed     []TrailSnapshot
	// Plans are the plans that peers go by, other than our own, as they travel.
	Plans [][]byte
}

// Ago is how long before the Snapshot something was; negative: how long after.
type Ago time.Duration

// never is the Ago of the zero time.
const never = Ago(-1 << 63)

// SentAgo is when the announcement with a sequence was sent.
type SentAgo struct {
	Seq uint64
	Ago Ago
}

// LifeSnapshot is this node's own fitness.
type LifeSnapshot struct {
	Since                   Ago // the beginning of the listening that makes it mature
	Frame                   Ago // when something last arrived
	Young, Mature, Isolated bool
	Answered                Ago // by a witness
	Hearing, Eligible       bool
	EligibleSince           Ago
}

// GroupSnapshot is a group of the ruling plan.
type GroupSnapshot struct {
	Key vipgroup.Key
	// The flags are those of a hold.
	Mine, Wanted, Plumbed, Yielded bool
	// Had is who held it last, "" for nobody, and Since when that began.
	Had    string
	Since  Ago
	Taken  Ago  // by this node
	Healed Ago  // when a vote that barred it was last lifted
	Known  bool // a live peer was heard to hold it since this node's start
	// Pull is until when this node asks for it.
	Pull Ago
}

// PeerSnapshot is what is known of a peer that was ever heard.
type PeerSnapshot struct {
	Node                 string
	Boot, Top, Seq, Said uint64
	Over                 [maxOver]uint64 // as in TrailSnapshot
	Last                 Ago
	From                 netip.AddrPort
	// Announcement is the body of its newest one.
	Announcement    []byte
	Starts          []StartSnapshot
	Acked           uint64
	AckedAt         Ago
	ToldAt          Ago
	State           PeerState
	Since, Back     Ago // of the state, and of being heard without an absence
	Planned         Ago
	Asks            bool
	Unreached, Sure bool
	LastCopy        uint64
	// Obeyed is its last order that was answered.
	Obeyed uint64
}

// TrailSnapshot is how far a node was believed before it left the plan, to which it may have
// returned without a word so far.
type TrailSnapshot struct {
	Node           string
	Boot, Top, Seq uint64
	Farewell       bool
	// Over are the last boots that took their leave before this one.
	Over [maxOver]uint64
}

func trailSnapshot(name string, t trail) TrailSnapshot {
	return TrailSnapshot{Node: name, Boot: t.boot, Top: t.top, Seq: t.seq, Farewell: t.farewell, Over: t.over}
}

// StartSnapshot orders a peer's claim among those of others.
type StartSnapshot struct{ Begin, Stamp uint64 }

// Snapshot returns all that Resume needs. A node that says anything afterwards must not
// be resumed from it.
func (n *Node) Snapshot(now time.Time) Snapshot {
	ago := func(t time.Time) Ago {
		if t.IsZero() {
			return never
		}
		return Ago(now.Sub(t))
	}
	l := &n.life
	s := Snapshot{
		Boot: n.boot, Seq: n.voice.seq, Adopted: n.adopted, Clock: n.clock,
		Born: ago(n.born), SpeakAt: ago(n.voice.speakAt), Spoke: ago(n.voice.last),
		Life: LifeSnapshot{
			Since: ago(l.since), Frame: ago(l.frame), Young: l.young, Mature: l.mature, Isolated: l.isolated, Answered: ago(l.answered),
			Hearing: l.hearing, Eligible: l.eligible, EligibleSince: ago(l.eligibleAt),
		},
	}
	for _, x := range n.voice.log {
		if x.seq != 0 {
			s.Said = append(s.Said, SentAgo{x.seq, ago(x.at)})
		}
	}
	members := n.plan.Members()
	for i, g := range n.plan.Groups {
		h := n.holds.groups[i]
		x := GroupSnapshot{Key: g.Key, Mine: n.holds.mine.has(i), Wanted: n.holds.wanted.has(i), Plumbed: h.plumbed, Yielded: h.yielded,
			Since: ago(n.since[i]), Healed: ago(l.healed[g.Key]), Known: n.majority.known.has(i), Taken: ago(h.taken),
			Pull: ago(n.life.pulls[i])}
		if n.had[i] != nobody {
			x.Had = members[n.had[i]]
		}
		s.Groups = append(s.Groups, x)
	}
	for _, p := range n.peers {
		if p == nil || p.boot == 0 {
			continue
		}
		if p.last.IsZero() {
			s.Departed = append(s.Departed, trailSnapshot(p.name, p.trail))
			continue
		}
		a := p.ann
		a.cluster, a.sender = n.cluster, p.name
		x := PeerSnapshot{
			Node: p.name, Boot: p.boot, Top: p.top, Seq: p.seq, Over: p.over, Said: p.said, Last: ago(p.last), From: p.from,
			Announcement: a.append(nil), Acked: p.acked, AckedAt: ago(p.ackedAt), ToldAt: ago(p.toldAt), State: p.state,
			Since: ago(p.since), Back: ago(p.back), Planned: ago(p.planned), Asks: p.asks, Unreached: p.unreached, Sure: p.sure, LastCopy: p.lastCopy, Obeyed: p.obeyed.last,
		}
		for _, b := range p.starts {
			x.Starts = append(x.Starts, StartSnapshot{b.begin, b.stamp})
		}
		s.Peers = append(s.Peers, x)
	}
	for _, d := range n.departed {
		s.Departed = append(s.Departed, trailSnapshot(d.name, d.trail))
	}
	for _, t := range n.plans.tables {
		if !t.same {
			s.Plans = append(s.Plans, t.plan.Share())
		}
	}
	return s
}

// Resume returns the node that made a Snapshot, in another process, so long after it:
// with its boot id, and a sequence that goes on. o.Plan must be the plan that ruled; what
// another process or the caller knows of health is voted anew, and an order to drain is given anew. The caller goes on to
// report what the kernel has: what is not there any more is lost here too.
func Resume(now time.Time, after time.Duration, o Options, s Snapshot) *Node {
	at := func(a Ago) time.Time {
		if a == never {
			return time.Time{}
		}
		return now.Add(-after - time.Duration(a))
	}
	o.Boot = s.Boot
	n := New(now, o)
	n.adopted, n.clock, n.born = s.Adopted, s.Clock, at(s.Born)
	n.voice.seq, n.voice.speakAt, n.voice.last, n.voice.urgent = s.Seq, at(s.SpeakAt), at(s.Spoke), true
	for _, x := range s.Said {
		n.voice.log[x.Seq%uint64(len(n.voice.log))] = sent{x.Seq, at(x.Ago)}
	}
	n.resumeLife(s.Life, at)
	n.life.frame = at(s.Life.Frame).Add(after)
	n.resumeGroups(s.Groups, at)
	for _, encoding := range s.Plans {
		if p, err := vipgroup.Shared(encoding); err == nil && p.Digest() != o.Plan.Digest() {
			n.plans.learn(p)
		}
	}
	for _, x := range s.Peers {
		n.life.met = true
		if i := n.plan.Member(x.Node); i >= 0 && n.peers[i] != nil {
			n.peers[i].resume(x, at)
			n.peers[i].last = n.peers[i].last.Add(after) // nobody listened meanwhile
			if after > 2*n.bounds.interval {
				n.peers[i].back = now // our own pause is no proof that they can't hear us
			}
		}
	}
	for _, x := range s.Departed {
		t := trail{boot: x.Boot, top: x.Top, seq: x.Seq, farewell: x.Farewell, over: x.Over}
		if i := n.plan.Member(x.Node); i < 0 {
			n.departed = append(n.departed, departed{name: x.Node, trail: t})
		} else if n.peers[i] != nil {
			n.peers[i].trail = t
		}
	}
	n.digestChanged()
	n.judgeBounds(now)
	if after <= 2*n.bounds.interval {
		n.resumeSigns(now)
	} else {
		n.overslept(now)
	}
	return n
}

// resumeLife restores fitness.
func (n *Node) resumeLife(s LifeSnapshot, at func(Ago) time.Time) {
	l := &n.life
	l.since, l.young, l.mature, l.isolated = at(s.Since), s.Young, s.Mature, s.Isolated
	l.answered, l.hearing = at(s.Answered), s.Hearing
	l.eligible, l.eligibleAt = s.Eligible, at(s.EligibleSince)
}

// resumeGroups restores what is held: all of it was handed to the caller, and stays mine
// until the kernel was seen without it.
func (n *Node) resumeGroups(groups []GroupSnapshot, at func(Ago) time.Time) {
	for _, x := range groups {
		i := n.plan.Group(x.Key)
		if i < 0 {
			continue
		}
		n.had[i], n.since[i] = n.plan.Member(x.Had), at(x.Since)
		if x.Known {
			n.majority.known.add(i)
		}
		if healed := at(x.Healed); !healed.IsZero() {
			n.life.healed[x.Key] = healed
		}
		if until := at(x.Pull); !until.IsZero() {
			n.life.pulls[i] = until
		}
		if !x.Mine {
			continue
		}
		n.holds.mine.add(i)
		n.holds.handed.add(i)
		n.holds.groups[i] = hold{plumbed: x.Plumbed, yielded: x.Yielded, taken: at(x.Taken)}
		if x.Wanted {
			n.holds.wanted.add(i)
		}
	}
	n.holds.dirty = true
}

// resumeSigns notes whom the peers' newest announcements make holders, for their releases
// to be believed. Whatever was silent starts being so now.
func (n *Node) resumeSigns(now time.Time) {
	for i, p := range n.peers {
		if p == nil || p.table == nil || p.farewell || p.last.IsZero() {
			continue
		}
		for g := range p.held.all {
			if p.table.covers(g, p.ann.held) {
				n.signs.held(g, i, p.boot, p.last)
				n.signs[g].begin(now)
			}
		}
	}
}

func (p *peer) resume(x PeerSnapshot, at func(Ago) time.Time) {
	r := reader{b: x.Announcement}
	r.envelope()
	if !r.announcement(&p.ann) {
		p.ann = announcement{} // it speaks again within an interval
		return
	}
	p.boot, p.top, p.seq, p.over, p.said, p.last, p.from = x.Boot, x.Top, x.Seq, x.Over, x.Said, at(x.Last), x.From
	p.ann.boot, p.ann.seq, p.farewell = x.Boot, x.Said, p.ann.farewell
	for _, b := range x.Starts {
		p.starts = append(p.starts, start{b.Begin, b.Stamp})
	}
	p.acked, p.ackedAt, p.toldAt = x.Acked, at(x.AckedAt), at(x.ToldAt)
	p.state, p.since, p.back, p.planned, p.asks = x.State, at(x.Since), at(x.Back), at(x.Planned), x.Asks
	if p.state == Absent {
		p.lost = p.boot
	}
	p.strange = p.planned // its former plan is not told of
	p.unreached, p.lastCopy, p.sure, p.proved, p.obeyed.last = x.Unreached, x.LastCopy, x.Sure, x.Sure, x.Obeyed
}
