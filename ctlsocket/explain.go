package ctlsocket

import (
	"slices"
)

// Explanation is one group with all that had a say in who holds it.
type Explanation struct {
	// Identity is the node that explains; others may see it otherwise.
	Identity string `json:"identity"`
	Group    Group  `json:"group"`
	// Prefer are the nodes that the config prefers for it, best first.
	Prefer []string `json:"prefer"`
	// Nodes are all nodes of the plan, in its order.
	Nodes []Candidate `json:"nodes"`
	// Alarms are those that name the group or one of its addresses.
	Alarms []Alarm `json:"alarms"`
}

// Candidate is a node that could hold a group.
type Candidate struct {
	Node string `json:"node"`
	// State is how the explaining node hears it; itself it finds live.
	State    PeerState `json:"state"`
	Eligible bool      `json:"eligible"`
	// Reason says why it is not eligible.
	Reason string `json:"reason"`
	// Groups is how many groups it is assigned.
	Groups int `json:"groups"`
}

var _ = slices.Index[[]int]
