package vipgroup

// A View is what one node knows when it decides: which nodes are candidates, and who
// holds what. All slices are indexed like the plan's Nodes and Groups.
type View struct {
	// Eligible says for each node whether it may own anything.
	Eligible []bool
	// Holder is, for each group, the node that has it now, or -1.
	Holder []int
	// Penalty is, for each node, a cost per group: lower wins; Barred means never.
	// A nil row means no penalties.
	Penalty [][]int
}

// Barred is the penalty that takes a node out for a group.
const Barred = 1 << 30

// A Decision is one group's owner and why.
type Decision struct {
	// Owner is the place of the node in the plan's Nodes, or -1 when nobody may have it.
	Owner int
	// Reason is a constant that explains the rule which decided.
	Reason Reason
}

// A Reason names the rule that gave a group its owner.
type Reason string

// The rules, in the order in which they are asked.
const (
	NoCandidate   Reason = "no eligible node"
	LowestPenalty Reason = "lowest penalty"
	Preferred     Reason = "preferred node"
	KeptByHolder  Reason = "already there"
	EvenLoad      Reason = "evens the load"
)

// An Assignment has one decision per group of the plan, in the plan's order.
type Assignment []Decision
