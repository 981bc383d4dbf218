package vipgroup

import (
	"slices"
	"strings"
)

// A Move is what becomes of a group when one plan takes the place of another.
type Move struct {
	Group string
	// From is the node that has it, or those that have its addresses, "" for nobody; To is
	// who should have it, "" for nobody.
	From, To string
	// Stays: the same node has it afterwards, and its addresses are not touched.
	Stays bool
	// Gone: only the old plan has it. Joined: its addresses were not all at one node.
	Gone, Joined bool
	// Reason is the rule that chose To.
	Reason Reason
}

// Forecast says what becomes of every group when plan is takes the place of was. The view is
// that of was; who is no node of was can't be eligible. Groups that only was has come last.
func Forecast(was Plan, v View, is Plan) []Move {
	next := View{Eligible: make([]bool, len(is.Members())), Holder: make([]int, len(is.Groups)), Penalty: make([][]int, len(is.Members()))}
	from := make([]int, len(is.Nodes)) // their places in was
	for i, name := range is.Nodes {
		from[i] = was.Node(name)
		next.Eligible[i] = from[i] >= 0 && from[i] < len(v.Eligible) && v.Eligible[from[i]]
	}
	holder := func(g int) int {
		if g < 0 || v.Holder == nil {
			return -1
		}
		return v.Holder[g]
	}
	out := make([]Move, len(is.Groups))
	for i, g := range is.Groups {
		next.Holder[i] = -1
		var owners []string
		whole := true
		for _, r := range g.Resources() {
			at := was.Owns(r)
			h := holder(at)
			whole = whole && h >= 0
			if h >= 0 && !slices.Contains(owners, was.Members()[h]) {
				owners = append(owners, was.Members()[h])
			}
			for n := range is.Nodes {
				if at < 0 || from[n] < 0 || from[n] >= len(v.Penalty) || v.Penalty[from[n]] == nil {
					continue
				}
				if next.Penalty[n] == nil {
					next.Penalty[n] = make([]int, len(is.Groups))
				}
				next.Penalty[n][i] = max(next.Penalty[n][i], v.Penalty[from[n]][at])
			}
		}
		slices.Sort(owners)
		out[i] = Move{Group: g.Name, From: strings.Join(owners, " and ")}
		if whole && len(owners) == 1 {
			next.Holder[i] = is.Node(owners[0])
		} else if len(owners) > 0 {
			out[i].Joined = true
		}
	}
	for i, d := range Assign(is, next) {
		m := &out[i]
		m.Reason = d.Reason
		if d.Owner >= 0 {
			m.To = is.Nodes[d.Owner]
		}
		m.Stays = m.From == m.To && !m.Joined
	}
	for i, g := range was.Groups {
		if slices.ContainsFunc(g.Resources(), func(r string) bool { return is.Owns(r) >= 0 }) {
			continue
		}
		m := Move{Group: g.Name, Gone: true}
		if h := holder(i); h >= 0 {
			m.From = was.Members()[h]
		}
		m.Stays = m.From == ""
		out = append(out, m)
	}
	slices.SortStableFunc(out, func(a, b Move) int {
		if a.Gone != b.Gone {
			if b.Gone {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Group, b.Group)
	})
	return out
}
