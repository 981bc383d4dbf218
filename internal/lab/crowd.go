package lab

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// without returns what is left of a hold outside of times, which are in their order.
func without(h hold, times []span) (out []hold) {
	for _, s := range times {
		if s.to <= h.from || s.from >= h.to {
			continue
		}
		if s.from > h.from {
			out = append(out, hold{h.node, h.addr, h.from, s.from})
		}
		h.from = s.to
	}
	if h.from < h.to {
		out = append(out, h)
	}
	return out
}

// crowds is how long no node had an address between from and to, and how long two or more
// had, all such times together and each the worst over all addresses that anybody ever had.
// (overlap is the longest time at a stretch.)
func crowds(all []hold, from, to instant) (none, dual time.Duration) {
	type edge struct {
		at instant
		by int
	}
	edges := map[netip.Addr][]edge{}
	for _, h := range all {
		es := edges[h.addr]
		if begin, end := max(h.from, from), min(h.to, to); begin < end {
			es = append(es, edge{begin, 1}, edge{end, -1})
		}
		edges[h.addr] = es
	}
	for _, es := range edges {
		slices.SortFunc(es, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.by, b.by)) })
		owners, last := 0, from
		var nobody, several time.Duration
		for _, e := range append(es, edge{to, 0}) {
			switch {
			case owners == 0:
				nobody += e.at.sub(last)
			case owners > 1:
				several += e.at.sub(last)
			}
			owners, last = owners+e.by, e.at
		}
		none, dual = max(none, nobody), max(dual, several)
	}
	return none, dual
}
