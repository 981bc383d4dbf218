package vipgroup

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Line is one thing that a plan says, for people.
type Line struct {
	// Subject is what the line is about, such as "nodes" or "group web": each has one line.
	Subject string
	Text    string
}

// String returns the line as a person reads it.
func (l Line) String() string { return l.Subject + ": " + l.Text }

// Lines returns all that nodes must agree on: the plan's own keys, then its groups by
// their first address, elections last.
func (p Plan) Lines() []Line {
	lines := []Line{
		{"version", strconv.FormatUint(p.Version, 10)},
		{"nodes", strings.Join(p.Nodes, ", ")},
	}
	if len(p.Voters) > 0 {
		lines = append(lines, Line{"voters", strings.Join(p.Voters, ", ")})
	}
	lines = append(lines, Line{"partition", string(p.Partition)})
	if p.Rebalance > 0 {
		lines = append(lines, Line{"rebalance", fmt.Sprintf("auto, every %v", p.Rebalance)})
	}
	groups := slices.Clone(p.Groups)
	slices.SortFunc(groups, func(a, b Group) int {
		if a.Election || b.Election || len(a.VIPs) == 0 || len(b.VIPs) == 0 {
			return cmp.Or(cmp.Compare(len(b.VIPs), len(a.VIPs)), strings.Compare(a.Name, b.Name))
		}
		return a.VIPs[0].Address.Addr().Compare(b.VIPs[0].Address.Addr())
	})
	for _, g := range groups {
		lines = append(lines, Line{"group " + g.Name, g.line()})
	}
	return lines
}

// line is all that a group says beside its name.
func (g Group) line() string {
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if g.Election {
		say("election")
	}
	var addresses []string
	for _, v := range g.VIPs {
		addresses = append(addresses, v.Address.String())
	}
	if len(addresses) > 0 {
		say("%s", strings.Join(addresses, ", "))
	}
	if len(g.Prefer) > 0 {
		say("prefer %s", strings.Join(g.Prefer, ", "))
	}
	if !g.Preempt {
		say("no preempt")
	}
	if g.PreemptDelay > 0 {
		say("preempt after %v", g.PreemptDelay)
	}
	if g.Partition != "" {
		say("partition %s", g.Partition)
	}
	if len(g.Checks) > 0 {
		say("checks %s", strings.Join(g.Checks, ", "))
	}
	return strings.Join(parts, "; ")
}

// A Change is a line that two plans don't share. Was or Is is "" where only the other plan
// has the line.
type Change struct{ Subject, Was, Is string }

// Differ returns the lines in which two plans differ, in the order of the second, then
// those that only the first has. Equal plans have none, and others at least one.
func Differ(was, is Plan) []Change {
	if was.Digest() == is.Digest() {
		return nil
	}
	before, now := was.Lines(), is.Lines()
	old := make(map[string]string, len(before))
	for _, l := range before {
		old[l.Subject] = l.Text
	}
	var out []Change
	for _, l := range now {
		if text, ok := old[l.Subject]; !ok || text != l.Text {
			out = append(out, Change{l.Subject, text, l.Text})
		}
		delete(old, l.Subject)
	}
	for _, l := range before {
		if text, gone := old[l.Subject]; gone {
			out = append(out, Change{l.Subject, text, ""})
		}
	}
	return out
}
