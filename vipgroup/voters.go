package vipgroup

// Members lists who takes part in the chat: the nodes, and behind them the voters that
// are no nodes. It must not be changed.
func (p Plan) Members() []string { return p.members }

// Member returns the place of a node or voter in Members, or -1. A node's is its place in
// Nodes.
func (p Plan) Member(name string) int {
	if i, ok := p.places[name]; ok {
		return i
	}
	return -1
}

// Majority returns who counts for a majority, and how many of them make one: more than
// half.
func (p Plan) Majority() (voters []string, need int) {
	voters = p.Voters
	if len(voters) == 0 {
		voters = p.Nodes
	}
	return voters, len(voters)/2 + 1
}

// Single says whether only a majority may serve the group at a place in Groups.
func (p Plan) Single(group int) bool {
	if own := p.Groups[group].Partition; own != "" {
		return own == Single
	}
	return p.Partition == Single
}
