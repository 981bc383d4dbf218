package cluster

import (
	"fmt"
	"slices"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Owners are the heard nodes, this one included, that say they hold a group. By other plans
// each may hold a part; where one of its addresses is nobody's, the group has no owner.
func (n *Node) Owners(k vipgroup.Key) []string {
	if g := n.plan.Group(k); g >= 0 {
		return n.owners(g)
	}
	return nil
}

func (n *Node) owners(g int) (out []string) {
	if n.halfOwned(g) != "" {
		return nil
	}
	for i, p := range n.peers {
		if i == n.self && n.holds.mine.has(g) || p != nil && p.isHeard() && p.held.has(g) || n.presumed(i, g) {
			out = append(out, n.plan.Members()[i])
		}
	}
	return out
}

// halfOwned says of a group of which others hold a part, by other plans, what nobody has; ""
// for any other group.
func (n *Node) halfOwned(g int) string {
	if n.holds.mine.has(g) || !n.heardHeld.has(g) || n.blind() {
		return ""
	}
	holder := func(r string) string {
		for _, p := range n.peers {
			if p == nil || !p.isHeard() {
				continue
			}
			if i := p.table.plan.Owns(r); i >= 0 && p.ann.held.has(i) {
				return p.name
			}
		}
		return ""
	}
	resources := n.plan.Groups[g].Resources()
	missing := slices.IndexFunc(resources, func(r string) bool { return holder(r) == "" })
	if missing < 0 {
		return ""
	}
	by := ""
	for _, r := range resources {
		if by = holder(r); by != "" {
			break
		}
	}
	return fmt.Sprintf("%s has a part of it by another plan, and nobody %s", by, resources[missing])
}
