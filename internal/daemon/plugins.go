package daemon

import (
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// pluginStatus is what plugins are told when they ask. It may be called from any
// goroutine, and never keeps the loop.
func (l *loop) pluginStatus() plugin.Status {
	s := l.published.Load()
	if s == nil {
		return plugin.Status{Node: l.name}
	}
	st := s.status
	out := plugin.Status{Node: st.Name, Eligible: st.Eligible, Reasons: st.Reasons, PlanVersion: st.Plan.Version}
	for _, i := range inOrder(st.Plan) {
		g, is := st.Plan.Groups[i], st.Groups[i]
		group := plugin.GroupStatus{Name: g.Name, Key: g.Key.String(), Assigned: is.Assigned, Held: is.Held, Reason: is.Reason}
		for _, v := range g.VIPs {
			group.Addresses = append(group.Addresses, v.Address)
		}
		if len(is.Owners) > 0 {
			group.Owner = is.Owners[0]
		}
		out.Groups = append(out.Groups, group)
	}
	for _, p := range st.Peers {
		out.Peers = append(out.Peers, plugin.PeerStatus{Node: p.Node, State: string(renderPeer(p, s.now).State), Eligible: p.Eligible})
	}
	return out
}

// renderPlugin calls a group by its name, however a vote does: a check's has its key.
func renderPlugin(p plugin.Report, plan vipgroup.Plan) ctlsocket.Plugin {
	out := ctlsocket.Plugin{
		Name: p.Name, Program: p.Program, Running: p.Running, Since: p.Since, PID: p.PID,
		Restarts: p.Restarts, Failure: p.Failure, Voted: p.Voted, Stderr: p.Stderr,
	}
	for _, v := range p.Votes {
		group := v.Group
		if i := plan.Find(group); group != "" && i >= 0 {
			group = plan.Groups[i].Name
		}
		out.Votes = append(out.Votes, ctlsocket.PluginVote{Group: group, Bar: v.Bar, Penalty: v.Penalty, Reason: v.Reason})
	}
	return out
}
