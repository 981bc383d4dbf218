package ctlsocket

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Status is all that a daemon tells about itself, its cluster and its addresses. The
// fields up to State are those of the ancestor, with its names and types.
type Status struct {
	// Identity is the name of the node that speaks.
	Identity string `json:"identity"`
	Stats    Stats  `json:"stats"`
	Config   Config `json:"config"`
	State    State  `json:"state"`
	// Plan is the plan that Config shows.
	Plan Plan `json:"plan"`

	// Groups are in the order of the config.
	Groups []Group `json:"groups"`
	// Peers are the other nodes of the plan, in its order.
	Peers  []Peer  `json:"peers"`
	Grant  Grant   `json:"grant"`
	Guard  Guard   `json:"guard"`
	Alarms []Alarm `json:"alarms"`
	// Plugins are the checks and plugins of this node, in the order of the config.
	Plugins []Plugin `json:"plugins"`
	// Program is what runs the node.
	Program Program `json:"program"`
	// Drained is the order to drain this node that is in force; nil for none.
	Drained *Drained `json:"drained,omitempty"`
}

// Drained is an order to drain a node.
type Drained struct {
	// By is the user who gave it, From the node on which.
	By   string `json:"by"`
	From string `json:"from"`
	// Since is when, and Until when it ends by itself; left out where it doesn't.
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`
}

// Plan is what all nodes must agree on, the one that rules at this node.
type Plan struct {
	Version uint64 `json:"version"`
	// Digest is 32 hexadecimal digits: equal plans have equal ones.
	Digest string `json:"digest"`
	// From is "file", "state_dir" (kept by an earlier process), or the peer that had it.
	From string `json:"from"`
	// FileVersion is that of the plan in the config file, as it was last read.
	FileVersion uint64 `json:"file_version"`
	// Note says what is to know about it, "" for nothing: that the file has a lower version
	// and no effect, an address without an interface, or nobody to ask who of two nodes is cut off.
	Note string `json:"note"`
}

// Program is the program that runs as this node's process.
type Program struct {
	// Version names it, as `vippyd version` does.
	Version string `json:"version"`
	// Since is when it was started, be it in place of another.
	Since time.Time `json:"since,omitzero"`
	// Boot is the node's boot id: one program that takes another's place keeps it.
	Boot uint64 `json:"boot,string"`
}

// Stats count since the start of the process.
type Stats struct {
	Net NetStats `json:"net"`
	// StateChanges counts how often the groups owned by this node changed.
	StateChanges uint64 `json:"state-changes"`
	// Conflicts counts ARP frames in which another host claimed an address of this node.
	Conflicts uint64 `json:"conflicts"`
	// Refusals splits Net.Ignore by the reason for not believing a packet.
	Refusals map[string]uint64 `json:"refusals,omitempty"`
}

// NetStats count announcements.
type NetStats struct {
	// Ignore counts packets that were not believed.
	Ignore uint64 `json:"ignore"`
	// SendAnnounce counts announcements sent.
	SendAnnounce uint64 `json:"send-announce"`
	// RecvAnnounce counts announcements believed.
	RecvAnnounce uint64 `json:"recv-announce"`
}

// Config is the plan in the ancestor's form.
type Config struct {
	Version uint64     `json:"version"`
	VIPs    []VIPGroup `json:"vips"`
	Nodes   []string   `json:"nodes"`
}

// State is this node's part in the cluster, in the ancestor's form.
type State struct {
	Mature bool `json:"mature"`
	// Active: mature, and nothing keeps this node from holding addresses.
	Active bool `json:"active"`
	// InactiveReason is nil while active; "booting" before maturity.
	InactiveReason *string `json:"inactive_reason"`
	// Ownership lists the groups of each active node, and under Unowned those without
	// owner, be there none. It is empty before maturity.
	Ownership map[string][]VIPGroup `json:"ownership"`
}

// Unowned is the key in State.Ownership of the groups that nobody holds.
const Unowned = "_"

// Group is one group as this node sees it.
type Group struct {
	// Key is the group's key, 16 hexadecimal digits.
	Key  string `json:"key"`
	Name string `json:"name"`
	// Assigned is the node that should hold the group, "" for none.
	Assigned string `json:"assigned"`
	// Owner is the node that announces it as held, "" for none.
	Owner string `json:"owner"`
	// Owners are all nodes that announce it as held, when they are more than one.
	Owners []string `json:"owners,omitempty"`
	// Held: an address of it may be in this host's kernel.
	Held bool `json:"held"`
	// Reason says why Assigned is assigned, and what a claim waits for.
	Reason string `json:"reason"`
	// Since is when the owner last changed; left out while that is not known.
	Since     time.Time      `json:"since,omitzero"`
	Addresses []GroupAddress `json:"addresses"`
}

// Once says whether exactly one node announces the group.
func (g Group) Once() bool { return g.Owner != "" && len(g.Owners) < 2 }

// GroupAddress is one address of a group on this host.
type GroupAddress struct {
	Address netip.Prefix `json:"address"`
	// Interface is where this host has it or would have it.
	Interface string `json:"interface"`
	// Plumbed: it was seen in this host's kernel.
	Plumbed bool `json:"plumbed"`
	// ContestedBy is the hardware address of the host that claims the address beside
	// this node, or answers for it although no owner is known, with the node in
	// parentheses where it is one; "" for nobody.
	ContestedBy string `json:"contested_by"`
}

// PeerState says how a peer and this node hear each other.
type PeerState string

// The states of a peer.
const (
	// PeerLive: heard, and it hears this node.
	PeerLive PeerState = "live"
	// PeerOneWay: heard, but it hears others and not this node.
	PeerOneWay PeerState = "one-way"
	// PeerDeaf: heard, but it hears nobody.
	PeerDeaf PeerState = "deaf"
	// PeerAbsent: not heard.
	PeerAbsent PeerState = "absent"
)

// NeverHeard is the LastHeardMS of a peer that was not heard since the daemon started.
const NeverHeard = -1

// Peer is another node as this one sees it.
type Peer struct {
	Node  string    `json:"node"`
	State PeerState `json:"state"`
	// Eligible: it may be given groups. Reason says why not.
	Eligible bool   `json:"eligible"`
	Reason   string `json:"reason"`
	// PlanVersion and PlanDigest name the plan that the peer last announced.
	PlanVersion uint64 `json:"plan_version"`
	PlanDigest  string `json:"plan_digest"`
	// LastHeardMS is how many milliseconds ago it was last heard, or NeverHeard.
	LastHeardMS int64 `json:"last_heard_ms"`
}

// Grant is this daemon's permission to have addresses, renewed by each finished turn.
type Grant struct {
	Valid       bool  `json:"valid"`
	RemainingMS int64 `json:"remaining_ms"`
}

// Guard is the process that removes the addresses when the daemon can't.
type Guard struct {
	// PID is 0 when there is no guard.
	PID int  `json:"pid"`
	OK  bool `json:"ok"`
}

// Alarm is a condition that a person should look at.
type Alarm struct {
	Name   string    `json:"name"`
	Since  time.Time `json:"since,omitzero"`
	Detail string    `json:"detail"`
}

// The names of the alarms.
const (
	AlarmOneWay        = "one-way"
	AlarmDeaf          = "deaf"
	AlarmIsolated      = "isolated"
	AlarmPlanConflict  = "plan-conflict"
	AlarmDuplicateName = "duplicate-name"
	AlarmContested     = "contested"
	AlarmTwoOwners     = "two-owners"
	AlarmNoGuard       = "no-guard"
	AlarmBadSeal       = "bad-seal"
	AlarmLoopLate      = "loop-late"
	AlarmCannotPlumb   = "cannot-plumb"
	AlarmClockGap      = "clock-gap"
)

// MarshalJSON writes lists and maps without elements as such, never as null: scripts
// iterate over them.
func (s Status) MarshalJSON() ([]byte, error) {
	s.Config.VIPs = list(s.Config.VIPs)
	s.Config.Nodes = list(s.Config.Nodes)
	ownership := make(map[string][]VIPGroup, len(s.State.Ownership))
	for node, groups := range s.State.Ownership {
		ownership[node] = list(groups)
	}
	s.State.Ownership = ownership
	s.Groups, s.Peers, s.Alarms = list(s.Groups), list(s.Peers), list(s.Alarms)
	s.Plugins = list(s.Plugins)
	type plain Status
	return json.Marshal(plain(s))
}

// MarshalJSON writes a group without addresses with an empty list.
func (g Group) MarshalJSON() ([]byte, error) {
	g.Addresses = list(g.Addresses)
	type plain Group
	return json.Marshal(plain(g))
}

func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
