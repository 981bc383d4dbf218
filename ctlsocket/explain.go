package ctlsocket

import (
	"net/netip"
	"slices"
)

// Explanation is one group with all that had a say in who holds it.
type Explanation struct {
	// Identity is the node that explains; another may see it otherwise.
	Identity string `json:"identity"`
	Group    Group  `json:"group"`
	// Prefer are the nodes that the config prefers for it, best first.
	Prefer []string `json:"prefer"`
	// Nodes are all nodes of the plan, in its order.
	Nodes []Candidate `json:"nodes"`
	// IfDown is there where it was asked for.
	IfDown *Forecast `json:"if_down,omitempty"`
}

// Forecast is who would have a group if a node was lost.
type Forecast struct {
	// Node is the lost one.
	Node string `json:"node"`
	// Owner is "" for nobody; Reason says why.
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
}

// Candidate is a node that could hold a group.
type Candidate struct {
	Node string `json:"node"`
	// State is how the explaining node hears it; itself it finds live.
	State    PeerState `json:"state"`
	Eligible bool      `json:"eligible"`
	// Reason says why it is not eligible.
	Reason string `json:"reason"`
	// Groups is how many groups of the plan are assigned to it.
	Groups int `json:"groups"`
}

// Find returns the group that a person means by word: its name, else its key, else one
// of its addresses with or without the prefix length.
func (s Status) Find(word string) (Group, bool) {
	addr, err := netip.ParseAddr(word)
	prefix, _ := netip.ParsePrefix(word)
	for _, is := range []func(Group) bool{
		func(g Group) bool { return g.Name == word },
		func(g Group) bool { return g.Key == word },
		func(g Group) bool {
			return slices.ContainsFunc(g.Addresses, func(a GroupAddress) bool {
				return a.Address.IsValid() && (a.Address == prefix || err == nil && a.Address.Addr() == addr)
			})
		},
	} {
		if i := slices.IndexFunc(s.Groups, is); i >= 0 {
			return s.Groups[i], true
		}
	}
	return Group{}, false
}

// Explain gathers what the status says about the group that a person means by word.
func (s Status) Explain(word string) (Explanation, bool) {
	g, ok := s.Find(word)
	if !ok {
		return Explanation{}, false
	}
	return Explanation{Identity: s.Identity, Group: g, Prefer: list(s.prefer(g)), Nodes: s.candidates()}, true
}

// prefer finds the group by its place among the ancestor's lists: they know neither name
// nor key, and an election has no address.
func (s Status) prefer(g Group) []string {
	i := slices.IndexFunc(s.Groups, func(o Group) bool { return o.Key == g.Key })
	if i >= len(s.Config.VIPs) {
		return nil
	}
	return s.Config.VIPs[i].Prefer
}

func (s Status) candidates() []Candidate {
	out := make([]Candidate, 0, len(s.Config.Nodes))
	assigned := map[string]int{}
	for _, g := range s.Groups {
		assigned[g.Assigned]++
	}
	for _, node := range s.Config.Nodes {
		c := Candidate{Node: node, State: PeerAbsent, Groups: assigned[node]}
		if node == s.Identity {
			c.State, c.Eligible = PeerLive, s.State.Active
			if r := s.State.InactiveReason; r != nil {
				c.Reason = *r
			}
		}
		for _, p := range s.Peers {
			if p.Node == node {
				c.State, c.Eligible, c.Reason = p.State, p.Eligible, p.Reason
			}
		}
		out = append(out, c)
	}
	return out
}
