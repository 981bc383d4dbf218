package daemon

import (
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/plugin"
)

// A conflict is one host that claims one address of this node.
type conflict struct {
	addr netip.Addr
	mac  string
}

// conflictAgain is the shortest time between two lines about one conflict.
const conflictAgain = time.Minute

// tellRivals tells of hosts that began to claim what this node has. That a foreign one does
// is an alarm as well, which says what to do.
func (s *story) tellRivals(now *snapshot) {
	maps.DeleteFunc(s.conflicts, func(_ conflict, said time.Time) bool { return now.now.Sub(said) >= conflictAgain })
	for _, r := range now.status.Rivals {
		i := now.status.Plan.Owns(r.Addr.String())
		key := conflict{r.Addr, r.MAC}
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

func whoIs(r cluster.Rival) string {
	if r.Node == "" {
		return "a host that is no node of the plan"
	}
	return r.Node
}
