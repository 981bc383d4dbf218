package daemon

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

// render turns a snapshot into what the control socket tells. It runs with the one who
// asks, not in the loop.
func render(s *snapshot) ctlsocket.Status {
	plan := s.status.Plan
	out := ctlsocket.Status{
		Identity: s.status.Name,
		Stats:    renderStats(s),
		Config:   ctlsocket.Config{Version: plan.Version, Nodes: plan.Nodes},
		State:    renderState(s),
		Plan:     renderPlan(s),
		Grant:    ctlsocket.Grant{Valid: s.grant > 0, RemainingMS: max(s.grant, 0).Milliseconds()},
		Guard:    s.guard,
		Program:  s.program,
		Alarms:   renderAlarms(s),
	}
	for _, p := range s.plugins {
		out.Plugins = append(out.Plugins, renderPlugin(p, plan))
	}
	if d := s.drained; d != nil {
		out.Drained = &ctlsocket.Drained{By: d.By, From: d.From, Since: d.Since, Until: d.Until}
	}
	for _, i := range inOrder(plan) {
		out.Config.VIPs = append(out.Config.VIPs, vippyGroup(plan.Groups[i]))
		out.Groups = append(out.Groups, renderGroup(s, i))
	}
	for _, p := range s.status.Peers {
		out.Peers = append(out.Peers, renderPeer(p, s.now))
	}
	return out
}

// inOrder returns the places of the plan's groups as a person would list them: by
// their first address, elections last.
func inOrder(p vipgroup.Plan) []int {
	order := make([]int, len(p.Groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		a, b := vips(p.Groups[i]), vips(p.Groups[j])
		if len(a) == 0 || len(b) == 0 {
			return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(p.Groups[i].Name, p.Groups[j].Name))
		}
		return a[0].Address.Addr().Compare(b[0].Address.Addr())
	})
	return order
}

func vippyGroup(g vipgroup.Group) ctlsocket.VIPGroup {
	out := ctlsocket.VIPGroup{Prefer: g.Prefer}
	for _, v := range g.VIPs {
		out.Addresses = append(out.Addresses, ctlsocket.NewAddress(v.Address, v.Interface))
	}
	return out
}

func renderStats(s *snapshot) ctlsocket.Stats {
	out := ctlsocket.Stats{StateChanges: s.changes, Refusals: map[string]uint64{}}
	out.Conflicts = s.status.Stats.Conflicts
	out.Net.SendAnnounce = s.status.Stats.Sent
	out.Net.RecvAnnounce = s.status.Stats.Received
	for reason, n := range s.status.Stats.Refused {
		out.Refusals[string(reason)] = n
		if reason != cluster.Reflected {
			out.Net.Ignore += n
		}
	}
	return out
}

func renderState(s *snapshot) ctlsocket.State {
	st := s.status
	out := ctlsocket.State{Mature: st.Mature, Active: st.Mature && st.Eligible, Ownership: map[string][]ctlsocket.VIPGroup{}}
	switch {
	case out.Active:
	case !st.Mature && !s.leaving:
		booting := "booting"
		out.InactiveReason = &booting
	case len(st.Reasons) > 0:
		out.InactiveReason = &st.Reasons[0]
	default:
		unknown := "not eligible"
		out.InactiveReason = &unknown
	}
	if !st.Mature {
		return out
	}
	out.Ownership[ctlsocket.Unowned] = nil
	if out.Active {
		out.Ownership[st.Name] = nil
	}
	for _, p := range st.Peers {
		if p.State == cluster.Live && p.Eligible {
			out.Ownership[p.Node] = nil
		}
	}
	for _, i := range inOrder(st.Plan) {
		owner := ctlsocket.Unowned
		if owners := st.Groups[i].Owners; len(owners) > 0 {
			owner = owners[0]
		}
		out.Ownership[owner] = append(out.Ownership[owner], vippyGroup(st.Plan.Groups[i]))
	}
	return out
}

func renderGroup(s *snapshot, i int) ctlsocket.Group {
	g, st := s.status.Plan.Groups[i], s.status.Groups[i]
	out := ctlsocket.Group{
		Key:      g.Key.String(),
		Name:     g.Name,
		Assigned: st.Assigned,
		Held:     st.Held,
		Reason:   reasonOf(s, g, st),
		Since:    st.Since,
	}
	if len(st.Owners) > 0 {
		out.Owner = st.Owners[0]
	}
	if len(st.Owners) > 1 {
		out.Owners = st.Owners
	}
	for _, v := range g.VIPs {
		a := ctlsocket.GroupAddress{Address: v.Address, Interface: v.Interface, Plumbed: s.present[v.Address.Addr()]}
		a.ContestedBy = contestedBy(s, v.Address.Addr())
		out.Addresses = append(out.Addresses, a)
	}
	return out
}

// contestedBy names who else speaks for an address: its hardware address, and the node
// where that is known.
func contestedBy(s *snapshot, a netip.Addr) string {
	i := slices.IndexFunc(s.status.Rivals, func(r cluster.Rival) bool { return r.Addr == a })
	if i < 0 {
		return ""
	}
	switch r := s.status.Rivals[i]; {
	case r.Node == "":
		return r.MAC
	case r.MAC == "":
		return r.Node
	default:
		return r.MAC + " (" + r.Node + ")"
	}
}

// reasonOf says why a group is where it is: the rule that decided, what a claim waits
// for, and what this node has against having it.
func reasonOf(s *snapshot, g vipgroup.Group, st cluster.GroupStatus) string {
	parts := []string{st.Reason}
	if !st.Held && st.Waiting != "" {
		parts = append(parts, "waiting: "+st.Waiting)
	}
	for _, v := range s.votes {
		if v.Group == nil || *v.Group != g.Key {
			continue
		}
		what := fmt.Sprintf("penalty %d here", v.Penalty)
		if v.Bar {
			what = "barred here"
		}
		parts = append(parts, fmt.Sprintf("%s by %s: %s", what, v.Source, v.Reason))
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

func renderPeer(p cluster.PeerStatus, now time.Time) ctlsocket.Peer {
	out := ctlsocket.Peer{
		Node:        p.Node,
		State:       ctlsocket.PeerState(p.State),
		Eligible:    p.Eligible,
		Reason:      p.Reason,
		PlanVersion: p.PlanVersion,
		LastHeardMS: ctlsocket.NeverHeard,
	}
	if p.PlanDigest != (vipgroup.Digest{}) {
		out.PlanDigest = p.PlanDigest.String()
	}
	if !p.LastHeard.IsZero() {
		out.LastHeardMS = now.Sub(p.LastHeard).Milliseconds()
	}
	if p.Farewell && out.Reason == "" {
		out.Reason = "said farewell"
	}
	return out
}

// renderAlarms joins the alarms of the core and of the daemon.
func renderAlarms(s *snapshot) []ctlsocket.Alarm {
	var out []ctlsocket.Alarm
	for _, a := range slices.Concat(s.status.Alarms, s.alarms) {
		out = append(out, ctlsocket.Alarm{Name: a.Name, Since: a.Since, Detail: a.Detail})
	}
	slices.SortStableFunc(out, func(a, b ctlsocket.Alarm) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Detail, b.Detail))
	})
	return out
}
