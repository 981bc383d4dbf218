package plugin

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/vippy-ha/vippy/internal/child"
	"github.com/vippy-ha/vippy/vipgroup"
)

// maxSubjects bounds how many groups one plugin may talk about: more than there are,
// for a group has several names.
const maxSubjects = 4 * vipgroup.MaxGroups

// A box holds the votes that stand, and knows which of them the daemon is yet to hear.
type box struct {
	mu     sync.Mutex
	voters map[*host]*voter
	said   map[subject]Vote // what stands, to the daemon's knowledge or in the queue
	queue  []subject        // what is yet to be heard, each once, the oldest first
	queued map[subject]bool
	// offered was the head of the queue, and nobody has received it yet.
	offered subject
	signal  chan struct{} // holds a token when the queue changed
	// left is what plugins said in another process, until those of the same names are added.
	left []Ballot
}

// A subject is what a vote is about: a later vote on it replaces an earlier one.
type subject struct{ source, group string }

// A voter is what a plugin thinks.
type voter struct {
	// open is set while the plugin runs: what it left behind has no voice.
	open  bool
	votes map[string]Vote // by group
	// inherited says that votes are those of the plugin that this one replaced.
	inherited bool
	// ended has the votes that the plugin's end stands for, by group: they stand where they
	// are worse than what the plugin thought of the same.
	ended map[string]Vote
	// full is set once maxSubjects was reached, and that was logged.
	full bool
}

func newBox() *box {
	return &box{
		voters: map[*host]*voter{},
		said:   map[subject]Vote{},
		queued: map[subject]bool{},
		signal: make(chan struct{}, 1),
	}
}

// add makes room for a plugin, which has no voice yet.
func (b *box) add(h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := &voter{votes: map[string]Vote{}}
	for _, l := range b.left {
		switch {
		case l.Source != h.source:
		case l.Ended:
			if v.ended == nil {
				v.ended = map[string]Vote{}
			}
			v.ended[l.Vote.Group] = l.Vote
		default:
			v.votes[l.Vote.Group], v.inherited = l.Vote, true
		}
	}
	b.left = slices.DeleteFunc(b.left, func(l Ballot) bool { return l.Source == h.source })
	b.voters[h] = v
}

// inherit makes votes stand whose plugins are yet to be added.
func (b *box) inherit(votes []Ballot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = slices.Clone(votes)
	for _, v := range votes {
		b.said[subject{v.Source, v.Vote.Group}] = v.Vote
	}
}

// replace hands an old plugin's votes on to a new one and takes the old one's voice.
func (b *box) replace(old, h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.voters[old]
	delete(b.voters, old)
	b.voters[h] = &voter{votes: v.votes, inherited: true, ended: v.ended}
}

// remove withdraws a plugin's votes and takes its voice.
func (b *box) remove(h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.voters, h)
	var groups []string
	for s := range b.said {
		if s.source == h.source {
			groups = append(groups, s.group)
		}
	}
	slices.Sort(groups)
	for _, group := range groups {
		b.withdraw(subject{h.source, group})
	}
}

// open gives a plugin its voice.
func (b *box) open(h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.voters[h]; v != nil {
		v.open = true
	}
}

// end takes a plugin's voice and makes votes of its end.
func (b *box) end(h *host, votes []Vote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.voters[h]
	if v == nil {
		return
	}
	v.open = false
	b.forgive(h, v)
	v.ended = map[string]Vote{}
	for _, n := range votes {
		n.Reason = child.Line([]byte(n.Reason))
		v.ended[n.Group] = n
		b.say(subject{h.source, n.Group}, v.on(n.Group))
	}
}

// on is what stands of a plugin on one thing.
func (v *voter) on(group string) Vote {
	vote, ended := v.votes[group], v.ended[group]
	if ended.Bar || !vote.Bar && ended.Penalty > vote.Penalty {
		return ended
	}
	vote.Group = group // where there is none
	return vote
}

// settle forgives a plugin that runs again its earlier end.
func (b *box) settle(h *host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.voters[h]; v != nil {
		b.forgive(h, v)
	}
}

// forgive makes stand again what the plugin said before its end.
func (b *box) forgive(h *host, v *voter) {
	groups := slices.Sorted(maps.Keys(v.ended))
	v.ended = nil
	for _, group := range groups {
		if vote, ok := v.votes[group]; ok {
			b.say(subject{h.source, group}, vote)
		} else {
			b.withdraw(subject{h.source, group})
		}
	}
}

// vote takes what a plugin thinks.
func (b *box) vote(h *host, votes []Vote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.voters[h]
	if v == nil || !v.open || len(votes) == 0 {
		return
	}
	if v.inherited {
		v.inherited = false
		// Withdraw before voting: an old and a new word may mean the same group.
		for _, group := range slices.Sorted(maps.Keys(v.votes)) {
			if !slices.ContainsFunc(votes, func(n Vote) bool { return n.Group == group }) {
				delete(v.votes, group)
				if _, ended := v.ended[group]; !ended { // else forgive does
					b.withdraw(subject{h.source, group})
				}
			}
		}
	}
	for _, n := range votes {
		n.Penalty = max(n.Penalty, 0)
		n.Reason = child.Line([]byte(n.Reason)) // it goes into logs and packets
		if _, known := v.votes[n.Group]; !known && len(v.votes) >= maxSubjects {
			if !v.full {
				h.log.Warn("plugin votes on too many groups: the rest is ignored", "group", n.Group, "max", maxSubjects)
			}
			v.full = true
			continue
		}
		v.votes[n.Group] = n
		delete(v.ended, n.Group)
		b.say(subject{h.source, n.Group}, n)
	}
	b.forgive(h, v)
}

// standing are a plugin's votes that say something, by group.
func (v *voter) standing() (out []Vote) {
	all := maps.Clone(v.votes)
	maps.Copy(all, v.ended)
	for _, group := range slices.Sorted(maps.Keys(all)) {
		if vote := v.on(group); !vote.Healthy() {
			out = append(out, vote)
		}
	}
	return out
}

// standing are the votes of one plugin that say something, and whether it voted at all.
func (b *box) standing(h *host) (votes []Vote, voted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.voters[h]
	if v == nil {
		return nil, false
	}
	return v.standing(), len(v.votes)+len(v.ended) > 0
}

// say queues a vote for the daemon, if it is news.
func (b *box) say(s subject, v Vote) {
	if last, ok := b.said[s]; ok && last == v {
		return
	}
	b.said[s] = v
	b.enqueue(s)
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// withdraw takes back a vote that doesn't stand any more.
func (b *box) withdraw(s subject) {
	if last, ok := b.said[s]; ok && !last.Healthy() {
		b.say(s, Vote{Group: s.group})
	} else if !b.queued[s] && b.offered != s {
		delete(b.said, s)
	}
}

// deliver hands the queue over, one vote at a time, until ctx is cancelled.
func (b *box) deliver(ctx context.Context, out chan<- Ballot) {
	for {
		next, ok := b.next()
		to := out
		if !ok {
			to = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-b.signal: // there may be a newer vote on the same subject
			b.putBack()
		case to <- next:
			b.heard()
		}
	}
}

// next takes the head off the queue. If the plugin thinks better of it meanwhile, that goes to
// the end: behind what was said before, and so that one that floods doesn't keep the others
// waiting.
func (b *box) next() (Ballot, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return Ballot{}, false
	}
	s := b.queue[0]
	b.queue = b.queue[1:]
	delete(b.queued, s)
	b.offered = s
	return Ballot{Source: s.source, Vote: b.said[s], Ended: b.ofAnEnd(s)}, true
}

// ofAnEnd says whether what was said on s is what a plugin's end stands for.
func (b *box) ofAnEnd(s subject) bool {
	for h, v := range b.voters {
		if h.source == s.source {
			vote, ended := v.ended[s.group]
			return ended && vote == b.said[s]
		}
	}
	return false
}

// putBack makes the head of the queue again what was offered and nobody has received.
func (b *box) putBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.offered; s.source != "" && !b.queued[s] {
		b.queued[s] = true
		b.queue = slices.Insert(b.queue, 0, s)
	}
	b.offered = subject{}
}

// heard forgets what the daemon has received, if nobody votes on it any more.
func (b *box) heard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.offered; !b.queued[s] && !b.stands(s) {
		delete(b.said, s)
	}
	b.offered = subject{}
}

func (b *box) enqueue(s subject) {
	if !b.queued[s] {
		b.queued[s] = true
		b.queue = append(b.queue, s)
	}
}

// stands says whether a plugin has a vote on s.
func (b *box) stands(s subject) bool {
	for h, v := range b.voters {
		if h.source == s.source {
			_, voted := v.votes[s.group]
			_, ended := v.ended[s.group]
			return voted || ended
		}
	}
	return false
}
