package config

import (
	"slices"

	"github.com/vippy-ha/vippy/vipgroup"
)

// members checks the voters together with the nodes, when the whole file is read.
func (w *walker) members(n node) {
	all := slices.Clone(w.plan.Nodes)
	for _, name := range w.plan.Voters {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(w.plan.Nodes) <= vipgroup.MaxNodes && len(all) > vipgroup.MaxNodes {
		w.fault(n, "%d nodes and voters together; a cluster has at most %d", len(all), vipgroup.MaxNodes)
	}
}

// majority notes what works but may not be meant: voters that are no nodes, a number of
// voters that bears no more losses than one less, and voters that nobody asks.
func (w *walker) majority() {
	plan := w.cfg.Plan
	voters, need := plan.Majority()
	single := false
	for g := range plan.Groups {
		single = single || plan.Single(g)
	}
	if len(plan.Voters) > 0 && !single {
		w.notice("voters: without effect, for no group has partition: single")
		return
	}
	var unlisted []string
	for _, name := range plan.Nodes {
		if !slices.Contains(voters, name) {
			unlisted = append(unlisted, name)
		}
	}
	for _, name := range plan.Members()[len(plan.Nodes):] {
		hint := ""
		if len(unlisted) > 0 {
			hint = nearOnly(name, unlisted)
		}
		w.notice("voters: %s is not one of nodes: a vippyd of that name votes and holds nothing%s", quote(name), hint)
	}
	switch {
	case !single || len(voters)%2 == 1:
	case len(voters) == 2:
		w.notice("partition: with two voters, single serves nothing as soon as one is lost: " +
			"name a third in voters, such as a vippyd elsewhere that is not one of nodes")
	default:
		w.notice("partition: a majority of %d voters is %d, so they bear the loss of no more than %d do: add one, or leave one out",
			len(voters), need, len(voters)-1)
	}
}
