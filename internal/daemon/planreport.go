package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

// Plan tells the plan of this moment, and in what the file and the peers differ from it. It
// may be called from any goroutine.
func (l *loop) Plan() ctlsocket.PlanReport {
	ctx, cancel := context.WithTimeout(context.Background(), statusWithin)
	defer cancel()
	var s *snapshot
	if err := l.inLoop(ctx, func(now time.Time) { s = l.publish(now) }); err != nil {
		s = l.published.Load()
	}
	plan := s.status.Plan
	out := ctlsocket.PlanReport{
		Identity: s.status.Name, Plan: renderPlan(s), Encoding: plan.Encode(), View: renderView(s),
		File: l.planOfFile(plan), Fixed: s.config.Fixed(),
	}
	for _, line := range plan.Lines() {
		out.Lines = append(out.Lines, ctlsocket.PlanLine(line))
	}
	for _, p := range s.status.Peers {
		peer := ctlsocket.PeerPlan{Node: p.Node, State: ctlsocket.PeerState(p.State), Version: p.PlanVersion}
		if p.PlanDigest != (vipgroup.Digest{}) {
			peer.Digest = p.PlanDigest.String()
		}
		if p.Plan != nil {
			peer.Known, peer.Changes = true, changes(plan, *p.Plan)
		}
		out.Peers = append(out.Peers, peer)
	}
	return out
}

// planOfFile compares the file as it is now.
func (l *loop) planOfFile(ruling vipgroup.Plan) ctlsocket.FilePlan {
	out := ctlsocket.FilePlan{Path: l.reloader.path}
	c, err := l.load(l.reloader.path, l.name)
	if err != nil {
		out.Fault, _, _ = strings.Cut(err.Error(), "\n")
		return out
	}
	out.Version, out.Digest, out.Changes = c.Plan.Version, c.Plan.Digest().String(), changes(ruling, c.Plan)
	return out
}

func changes(was, is vipgroup.Plan) (out []ctlsocket.PlanChange) {
	for _, c := range vipgroup.Differ(was, is) {
		out = append(out, ctlsocket.PlanChange(c))
	}
	return out
}

// unwitnessed is what two nodes need to know that have nobody else to ask.
const unwitnessed = "two nodes without a default gateway can't tell a dead peer from a dead link of their own: name a host on the link as witness"

func renderPlan(s *snapshot) ctlsocket.Plan {
	p := s.status.Plan
	note := s.ruling.note(p)
	if s.unwitnessed {
		note = strings.TrimPrefix(note+"; "+unwitnessed, "; ")
	}
	return ctlsocket.Plan{Version: p.Version, Digest: p.Digest().String(), From: s.ruling.From,
		FileVersion: s.ruling.File.Plan.Version, Note: note}
}

// renderView says what the last assignment was made of.
func renderView(s *snapshot) ctlsocket.PlanView {
	v, plan := s.status.View, s.status.Plan
	out := ctlsocket.PlanView{Holders: map[string]string{}, Penalties: map[string]map[string]int{}}
	members := plan.Members()
	for i, name := range members {
		if v.Eligible[i] {
			out.Eligible = append(out.Eligible, name)
		}
		for g, penalty := range v.Penalty[i] {
			if penalty == 0 {
				continue
			}
			if out.Penalties[name] == nil {
				out.Penalties[name] = map[string]int{}
			}
			out.Penalties[name][plan.Groups[g].Key.String()] = min(penalty, ctlsocket.PenaltyBarred)
		}
	}
	for g, n := range v.Holder {
		if n >= 0 {
			out.Holders[plan.Groups[g].Key.String()] = members[n]
		}
	}
	return out
}
