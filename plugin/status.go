package plugin

import "net/netip"

// A Status is what the daemon knew a moment ago.
type Status struct {
	// Node is this node.
	Node string `json:"node"`
	// Eligible: this node may own groups. Reasons say why not.
	Eligible bool     `json:"eligible"`
	Reasons  []string `json:"reasons,omitempty"`
	// PlanVersion is the version of the plan that rules.
	PlanVersion uint64        `json:"plan_version"`
	Groups      []GroupStatus `json:"groups"`
	Peers       []PeerStatus  `json:"peers"`
}

// A GroupStatus is one group of the plan.
type GroupStatus struct {
	Name      string         `json:"name"`
	Key       string         `json:"key"`
	Addresses []netip.Prefix `json:"addresses"`
	// Assigned is the node that should have the group, Owner the one that announces it; ""
	// means none.
	Assigned string `json:"assigned"`
	Owner    string `json:"owner"`
	// Held: an address of it may be in this host's kernel.
	Held bool `json:"held"`
	// Reason says why Assigned is assigned.
	Reason string `json:"reason"`
}

// A PeerStatus is another node of the plan as this one sees it.
type PeerStatus struct {
	Node string `json:"node"`
	// State is live, one-way, deaf or absent.
	State string `json:"state"`
	// Eligible: it may be given groups.
	Eligible bool `json:"eligible"`
}
