package daemon

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// voter is what ballots tell; it is the core.
type voter interface {
	Vote(now time.Time, v cluster.Vote)
}

// ballots keeps the votes that stand, the daemon's own and those of plugins, so that a
// core that starts over, or a new plan, hears them again.
type ballots struct {
	own     map[voteID]cluster.Vote
	plugins map[pluginVoteID]plugin.Ballot
	// relapses are what plugins find sick and well in turn.
	relapses map[pluginVoteID]*relapse
	// strict says that plugins would rather see nobody serve than a node that fails
	// (when_all_fail: drop).
	strict bool
	// refused are the groups that the kernel refuses, with when to try them again.
	refused map[vipgroup.Key]*refused
	// repairs are the groups whose addresses somebody deleted.
	repairs map[vipgroup.Key]*repairs
}

type voteID struct {
	source string
	group  vipgroup.Key
}

// pluginVoteID names a plugin's vote by the word that it used for the group.
type pluginVoteID struct{ source, group string }

type refused struct {
	until time.Time
	pause time.Duration
	// barred: the vote stands.
	barred bool
}

// The pauses before a group that the kernel refused is tried again: doubled each time,
// and back at the first after a long success.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// The sources of the daemon's own votes.
const (
	sourceKernel = "netplumb"
	sourceLink   = "link"
)

func newBallots() *ballots {
	return &ballots{
		own:     map[voteID]cluster.Vote{},
		plugins: map[pluginVoteID]plugin.Ballot{},
		refused: map[vipgroup.Key]*refused{},

		relapses: map[pluginVoteID]*relapse{},
		repairs:  map[vipgroup.Key]*repairs{},
	}
}

// bar casts the daemon's own vote against a group; an empty reason withdraws it.
func (b *ballots) bar(now time.Time, core voter, source string, key vipgroup.Key, reason string) {
	id := voteID{source, key}
	before, stands := b.own[id]
	if !stands && reason == "" || stands && before.Reason == reason {
		return
	}
	// On a dead link a holder serves nobody, and would be a second owner once the others
	// have waited long enough.
	v := cluster.Vote{Source: source, Group: &key, Bar: reason != "", Unable: source == sourceLink, Reason: reason}
	if v.Bar {
		b.own[id] = v
	} else {
		delete(b.own, id)
	}
	core.Vote(now, v)
}

// pluginVote takes a plugin's vote. One on a group that the plan doesn't have waits for
// a plan that does.
func (b *ballots) pluginVote(now time.Time, core voter, plan vipgroup.Plan, ballot plugin.Ballot) {
	id := pluginVoteID{ballot.Source, ballot.Vote.Group}
	_, sick := b.plugins[id]
	r := b.relapses[id]
	switch well := ballot.Vote.Healthy(); {
	case well && sick && b.doubt(now, ballot):
		ballot = b.plugins[id] // with another reason
	case !well && (!sick || r != nil && r.held != nil):
		b.fell(now, id)
	}
	b.cast(now, core, plan, ballot)
}

// cast makes a plugin's vote stand, or withdraws it.
func (b *ballots) cast(now time.Time, core voter, plan vipgroup.Plan, ballot plugin.Ballot) {
	id := pluginVoteID{ballot.Source, ballot.Vote.Group}
	if ballot.Vote.Healthy() {
		delete(b.plugins, id)
	} else {
		b.plugins[id] = ballot
	}
	if v, ok := b.voteOf(plan, ballot); ok {
		core.Vote(now, v)
	}
}

func (b *ballots) voteOf(plan vipgroup.Plan, ballot plugin.Ballot) (cluster.Vote, bool) {
	v := cluster.Vote{Source: ballot.Source, Bar: ballot.Vote.Bar, Strict: b.strict, Penalty: ballot.Vote.Penalty, Reason: ballot.Vote.Reason}
	if ballot.Vote.Group == "" {
		return v, true
	}
	i := plan.Find(ballot.Vote.Group)
	if i < 0 {
		return cluster.Vote{}, false
	}
	key := plan.Groups[i].Key
	v.Group = &key
	return v, true
}

// replay casts all votes that stand, in a fixed order.
func (b *ballots) replay(now time.Time, core voter, plan vipgroup.Plan) {
	for _, v := range b.standing(plan) {
		core.Vote(now, v)
	}
}

// standing lists the votes that stand, by source and group.
func (b *ballots) standing(plan vipgroup.Plan) []cluster.Vote {
	var out []cluster.Vote
	for _, v := range b.own {
		out = append(out, v)
	}
	for _, ballot := range b.plugins {
		if v, ok := b.voteOf(plan, ballot); ok {
			out = append(out, v)
		}
	}
	group := func(v cluster.Vote) vipgroup.Key {
		if v.Group == nil {
			return vipgroup.Key{}
		}
		return *v.Group
	}
	slices.SortFunc(out, func(a, b cluster.Vote) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), group(a).Compare(group(b)))
	})
	return out
}

// beStrict says what is wanted where every node fails, of what stands, too.
func (b *ballots) beStrict(now time.Time, core voter, plan vipgroup.Plan, strict bool) {
	if b.strict != strict {
		b.strict = strict
		b.replay(now, core, plan)
	}
}

// withdraw takes back, at the core, the plugin votes as the old plan understood them;
// replay casts them anew by the next one.
func (b *ballots) withdraw(now time.Time, core voter, old vipgroup.Plan) {
	for _, ballot := range b.plugins {
		if v, ok := b.voteOf(old, ballot); ok {
			core.Vote(now, cluster.Vote{Source: v.Source, Group: v.Group})
		}
	}
}

// judgeLinks bars the groups whose link can carry nothing, those whose addresses can't be
// asked for, which would be taken while another node has them, and those that would take this
// host's own address away.
func (b *ballots) judgeLinks(now time.Time, core voter, groups []vipgroup.Group, links []netplumb.Link) {
	faults, own := map[string]string{}, map[netip.Addr]string{}
	for _, link := range links {
		faults[link.Name] = linkFault(link)
		if link.Own.IsValid() {
			own[link.Own] = link.Name
		}
	}
	for _, g := range groups {
		reason := ""
		for _, v := range vips(g) {
			if v.Interface == "" {
				reason = cmp.Or(reason, "no interface for "+v.Address.String()+": name it in the file")
			}
			if link := own[v.Address.Addr()]; link != "" {
				reason = cmp.Or(reason, ownText(v.Address.Addr(), link))
			}
			reason = cmp.Or(reason, faults[v.Interface])
		}
		b.bar(now, core, sourceLink, g.Key, reason)
	}
}

func ownText(own netip.Addr, link string) string {
	return fmt.Sprintf("%v is what this host itself goes by on %s: take it out of vips", own, link)
}

func linkFault(l netplumb.Link) string {
	switch {
	case l.AliasOf != "":
		return l.Name + " is another name of " + l.AliasOf + ": write " + l.AliasOf
	case !l.Exists:
		return l.Name + " does not exist"
	case !l.Up:
		return l.Name + " is down"
	case !l.Carrier:
		return l.Name + " has no carrier"
	case l.Deaf != nil:
		return l.Name + ": cannot ask for addresses: " + l.Deaf.Error()
	}
	return ""
}

// judgeFailures bars the groups that the kernel refused, for a pause that doubles.
func (b *ballots) judgeFailures(now time.Time, core voter, groups []vipgroup.Group, failed []netplumb.Failure) {
	if len(failed) == 0 {
		return
	}
	reasons := map[string]string{}
	for _, f := range failed {
		reasons[f.VIP.Address.Addr().String()] = f.Err.Error()
	}
	for _, g := range groups {
		for _, v := range vips(g) {
			reason := reasons[v.Address.Addr().String()]
			if reason == "" {
				continue
			}
			b.refuse(now, core, g.Key, reason)
			break
		}
	}
}

// refuse bars a group for a pause, and returns when it may be tried again.
func (b *ballots) refuse(now time.Time, core voter, key vipgroup.Key, reason string) (until time.Time) {
	r := b.refused[key]
	switch {
	case r == nil:
		r = &refused{pause: firstRetry}
		b.refused[key] = r
	case r.barred:
		// The bar has stood since an earlier report of the same failure.
	default:
		r.pause = min(2*r.pause, lastRetry)
	}
	if !r.barred {
		r.barred, r.until = true, now.Add(r.pause)
	}
	b.bar(now, core, sourceKernel, key, reason)
	return r.until
}

// expire lets refused groups be tried again, and returns when the next one may be.
func (b *ballots) expire(now time.Time, core voter) (next time.Time) {
	for key, r := range b.refused {
		if !r.barred {
			// Long enough without a refusal: forget it.
			if now.Sub(r.until) > lastRetry {
				delete(b.refused, key)
			}
			continue
		}
		if now.Before(r.until) {
			next = earliest(next, r.until)
			continue
		}
		r.barred = false
		b.bar(now, core, sourceKernel, key, "")
		next = now
	}
	return next
}

// forget drops what was held against groups that the plan doesn't have.
func (b *ballots) forget(plan vipgroup.Plan) {
	for id := range b.own {
		if plan.Group(id.group) < 0 {
			delete(b.own, id)
		}
	}
	gone := func(key vipgroup.Key) bool { return plan.Group(key) < 0 }
	maps.DeleteFunc(b.refused, func(key vipgroup.Key, _ *refused) bool { return gone(key) })
	maps.DeleteFunc(b.repairs, func(key vipgroup.Key, _ *repairs) bool { return gone(key) })
}
