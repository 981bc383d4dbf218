package daemon

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// story tells people and plugins what happened, by comparing one snapshot with the one
// before. So nothing on the way from a packet to the kernel pays for being told of.
type story struct {
	log  *slog.Logger
	emit func(plugin.Event)
	// next is when to look again.
	next time.Time
	last *snapshot
	// doing is what each group is known to do here, by key.
	doing map[vipgroup.Key]doing
	// waits has since when a group waits, and whether that was said.
	waits map[vipgroup.Key]*wait
	// owners has the node that last had each group, this one included; seen has who had it
	// at the last look, be it nobody.
	owners, seen map[vipgroup.Key]string
	// conflicts has when each rival of an address was last told of.
	conflicts map[conflict]time.Time
	// disputed has who else claims a group that this node has.
	disputed map[vipgroup.Key]string
	// changes counts how often the groups that this node owns changed.
	changes uint64
}

type doing int

const (
	idle doing = iota
	taking
	taken
	releasing
)

type wait struct {
	since time.Time
	said  bool
}

const (
	// lookEvery is how often the story looks for what nobody stirred it for.
	lookEvery = 500 * time.Millisecond
	// stirFor gathers what happens together, and leaves the loop to those in a hurry.
	stirFor = 25 * time.Millisecond
	// waitSaid is how long a claim waits before that is worth a line.
	waitSaid = 2 * time.Second
	// namedGroups is how many groups of one fate are named in a line.
	namedGroups = 5
)

// stir asks for a look soon.
func (s *story) stir(now time.Time) {
	if soon := now.Add(stirFor); s.next.After(soon) {
		s.next = soon
	}
}

func (s *story) due(now time.Time) bool { return !now.Before(s.next) }

// stopping tells the plugins that the daemon ends.
func (s *story) stopping(now time.Time) {
	s.emit(plugin.Event{Kind: plugin.Stopping, Time: now})
}

func (s *story) begin() {
	s.doing, s.waits = map[vipgroup.Key]doing{}, map[vipgroup.Key]*wait{}
	s.disputed = map[vipgroup.Key]string{}
	s.owners, s.seen = map[vipgroup.Key]string{}, map[vipgroup.Key]string{}
}

// tell looks at a snapshot.
func (s *story) tell(now *snapshot) {
	s.next = now.now.Add(lookEvery)
	before := s.last
	if before == nil {
		before = &snapshot{now: now.now, config: now.config, status: cluster.Status{Plan: now.status.Plan}}
		s.begin()
	}
	s.last = now
	if d := now.status.Plan.Digest(); d != before.status.Plan.Digest() {
		s.emit(plugin.Event{Kind: plugin.PlanChanged, Time: now.now})
	}
	s.tellPeers(before, now)
	s.tellSelf(before, now)
	s.tellVotes(before, now)
	s.tellGroups(before, now)
	s.tellRivals(now)
	s.tellStillOwned(now)
	s.tellAlarms(before, now)
}

func (s *story) tellPeers(before, now *snapshot) {
	old := map[string]cluster.PeerStatus{}
	for _, p := range before.status.Peers {
		old[p.Node] = p
	}
	for _, p := range now.status.Peers {
		was, known := old[p.Node]
		if !known {
			was = cluster.PeerStatus{State: cluster.Absent}
		}
		if text := peerSentence(was, p); text != "" {
			s.log.Info(p.Node+" "+text, "node", p.Node)
			s.emit(plugin.Event{Kind: plugin.Peer, Time: now.now, Node: p.Node, Reason: text})
		}
	}
}

// peerSentence says what became of a peer, or "".
func peerSentence(was, is cluster.PeerStatus) string {
	switch {
	case is.Farewell && !was.Farewell:
		return "left"
	case is.State != was.State:
		switch is.State {
		case cluster.Live:
			return "is heard, and hears this node"
		case cluster.OneWay:
			return "is heard but doesn't hear this node"
		case cluster.Deaf:
			return "is heard but hears nobody"
		case cluster.Absent:
			if is.Farewell {
				return ""
			}
			return "is silent"
		}
	case is.State == cluster.Live && is.Eligible != was.Eligible:
		if is.Eligible {
			return "is eligible"
		}
		return "is not eligible: " + is.Reason
	case is.State == cluster.Live && is.PlanVersion != was.PlanVersion:
		return fmt.Sprintf("has plan %d", is.PlanVersion)
	}
	return ""
}

func (s *story) tellSelf(before, now *snapshot) {
	is, was := now.status, before.status
	reasons := strings.Join(is.Reasons, "; ")
	switch {
	case is.Eligible && !was.Eligible:
		s.log.Info("this node is eligible")
		s.emit(plugin.Event{Kind: plugin.Eligible, Time: now.now})
	case !is.Eligible && (was.Eligible || reasons != strings.Join(was.Reasons, "; ")):
		s.log.Info("this node is not eligible: " + reasons)
		s.emit(plugin.Event{Kind: plugin.NotEligible, Time: now.now, Reason: reasons})
	}
}

// tellVotes tells which groups a vote bars here, and which no more.
func (s *story) tellVotes(before, now *snapshot) {
	bars := func(x *snapshot) map[vipgroup.Key]string {
		out := map[vipgroup.Key]string{}
		for _, v := range x.votes {
			if v.Group != nil && v.Bar {
				out[*v.Group] = v.Source + ": " + v.Reason
			}
		}
		return out
	}
	was, is := bars(before), bars(now)
	if len(was) == 0 && len(is) == 0 {
		return
	}
	var f fates
	for _, g := range now.status.Plan.Groups {
		switch {
		case is[g.Key] != "" && is[g.Key] != was[g.Key]:
			f.add("this node can't have", is[g.Key], g)
		case is[g.Key] == "" && was[g.Key] != "":
			f.add("this node may have again", "", g)
		}
	}
	f.tell(s.log)
}

func (s *story) tellAlarms(before, now *snapshot) {
	alarms := func(x *snapshot) map[[2]string]bool {
		out := map[[2]string]bool{}
		for _, a := range slices.Concat(x.status.Alarms, x.alarms) {
			out[[2]string{a.Name, a.Detail}] = true
		}
		return out
	}
	was, is := alarms(before), alarms(now)
	for _, a := range slices.Concat(now.status.Alarms, now.alarms) {
		if !was[[2]string{a.Name, a.Detail}] {
			s.log.Error("alarm: "+a.Detail, "alarm", a.Name)
			s.emit(plugin.Event{Kind: plugin.Alarm, Time: now.now, Reason: a.Name + ": " + a.Detail})
		}
	}
	for _, a := range slices.Concat(before.status.Alarms, before.alarms) {
		if !is[[2]string{a.Name, a.Detail}] {
			s.log.Info("alarm over: "+a.Detail, "alarm", a.Name)
			s.emit(plugin.Event{Kind: plugin.AlarmOver, Time: now.now, Reason: a.Name + ": " + a.Detail})
		}
	}
}

// fates gathers groups to which the same happened for the same reason.
type fates struct {
	order  []fate
	groups map[fate][]vipgroup.Group
}

type fate struct{ verb, reason string }

func (f *fates) add(verb, reason string, g vipgroup.Group) {
	k := fate{verb, reason}
	if f.groups == nil {
		f.groups = map[fate][]vipgroup.Group{}
	}
	if f.groups[k] == nil {
		f.order = append(f.order, k)
	}
	f.groups[k] = append(f.groups[k], g)
}

// tell writes a line for each group of a fate that few share, and one for all of the
// others.
func (f *fates) tell(log *slog.Logger) {
	for _, k := range f.order {
		groups := f.groups[k]
		ending := ""
		if k.reason != "" {
			ending = ": " + k.reason
		}
		if len(groups) <= namedGroups {
			for _, g := range groups {
				log.Info(k.verb+" "+groupName(g)+ending, "group", g.Name)
			}
			continue
		}
		var names []string
		for _, g := range groups[:namedGroups] {
			names = append(names, g.Name)
		}
		log.Info(fmt.Sprintf("%s %d groups (%s, ...)%s", k.verb, len(groups), strings.Join(names, ", "), ending), "groups", len(groups))
	}
}
