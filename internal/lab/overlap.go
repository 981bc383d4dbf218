package lab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A change is an address that came into a node's kernel or left it.
type change struct {
	// node is the number of the node.
	node    byte
	addr    netip.Addr
	present bool
	at      instant
	// since is when the lab last found no report of any kernel: it happened after that.
	since instant
}

// stampReach is how much later than the lab got to the kernel's report of a change a daemon's
// stamp of it may be.
const stampReach = 20 * time.Millisecond

// A hold is one time in which a node's kernel had an address.
type hold struct {
	node     byte
	addr     netip.Addr
	from, to instant
}

// forever is the end of a hold that goes on.
const forever = instant(1<<63 - 1)

// refine moves the changes that the kernels reported to when they happened. The kernel's
// list is complete but stamped when the lab got to it; a daemon's stamp is taken right
// after its call, but a daemon is not asked to be honest or alive, and so not believed before
// the lab last looked. Both are after the fact, so the earlier of the two is the nearer. The
// changes of each node are in the order of its kernel, which stays.
func refine(kernel, stamps []change) []change {
	out := slices.Clone(kernel)
	used := make([]bool, len(stamps))
	for i := range out {
		best := -1
		for j, s := range stamps {
			if used[j] || s.node != out[i].node || s.addr != out[i].addr || s.present != out[i].present ||
				s.at < out[i].since || s.at.sub(out[i].at) > stampReach {
				continue
			}
			if best < 0 || s.at.sub(out[i].at).Abs() < stamps[best].at.sub(out[i].at).Abs() {
				best = j
			}
		}
		if best >= 0 {
			used[best] = true
			out[i].at = min(out[i].at, stamps[best].at)
		}
	}
	// What came before another change of the same address happened before it, whenever the
	// lab got to it: what somebody else deleted has no stamp, its return has one.
	type key struct {
		node byte
		addr netip.Addr
	}
	next := map[key]instant{}
	for i, c := range slices.Backward(out) {
		k := key{c.node, c.addr}
		if at, is := next[k]; is {
			out[i].at = min(c.at, at)
		}
		next[k] = out[i].at
	}
	return out
}

// holds turns changes into times of possession.
func holds(changes []change) []hold {
	type key struct {
		node byte
		addr netip.Addr
	}
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	var out []hold
	open := map[key]int{}
	for _, c := range changes {
		k := key{c.node, c.addr}
		i, is := open[k]
		switch {
		case c.present && !is:
			open[k] = len(out)
			out = append(out, hold{c.node, c.addr, c.at, forever})
		case !c.present && is:
			out[i].to = c.at
			delete(open, k)
		}
	}
	return out
}

// overlap is the longest time between from and to in which two nodes had the same address.
func overlap(all []hold, from, to instant) time.Duration {
	longest := time.Duration(0)
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.addr == b.addr && a.node != b.node {
				longest = max(longest, min(a.to, b.to, to).sub(max(a.from, b.from, from)))
			}
		}
	}
	return longest
}

// shared tells which nodes had the same address between from and to, and since when, counted
// from from.
func shared(all []hold, from, to instant) string {
	out := ""
	for i, a := range all {
		for _, b := range all[i+1:] {
			begin := max(a.from, b.from, from)
			if length := min(a.to, b.to, to).sub(begin); a.addr == b.addr && a.node != b.node && length > 0 {
				out += fmt.Sprintf("; %v on nodes %d and %d from %v on for %v", a.addr, a.node, b.node, begin.sub(from), length)
			}
		}
	}
	return out
}

// taken is when the last of the addresses that moved came to its new owner, counted from
// from; movers names the new owner of each. False when nothing moved.
func taken(all []hold, movers map[netip.Addr]byte, from instant) (time.Duration, bool) {
	latest, moved := time.Duration(0), false
	for addr, owner := range movers {
		first := forever
		for _, h := range all {
			if h.addr == addr && h.node == owner && h.from >= from {
				first = min(first, h.from)
			}
		}
		if first != forever {
			latest, moved = max(latest, first.sub(from)), true
		}
	}
	return latest, moved
}
