package config

import (
	"fmt"
	"slices"

	"github.com/vippy-ha/vippy/vipgroup"
)

// With returns the config with another plan in place of the file's, such as one that came
// from a peer. Everything else stays this host's own: the checks speak for those groups of the
// plan that they name or that name them. What that leaves without effect is a notice.
func (c *Config) With(plan vipgroup.Plan) *Config {
	out := *c
	out.Plan, out.Notices, out.Checks = plan, nil, nil
	known := map[string]bool{}
	for _, check := range c.Checks {
		known[check.Name] = true
		named := len(check.Named) > 0 || slices.ContainsFunc(c.Plan.Groups, func(g vipgroup.Group) bool { return slices.Contains(g.Checks, check.Name) })
		if check.Groups = check.speaksFor(plan); named && len(check.Groups) == 0 {
			// Without a group it would speak for the whole node.
			out.Notices = append(out.Notices, fmt.Sprintf("check %s: plan %d has none of its groups", quote(check.Name), plan.Version))
			continue
		}
		out.Checks = append(out.Checks, check)
	}
	for _, g := range plan.Groups {
		for _, name := range g.Checks {
			if !known[name] {
				known[name] = true
				out.Notices = append(out.Notices, fmt.Sprintf("plan %d wants check %s for %s, and %s has none of that name",
					plan.Version, quote(name), quote(g.Name), c.Path))
			}
		}
	}
	return &out
}

// speaksFor returns the groups of a plan that the check names, or that name it.
func (c Check) speaksFor(plan vipgroup.Plan) (groups []vipgroup.Key) {
	for _, word := range c.Named {
		if at := plan.Find(word); at >= 0 {
			groups = append(groups, plan.Groups[at].Key)
		}
	}
	for _, g := range plan.Groups {
		if slices.Contains(g.Checks, c.Name) {
			groups = append(groups, g.Key)
		}
	}
	slices.SortFunc(groups, vipgroup.Key.Compare)
	return slices.Compact(groups)
}
