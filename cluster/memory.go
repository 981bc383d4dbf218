package cluster

import (
	"fmt"
	"net/netip"
	"time"
)

// A switch may answer ARP for a host that is gone (ARP suppression of EVPN, RFC 7432
// section 10), for as long as it likes. Such a memory only answers: it neither chats, nor
// announces an address, nor replies to an echo request. A holder does at least one of these
// whatever a firewall drops, since it announces its addresses while any node may not hear
// it; a dead or hung one's kernel drops them within lifetime and sweep. So an answer that
// nothing else has confirmed for that long, and then for as long as silence takes, in which
// echo is asked for, too, is a memory, and counts as silence.

// proves says whether a sign of an address can't come from a memory. An answer of IPv6 goes
// to everybody, like an announcement (RFC 4861 section 7.2.4), so it has to count as one.
func (s Sign) proves() bool { return s.Kind != Answered || s.Addr.Is6() }

// believed is how long an answer needs no confirmation, and nobody is asked by echo: the
// kernel of a holder that died may go on so long.
func (n *Node) believed() time.Duration { return n.timing.Lifetime + sweep + n.bounds.interval }

// remembered returns when a group counts as having been silent for long although it is
// answered; zero while it isn't asked for by echo. It has been asked for stale then, once an
// interval.
func (n *Node) remembered(now time.Time, g int, long time.Duration) time.Time {
	s := &n.signs[g]
	if s.pingOn.IsZero() || now.Sub(s.pinged.last) > n.bounds.stale {
		return time.Time{}
	}
	from := s.proof
	if late := s.pingOn.Add(-n.believed() - n.bounds.interval/4); late.After(from) {
		from = late
	}
	if !n.majority.groups.has(g) {
		long += n.timing.Lifetime + sweep // where a majority decides, silence takes that long anyway
	}
	return from.Add(long)
}

// pingAt says whether a group should be asked by echo now, and else when: it answers by ARP,
// which nothing has confirmed for so long that no holder's kernel can have outlived it.
func (n *Node) pingAt(now time.Time, g int, wake *time.Time) bool {
	s := &n.signs[g]
	if s.answer.IsZero() || now.Sub(s.answer) > n.bounds.stale {
		return false
	}
	if due := s.proof.Add(n.believed()); now.Before(due) {
		s.pingOn = time.Time{}
		soonest(wake, due)
		return false
	}
	if now.Sub(s.pinged.last) > n.bounds.stale {
		s.pingOn = time.Time{}
	}
	if due := s.pinged.last.Add(n.timing.Interval); now.Before(due) {
		soonest(wake, due)
		return false
	}
	return true
}

// ping asks groups by echo, each once an interval, and returns when to do so again.
func (n *Node) ping(now time.Time, groups []int, out *Ready) (wake time.Time) {
	wake = n.askSome(now, &n.pinging, groups, func(s *sign) *walk { return &s.pinged }, func(a netip.Addr) { out.Echo = append(out.Echo, a) })
	for _, g := range groups {
		s := &n.signs[g]
		if s.pinged.last.Equal(now) && s.pingOn.IsZero() {
			s.pingOn = now
		}
		n.pingAt(now, g, &wake)
	}
	return wake
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
