package vipgroup

import (
	"cmp"
	"slices"
)

// Pull is the penalty of a node that asks for a group: it goes before all that don't. A
// node asks until it has the group, and then keeps it by being its holder.
const Pull = -1

// Stays decides group i as if node had it and nobody asked for it: who moves the group
// there learns here whether it would stay, or who would take it, and by which rule.
func Stays(p Plan, v View, i, node int) Decision { return pin(p, v, i, node, 0) }

// Without assigns the groups as if node was lost, with whatever it holds.
func Without(p Plan, v View, node int) Assignment {
	v.Eligible, v.Holder = slices.Clone(v.Eligible), slices.Clone(v.Holder)
	v.Eligible[node] = false
	for i, holder := range v.Holder {
		if holder == node {
			v.Holder[i] = -1
		}
	}
	return Assign(p, v)
}

// NextMove returns the next move that evens the load: the first group, in the order of keys,
// that would stay with the node to which it goes, from the node that holds the most to the
// one that holds the least and at least two fewer. It returns -1, -1 when no move is left;
// as each brings two nodes closer to each other, there is an end.
func NextMove(p Plan, v View) (group, to int) {
	load := make([]int, len(p.Nodes))
	for _, holder := range v.Holder {
		if holder >= 0 && holder < len(load) {
			load[holder]++
		}
	}
	var nodes []int
	for n := range load {
		if v.Eligible[n] {
			nodes = append(nodes, n)
		}
	}
	slices.SortStableFunc(nodes, func(a, b int) int { return cmp.Compare(load[b], load[a]) })
	for _, from := range nodes {
		for _, to := range slices.Backward(nodes) {
			if load[from]-load[to] < 2 {
				break
			}
			for i, holder := range v.Holder {
				if holder == from && Stays(p, v, i, to).Owner == to {
					return i, to
				}
			}
		}
	}
	return -1, -1
}
