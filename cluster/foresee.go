package cluster

import (
	"fmt"
	"slices"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Forecast is who would have a group if some node was lost.
type Forecast struct {
	// Owner is "" for nobody.
	Owner  string
	Reason string
}

// IfDown foretells who would have a group without a node, by what this one knows now.
func (n *Node) IfDown(k vipgroup.Key, node string) (Forecast, *Denial) {
	g, at := n.plan.Group(k), n.plan.Member(node)
	if g < 0 || at < 0 {
		return Forecast{}, &Denial{fmt.Sprintf("plan %d has no node %q", n.plan.Version, node), "vippyctl peers lists them"}
	}
	if left := n.votersWithout(at); n.majority.groups.has(g) && left < n.majority.need {
		return Forecast{"", fmt.Sprintf("no majority: %d of %d %s would be left", left, n.majority.of, n.voterKind())}, nil
	}
	d := vipgroup.Decision{Owner: n.owner[g], Reason: n.why[g]} // a mere voter has nothing
	if at < len(n.plan.Nodes) {
		d = vipgroup.Without(n.plan, n.view, at)[g]
	}
	out := Forecast{Reason: string(d.Reason)}
	if d.Owner >= 0 {
		out.Owner = n.plan.Members()[d.Owner]
	}
	return out, nil
}

// votersWithout counts the voters that would be left to make a majority.
func (n *Node) votersWithout(member int) (left int) {
	for i, p := range n.peers {
		switch {
		case i == member:
		case i == n.self:
			left += n.majority.own()
		case p.votes && p.state == Live:
			left++
		}
	}
	return left
}

// NextMove is the next one that evens the load, by what this node knows now: which group
// goes to which node. ok is false when there is none.
func (n *Node) NextMove() (k vipgroup.Key, to string, ok bool) {
	g, at := vipgroup.NextMove(n.plan, n.view)
	if g < 0 {
		return k, "", false
	}
	return n.plan.Groups[g].Key, n.plan.Nodes[at], true
}

// Successors says whether any other node may have something.
func (n *Node) Successors() bool {
	return slices.ContainsFunc(n.peers, func(p *peer) bool { return p != nil && p.serves && p.state == Live && p.eligible })
}
