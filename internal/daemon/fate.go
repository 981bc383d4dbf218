package daemon

import (
	"slices"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// tellGroups tells what became of each group, of this node's and of the others'.
func (s *story) tellGroups(before, now *snapshot) {
	var f fates
	mine := false
	for i, g := range now.status.Plan.Groups {
		is, was := now.status.Groups[i], cluster.GroupStatus{}
		if j := before.status.Plan.Group(g.Key); j >= 0 && j < len(before.status.Groups) {
			was = before.status.Groups[j]
		}
		changed := s.step(&f, now, g, was, is)
		mine = mine || changed
		owner, self := ownerOf(now.status.Name, s.seen[g.Key], is.Owners), now.status.Name
		if owner != s.seen[g.Key] {
			s.tellOwner(now, g, is, owner)
			if owner != "" && owner != self && !changed {
				f.add(owner+" took", "", g)
			}
		}
		if owner != "" && (owner != self || s.doing[g.Key] == taken) {
			s.owners[g.Key] = owner
		}
	}
	for i, g := range before.status.Plan.Groups {
		if now.status.Plan.Group(g.Key) < 0 && i < len(before.status.Groups) {
			mine = s.step(&f, now, g, before.status.Groups[i], cluster.GroupStatus{}) || mine
			delete(s.doing, g.Key)
			delete(s.waits, g.Key)
			delete(s.owners, g.Key)
			delete(s.seen, g.Key)
		}
	}
	if mine {
		s.changes++
	}
	f.tell(s.log)
}

// ownerOf is the one node of those that announce a group of which is told that it has it:
// this one where it does, else the one that had it before. The others claim it, too, and
// which of them keeps it is not known before the rest have let go.
func ownerOf(self, before string, owners []string) string {
	for _, name := range []string{self, before} {
		if slices.Contains(owners, name) {
			return name
		}
	}
	if len(owners) == 0 {
		return ""
	}
	return owners[0]
}

// tellOwner tells that another node has a group now, or that it has it no more. What this
// node takes and gives up, step tells.
func (s *story) tellOwner(now *snapshot, g vipgroup.Group, is cluster.GroupStatus, owner string) {
	was, self := s.seen[g.Key], now.status.Name
	s.seen[g.Key] = owner
	if !now.status.Mature || owner == self || owner == "" && was == self {
		return
	}
	s.emit(plugin.Event{Kind: plugin.Moved, Time: now.now, Group: g, Node: owner, Former: s.owners[g.Key],
		Reason: whyMoved(now, s.owners[g.Key], is)})
}

// whyMoved says what became of the node that had a group, or else the rule by which
// another has it.
func whyMoved(now *snapshot, former string, is cluster.GroupStatus) string {
	for _, p := range now.status.Peers {
		switch {
		case p.Node != former:
		case p.Farewell:
			return former + " left"
		case p.State == cluster.Absent:
			return former + " is silent"
		}
	}
	return is.Reason
}

// step follows what a group does at this node, through every stage in between, and says
// whether its holding changed.
func (s *story) step(f *fates, now *snapshot, g vipgroup.Group, was, is cluster.GroupStatus) (changed bool) {
	at, to := s.doing[g.Key], stageOf(now, g, is)
	event := func(k plugin.Kind, reason string) {
		s.emit(plugin.Event{Kind: k, Time: now.now, Group: g, Reason: reason})
	}
	s.doing[g.Key] = to
	s.wait(f, now, g, is)
	if !is.Held && (was.Held || at == taking && to == idle) {
		// Before a new claim is told: others may have it meanwhile.
		reason := whyReleased(now, g, is)
		if at == taken {
			event(plugin.Releasing, reason)
		}
		event(plugin.Released, reason)
		if at != taking {
			f.add("released", reason, g)
			changed = true
		}
		at = idle
	}
	if at == to {
		if at != taken || was.Since.IsZero() || is.Since.Equal(was.Since) {
			return changed
		}
		// What others did meanwhile outside has to be done anew.
		const reason = "it was away for a moment"
		for _, k := range []plugin.Kind{plugin.Releasing, plugin.Released, plugin.Taking, plugin.Taken} {
			event(k, reason)
		}
		f.add("took", reason, g)
		return true
	}
	switch to {
	case taking:
		event(plugin.Taking, is.Reason)
	case taken:
		reason := s.whyTaken(now, g, was, is)
		if at != taking {
			event(plugin.Taking, reason)
		}
		event(plugin.Taken, reason)
		f.add("took", reason, g)
		return true
	case releasing:
		event(plugin.Releasing, whyReleased(now, g, is))
	}
	return changed
}

// stageOf says what a group does here now.
func stageOf(now *snapshot, g vipgroup.Group, is cluster.GroupStatus) doing {
	whole := is.Held
	for _, v := range vips(g) {
		whole = whole && now.present[v.Address.Addr()]
	}
	switch {
	case is.Held && now.unwanted[g.Key]:
		return releasing
	case whole:
		return taken
	case is.Held || is.Claiming:
		return taking
	}
	return idle
}

// wait says once what a claim waits for, when it does so for long.
func (s *story) wait(f *fates, now *snapshot, g vipgroup.Group, is cluster.GroupStatus) {
	if !is.Claiming || is.Held || is.Waiting == "" {
		delete(s.waits, g.Key)
		return
	}
	w := s.waits[g.Key]
	if w == nil {
		w = &wait{since: now.now}
		s.waits[g.Key] = w
	}
	if !w.said && now.now.Sub(w.since) >= waitSaid {
		w.said = true
		f.add("waiting to take", is.Waiting, g)
	}
}

// whyTaken says what made this node take a group: what became of its owner, and the
// rule that made this node the next one.
func (s *story) whyTaken(now *snapshot, g vipgroup.Group, was, is cluster.GroupStatus) string {
	owner, rule := s.owners[g.Key], was.Reason
	if was.Assigned != now.status.Name {
		rule = is.Reason
	}
	text := "nobody had it"
	for _, p := range now.status.Peers {
		if p.Node != owner {
			continue
		}
		switch {
		case p.Farewell:
			text = owner + " left"
		case p.State == cluster.Absent:
			text = owner + " is silent"
		default:
			text = owner + " handed it over"
		}
	}
	if owner == now.status.Name {
		text = "it was lost here"
	}
	if rule == "" || rule == string(vipgroup.KeptByHolder) {
		return text
	}
	return text + " (" + rule + ")"
}

// whyReleased says what made this node give a group up.
func whyReleased(now *snapshot, g vipgroup.Group, is cluster.GroupStatus) string {
	st := now.status
	if st.Plan.Group(g.Key) < 0 {
		return "it is not in the plan any more"
	}
	if now.leaving {
		return "stopping"
	}
	if !st.Eligible && len(st.Reasons) > 0 {
		return st.Reasons[0]
	}
	for _, v := range now.votes {
		if v.Group != nil && *v.Group == g.Key && v.Bar {
			return v.Source + ": " + v.Reason
		}
	}
	others := slices.DeleteFunc(slices.Clone(is.Owners), func(o string) bool { return o == st.Name })
	switch {
	case is.Assigned != "" && is.Assigned != st.Name && is.Reason != string(vipgroup.KeptByHolder):
		return "it goes to " + is.Assigned + " (" + is.Reason + ")"
	case len(others) > 0:
		return others[0] + " has it"
	}
	return "it was lost"
}
