package cluster

import (
	"fmt"
	"time"
)

// A switch may answer ARP for a host that is gone (ARP suppression of EVPN, RFC 7432
// section 10), for as long as it likes. Such a memory only answers: it neither chats, nor
// announces an address, nor replies to an echo request. A holder does at least one of these
// whatever a firewall drops, since it announces its addresses while any node may not hear
// it; a dead or hung one's kernel drops them within lifetime and sweep. So an answer that
// nothing else has confirmed for that long, and then for as long as silence takes, is a
// memory, and counts as silence.

// proves says whether a sign of an address can't come from a memory. An answer of IPv6 goes
// to everybody, like an announcement (RFC 4861 section 7.2.4), so it has to count as one.
func (s Sign) proves() bool { return s.Kind != Answered || s.Addr.Is6() }

// remembered returns when a group counts as having been silent for long although it is
// answered; zero while it isn't asked for by echo.
func (n *Node) remembered(now time.Time, g int, long time.Duration) time.Time {
	s := &n.signs[g]
	if s.pingOn.IsZero() || now.Sub(s.pinged) > 2*n.bounds.interval {
		return time.Time{}
	}
	from := s.proof
	if s.pingOn.After(from.Add(2 * n.bounds.interval)) {
		from = s.pingOn
	}
	if !n.majority.groups.has(g) {
		long += n.timing.Lifetime + sweep // where a majority decides, silence takes that long anyway
	}
	return from.Add(long)
}

// ping asks a group by echo, once an interval while it answers by ARP, and returns when to
// do so again.
func (n *Node) ping(now time.Time, g int, out *Ready) (wake time.Time) {
	s := &n.signs[g]
	if s.answer.IsZero() || now.Sub(s.answer) > n.bounds.stale || n.plan.Groups[g].Election {
		return time.Time{}
	}
	if due := s.pinged.Add(n.timing.Interval); now.Before(due) {
		return due
	}
	if s.pingOn.IsZero() || now.Sub(s.pinged) > 2*n.bounds.interval {
		s.pingOn = now
	}
	s.pinged = now
	for _, v := range n.plan.Groups[g].VIPs {
		out.Echo = append(out.Echo, v.Address.Addr())
	}
	return now.Add(n.timing.Interval)
}

// warnOfMemory raises the alarm where a group is taken that is still answered.
func (n *Node) warnOfMemory(now time.Time, g int) {
	s := &n.signs[g]
	if s.released() || now.Sub(s.answer) > n.bounds.stale {
		return
	}
	for _, v := range n.plan.Groups[g].VIPs {
		a := v.Address.Addr()
		if x, ok := n.rivals[a]; ok && now.Sub(x.Last) <= n.bounds.stale {
			n.alarms.raise("contested", now, fmt.Sprintf("%v was taken although ARP is answered for %s, which says nothing else: "+
				"does a switch answer from memory (ARP suppression)? clear the entry there", a, x.who()))
		}
	}
}
