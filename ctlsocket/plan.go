package ctlsocket

import (
	"context"
	"encoding/json"
)

// PlanReport is the plan that rules at a node, and what others have instead.
type PlanReport struct {
	// Identity is the node that speaks.
	Identity string `json:"identity"`
	Plan     Plan   `json:"plan"`
	// Lines are all that the plan says.
	Lines []PlanLine `json:"lines"`
	// Encoding is the plan as nodes exchange it.
	Encoding json.RawMessage `json:"encoding"`
	File     FilePlan        `json:"file"`
	// Peers are the other members of the plan, in its order.
	Peers []PeerPlan `json:"peers"`
	View  PlanView   `json:"view"`
	// Fixed are the keys of the config that no reload can change, with their values.
	Fixed map[string]string `json:"fixed"`
}

// PlanLine is one thing that a plan says; each subject has one.
type PlanLine struct {
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// PlanChange is a line in which another plan differs from the one that rules: Was is what the
// ruling one says, Is what the other does, "" for nothing.
type PlanChange struct {
	Subject string `json:"subject"`
	Was     string `json:"was"`
	Is      string `json:"is"`
}

// FilePlan is the plan in the config file as it is now, reloaded or not.
type FilePlan struct {
	Path    string       `json:"path"`
	Version uint64       `json:"version"`
	Digest  string       `json:"digest"`
	Changes []PlanChange `json:"changes"`
	// Fault is why the file can't be read, "" where it can.
	Fault string `json:"fault"`
}

// PeerPlan is the plan that a peer goes by.
type PeerPlan struct {
	Node    string    `json:"node"`
	State   PeerState `json:"state"`
	Version uint64    `json:"version"`
	// Digest is "" for a peer that was never heard.
	Digest string `json:"digest"`
	// Known: this node has the peer's plan, so that Changes are all there are.
	Known   bool         `json:"known"`
	Changes []PlanChange `json:"changes"`
}

// PlanView is what the node knows that decides who gets which group.
type PlanView struct {
	// Eligible are the nodes that may have groups now.
	Eligible []string `json:"eligible"`
	// Holders has the node of each group that somebody holds, by the group's key.
	Holders map[string]string `json:"holders"`
	// Penalties has, by node and key, what speaks against a node; PenaltyBarred is never.
	Penalties map[string]map[string]int `json:"penalties"`
}

// PenaltyBarred is the penalty of a node that must not have a group.
const PenaltyBarred = 1 << 30

// Plan asks for the plan.
func (c *Client) Plan(ctx context.Context) (PlanReport, error) {
	return get[PlanReport](ctx, c, "/plan")
}

// MarshalJSON writes lists and maps without elements as such.
func (r PlanReport) MarshalJSON() ([]byte, error) {
	r.Lines, r.Peers, r.File.Changes, r.View.Eligible = list(r.Lines), list(r.Peers), list(r.File.Changes), list(r.View.Eligible)
	peers := make([]PeerPlan, len(r.Peers))
	for i, p := range r.Peers {
		p.Changes = list(p.Changes)
		peers[i] = p
	}
	r.Peers = peers
	if r.View.Holders == nil {
		r.View.Holders = map[string]string{}
	}
	if r.Fixed == nil {
		r.Fixed = map[string]string{}
	}
	if r.View.Penalties == nil {
		r.View.Penalties = map[string]map[string]int{}
	}
	if r.Encoding == nil {
		r.Encoding = json.RawMessage("null")
	}
	type plain PlanReport
	return json.Marshal(plain(r))
}
