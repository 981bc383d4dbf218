package vipgroup

import "strconv"

// Count says "1 group", "2 groups".
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Size says "3 nodes and 1 group".
func (p Plan) Size() string {
	return Count(len(p.Nodes), "node") + " and " + Count(len(p.Groups), "group")
}
