package cluster

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// rivals keeps who last spoke for each address of the plan that it isn't known to hold.
type rivals map[netip.Addr]Rival

// note takes a sign of an address that the plan has, which bounds the table.
func (r rivals) note(now time.Time, s Sign) {
	x, ok := r[s.Addr]
	if !ok || x.MAC != s.MAC {
		if s.Kind == Echoed {
			return // an echo reply doesn't tell from where it came on the wire
		}
		x = Rival{Addr: s.Addr, MAC: s.MAC, Since: now}
	}
	x.Node, x.Link, x.Last = s.Node, s.Link, now
	r[s.Addr] = x
}

// judge forgets those that were not heard for as long as an alarm lasts.
func (r rivals) judge(now time.Time) {
	maps.DeleteFunc(r, func(_ netip.Addr, x Rival) bool { return now.Sub(x.Last) > alarmFor })
}

// standing lists, by address, the rivals that matter: those of what is held here, and those
// who answer although no holder is heard.
func (n *Node) standing(now time.Time) (out []Rival) {
	for a, x := range n.rivals {
		if g, ok := n.byAddr[a]; ok && (n.holds.wanted.has(g) || n.contested(now, g)) {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b Rival) int { return a.Addr.Compare(b.Addr) })
	return out
}

// who names a host for people.
func who(node, mac, link string) string {
	text := cmp.Or(node, mac, "a host")
	if node != "" && mac != "" {
		text += " (" + mac + ")"
	}
	if link != "" {
		text += " on " + link
	}
	return text
}

func (s Sign) who() string  { return who(s.Node, s.MAC, s.Link) }
func (x Rival) who() string { return who(x.Node, x.MAC, x.Link) }
