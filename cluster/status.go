package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// alarms are the conditions that last, by name and subject.
type alarms map[alarmKey]*Alarm

type alarmKey struct{ name, subject string }

// alarmFor is how long an alarm of an event lasts after it.
const alarmFor = 10 * time.Second

// raise notes an event; its alarm ends when it has not happened again for a while.
func (a alarms) raise(name string, now time.Time, detail string) {
	k := alarmKey{name: name, subject: detail}
	if x := a[k]; x != nil {
		x.until = now.Add(alarmFor)
		return
	}
	alike := 0
	for other := range a {
		if other.name == name {
			alike++
		}
	}
	if alike < maxAlike {
		a[k] = &Alarm{Name: name, Since: now, Detail: detail, until: now.Add(alarmFor)}
	}
}

// maxAlike bounds the alarms of one name, so that strangers can't crowd out the others.
const maxAlike = 16

// An accusation is of whom an alarm was raised for a packet that was not believed.
type accusation struct {
	refusal Refusal
	from    netip.Addr
}

// accuseEvery is how often the same one is repeated at most: what a flood of packets costs
// is hardly more than opening each.
const accuseEvery = time.Second

// noteRefusal raises the alarms that follow from packets not believed.
func (n *Node) noteRefusal(now time.Time, r Refusal, in Packet) {
	if r != DuplicateName && r != BadSeal && r != UnknownKey {
		return
	}
	a := accusation{r, in.From.Addr()}
	if _, ok := n.accused[a]; ok || len(n.accused) >= maxAlike {
		return
	}
	n.accused[a] = now
	switch r {
	case DuplicateName:
		n.alarms.raise("duplicate-name", now, fmt.Sprintf("another process calls itself %s at %s", n.name, a.from))
	case UnknownKey:
		n.alarms.raise("bad-seal", now, fmt.Sprintf("packets from %s are sealed with another secret: %s", a.from, r.Remedy()))
	case BadSeal:
		n.alarms.raise("bad-seal", now, fmt.Sprintf("packets from %s have a wrong seal: %s", a.from, r.Remedy()))
	}
}

// judgeAlarms ends the alarms of events, and finds those that follow from the books.
func (n *Node) judgeAlarms(now time.Time) {
	maps.DeleteFunc(n.alarms, func(_ alarmKey, x *Alarm) bool { return now.After(x.until) })
	maps.DeleteFunc(n.accused, func(_ accusation, at time.Time) bool { return now.Sub(at) >= accuseEvery })
	n.rivals.judge(now)
	for g := range n.signs {
		s := &n.signs[g]
		switch {
		case n.heardHeld.has(g) || n.holds.mine.has(g) || s.answer.IsZero() || now.Sub(s.answer) > n.bounds.stale:
			s.silent = time.Time{}
		case s.silent.IsZero():
			s.silent = now
		}
	}
}

// contestedAfter is how long an address may answer without a known holder before that
// is an alarm.
const contestedAfter = 3 * time.Second

// Status returns a copy of what the node knows.
func (n *Node) Status(now time.Time) Status {
	out := Status{
		Name: n.name, Plan: n.plan, Mature: n.life.mature, Eligible: n.life.eligible,
		Reasons: slices.Clone(n.life.reasons), Drained: n.life.drain != nil, Isolated: n.life.isolated,
		Stats:  Stats{Sent: n.stats.Sent, Received: n.stats.Received, Conflicts: n.stats.Conflicts, Refused: maps.Clone(n.stats.Refused)},
		Rivals: n.standing(now),
		View:   vipgroup.View{Eligible: slices.Clone(n.view.Eligible), Holder: slices.Clone(n.view.Holder)},
	}
	for _, row := range n.view.Penalty {
		out.View.Penalty = append(out.View.Penalty, slices.Clone(row))
	}
	for _, x := range n.alarms {
		out.Alarms = append(out.Alarms, *x)
	}
	for _, p := range n.peers {
		if p == nil {
			continue
		}
		out.Peers = append(out.Peers, PeerStatus{
			Node: p.name, State: p.state, Farewell: p.farewell, Eligible: p.isHeard() && p.ann.eligible, Reason: p.ann.reason,
			PlanVersion: p.ann.version, PlanDigest: p.ann.digest, LastHeard: p.last, Boot: p.boot,
		})
		if p.table != nil {
			out.Peers[len(out.Peers)-1].Plan = &p.table.plan
		}
		out.Alarms = append(out.Alarms, n.peerAlarms(now, p)...)
	}
	out.Alarms = append(out.Alarms, n.strangerAlarms()...)
	for g := range n.plan.Groups {
		s := n.groupStatus(now, g)
		out.Groups = append(out.Groups, s)
		name := n.plan.Groups[g].Name
		if n.whollyHeld(g) > 1 {
			out.Alarms = append(out.Alarms, Alarm{Name: "two-owners", Since: n.since[g], Detail: name + " is held by " + strings.Join(s.Owners, " and ")})
		}
		if s.Contested {
			out.Alarms = append(out.Alarms, Alarm{Name: "contested", Since: n.signs[g].silent, Detail: n.contestDetail(g)})
		}
	}
	if n.life.isolated {
		out.Alarms = append(out.Alarms, Alarm{Name: "isolated", Since: n.life.frame, Detail: "no frame arrives: look at this host's link and switch port"})
	}
	slices.SortFunc(out.Alarms, func(a, b Alarm) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Detail, b.Detail)) })
	return out
}

// whollyHeld counts the nodes that hold every address of a group; with other plans two may
// hold a part each, and that is no conflict.
func (n *Node) whollyHeld(g int) (count int) {
	if n.holds.mine.has(g) {
		count++
	}
	for _, p := range n.peers {
		if p != nil && p.isHeard() && p.table != nil && p.table.covers(g, p.ann.held) {
			count++
		}
	}
	return count
}

func (n *Node) peerAlarms(now time.Time, p *peer) (out []Alarm) {
	switch {
	case n.self < 0 && (p.state == OneWay || p.state == Deaf):
		out = append(out, Alarm{Name: "one-way", Since: p.since, Detail: fmt.Sprintf("%s does not listen to %s, which is not in plan %d: "+
			"add it to nodes and raise version, or start it with vippyd -n NAME", p.name, n.name, n.plan.Version)})
	case p.state == OneWay:
		out = append(out, Alarm{Name: "one-way", Since: p.since, Detail: fmt.Sprintf("%s does not hear %s, which hears it", p.name, n.name)})
	case p.state == Deaf:
		out = append(out, Alarm{Name: "deaf", Since: p.since, Detail: p.name + " hears nobody"})
	}
	if !p.isHeard() || p.ann.digest == n.plan.Digest() {
		return out
	}
	detail := ""
	switch why, refused := n.plans.fetch.refused[p.ann.digest]; {
	case refused:
		detail = fmt.Sprintf("%s has plan %d, which can't be right: %s", p.name, p.ann.version, why)
	case p.ann.version != n.plan.Version:
		return out
	case p.table == nil:
		detail = fmt.Sprintf("%s has another plan of the same version %d: make the files equal, then raise version", p.name, p.ann.version)
	default:
		detail = fmt.Sprintf("%s has another plan of the same version %d: %s: make the files equal, then raise version", p.name, p.ann.version, p.table.conflict)
	}
	since := p.planned
	if since.Before(n.ruled) {
		since = n.ruled
	}
	return append(out, Alarm{Name: "plan-conflict", Since: since, Detail: detail})
}

func (n *Node) groupStatus(now time.Time, g int) GroupStatus {
	out := GroupStatus{
		Held: n.holds.mine.has(g), Reason: string(n.why[g]), Claiming: n.claims.open.has(g), Waiting: n.claims.groups[g].wait, Since: n.since[g],
	}
	if o := n.owner[g]; o != nobody {
		out.Assigned = n.plan.Members()[o]
	}
	if why := n.halfOwned(g); why != "" {
		out.Waiting = why
	}
	out.Owners = n.owners(g)
	out.Contested = n.contested(now, g)
	return out
}

// contested says whether a group has been answered for a while without a holder that is
// heard.
func (n *Node) contested(now time.Time, g int) bool {
	s := n.signs[g].silent
	return !s.IsZero() && now.Sub(s) >= contestedAfter
}

// contestDetail says who answers for a group, and what to do about it.
func (n *Node) contestDetail(g int) string {
	for _, v := range n.plan.Groups[g].VIPs {
		if x, ok := n.rivals[v.Address.Addr()]; ok {
			return fmt.Sprintf("%v is answered for by %s, although no node that is heard holds it: "+
				"is that node cut off or firewalled? a foreign host must give the address up", x.Addr, x.who())
		}
	}
	return n.plan.Groups[g].Name + " answers although no node that is heard holds it"
}
