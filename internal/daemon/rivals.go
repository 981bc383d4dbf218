package daemon

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A conflict is one node, or whoever is no node (""), that claims one address of this node.
// Hardware addresses can be changed by the thousand.
type conflict struct {
	addr netip.Addr
	node string
}

// conflictAgain is the shortest time between two lines about one conflict.
const conflictAgain = time.Minute

// tellRivals tells of hosts that began to claim what this node has. That a foreign one does
// is an alarm as well, which says what to do.
func (s *story) tellRivals(now *snapshot) {
	maps.DeleteFunc(s.conflicts, func(_ conflict, said time.Time) bool { return now.now.Sub(said) >= conflictAgain })
	for _, r := range now.status.Rivals {
		i := now.status.Plan.Owns(r.Addr.String())
		key := conflict{r.Addr, r.Node}
		if _, told := s.conflicts[key]; told || i < 0 || !now.status.Groups[i].Held {
			continue
		}
		if s.conflicts == nil {
			s.conflicts = map[conflict]time.Time{}
		}
		s.conflicts[key] = now.now
		group := now.status.Plan.Groups[i]
		text := fmt.Sprintf("%s claims %v, which this node has", whoIs(r), r.Addr)
		s.log.Warn(text, "addr", r.Addr, "group", group.Name, "mac", r.MAC, "node", r.Node, "link", r.Link)
		s.emit(plugin.Event{Kind: plugin.Conflict, Time: now.now, Group: group, Reason: text})
	}
}

// tellStillOwned tells that a dispute about a group of this node is over, and that this node
// has it. What hooks do outside, the other one's may have undone.
func (s *story) tellStillOwned(now *snapshot) {
	disputed := map[vipgroup.Key]string{}
	for i, g := range now.status.Plan.Groups {
		others := slices.DeleteFunc(slices.Clone(now.status.Groups[i].Owners), func(name string) bool { return name == now.status.Name })
		if s.doing[g.Key] == taken && len(others) > 0 {
			disputed[g.Key] = strings.Join(others, " and ")
		}
	}
	for _, r := range now.status.Rivals {
		if i := now.status.Plan.Owns(r.Addr.String()); i >= 0 && s.doing[now.status.Plan.Groups[i].Key] == taken && !concedes(now, r, i) {
			disputed[now.status.Plan.Groups[i].Key] = whoIs(r)
		}
	}
	for _, g := range now.status.Plan.Groups {
		if rival := s.disputed[g.Key]; rival != "" && disputed[g.Key] == "" && s.doing[g.Key] == taken {
			s.log.Info("still has "+groupName(g)+": nobody else claims it any more", "group", g.Name)
			s.emit(plugin.Event{Kind: plugin.StillOwner, Time: now.now, Group: g, Reason: rival + " no longer claims it"})
		}
	}
	s.disputed = disputed
}

// concedes says whether a rival is a node that is heard not to have the group: what it said
// by ARP was said before.
func concedes(now *snapshot, r cluster.Rival, group int) bool {
	return r.Node != "" && !slices.Contains(now.status.Groups[group].Owners, r.Node) &&
		slices.ContainsFunc(now.status.Peers, func(p cluster.PeerStatus) bool {
			return p.Node == r.Node && p.State == cluster.Live && p.LastHeard.After(r.Last)
		})
}

func whoIs(r cluster.Rival) string {
	if r.Node == "" {
		return "a host that is no node of the plan"
	}
	return r.Node
}
