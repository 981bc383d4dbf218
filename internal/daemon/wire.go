package daemon

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
)

// wire keeps what turns a frame into a sign: whose hardware address is whose.
type wire struct {
	// hosts are the addresses from which believed packets came, with the node.
	hosts map[netip.Addr]string
	// asked is when the hardware address of a host was last asked for.
	asked map[netip.Addr]time.Time
	// learned are hardware addresses of nodes on links where they don't chat.
	learned map[netplumb.MAC]learned
	// chatLinks are where every node of the plan is heard.
	chatLinks []string
	// frames and dropped are those of the last report.
	frames, dropped uint64
}

// learned is the node that was heard to hold what a hardware address spoke for.
type learned struct {
	node  string
	since time.Time
	// sure: so it was again later.
	sure bool
}

// maxHosts bounds hosts: a node's address may change, but not often.
const maxHosts = 256

// maxLearned bounds learned, which whoever is on the wire can fill.
const maxLearned = 256

// learnedAfter is how long a node must have held what a hardware address speaks for: an
// announcement may be heard just when the address goes from one node to another.
const learnedAfter = 500 * time.Millisecond

// askedEvery is the time between two questions for the hardware address of a host: an
// answer may be lost, and what it said be displaced by strangers.
const askedEvery = time.Second

func newWire() wire {
	return wire{hosts: map[netip.Addr]string{}, asked: map[netip.Addr]time.Time{}, learned: map[netplumb.MAC]learned{}}
}

// meet remembers the node behind an address, and asks for its hardware address while that
// is not known, so that its ARP announcements are known as its.
func (l *loop) meet(now time.Time, from netip.Addr) {
	if _, ok := l.wire.hosts[from]; !ok && len(l.wire.hosts) >= maxHosts {
		return
	}
	node := l.node.Host(from)
	if node == "" {
		return
	}
	l.wire.hosts[from] = node
	if !from.Is4() || from.IsUnspecified() || now.Sub(l.wire.asked[from]) < askedEvery {
		return
	}
	if _, known := l.kernel.MAC(from); !known {
		l.wire.asked[from] = now
		l.kernel.Ask(from)
	}
}

// hear turns a frame into a sign, and says whether it is worth a turn by itself.
func (l *loop) hear(now time.Time, h netplumb.Heard) bool {
	if l.kernel.manages(h.Addr) {
		node := ""
		if h.Kind != netplumb.Echo {
			l.learn(now, h)
			node = l.nodeOf(h.MAC)
		}
		l.node.Sign(now, signOf(h, node))
		// Its host asks often, and that a holder has what it holds is no news.
		return h.Kind != netplumb.Other && (node == "" || node != l.node.Holder(h.Addr))
	}
	kind := cluster.Frame
	if l.outsider(h) {
		kind = cluster.Outsider
	}
	l.node.Sign(now, cluster.Sign{Kind: kind, Addr: h.Addr, At: h.At})
	return false
}

// signOf is what it means that a host spoke for a virtual address: who asks in its name
// says that it has it, like who announces it. When it did is told, for a frame may have
// waited while a newer packet was taken.
func signOf(h netplumb.Heard, node string) cluster.Sign {
	s := cluster.Sign{Kind: cluster.Announced, Addr: h.Addr, Node: node, Link: h.Link, At: h.At}
	switch h.Kind {
	case netplumb.Answer:
		s.Kind = cluster.Answered
	case netplumb.Echo:
		s.Kind = cluster.Echoed
	}
	if h.MAC != (netplumb.MAC{}) {
		s.MAC = h.MAC.String()
	}
	return s
}

// nodeOf returns the node that a hardware address belongs to, or "".
func (l *loop) nodeOf(mac netplumb.MAC) string {
	if node := l.chatter(mac); node != "" {
		return node
	}
	if known := l.wire.learned[mac]; known.sure {
		return known.node
	}
	return ""
}

// chatter returns the node that chats from a host last heard with a hardware address.
func (l *loop) chatter(mac netplumb.MAC) string {
	for host, node := range l.wire.hosts {
		if known, ok := l.kernel.MAC(host); ok && known == mac {
			return node
		}
	}
	return ""
}

// learn notes whose hardware address speaks for a virtual address: that of its one
// holder. So a node is known on links where it doesn't chat. Where it does, another one
// that speaks for its addresses is a foreign host.
func (l *loop) learn(now time.Time, h netplumb.Heard) {
	holder := l.node.Holder(h.Addr)
	if holder == "" || slices.Contains(l.wire.chatLinks, h.Link) || l.chatter(h.MAC) != "" {
		return
	}
	known, ok := l.wire.learned[h.MAC]
	switch {
	case known.node != holder:
		known = learned{node: holder, since: now}
	case now.Sub(known.since) >= learnedAfter:
		known.sure = true
	}
	if !ok && len(l.wire.learned) >= maxLearned {
		for some := range l.wire.learned {
			delete(l.wire.learned, some)
			break
		}
	}
	l.wire.learned[h.MAC] = known
}

// outsider says whether a frame surely came from a host that is no node of the plan. A
// node that was taken for an outsider would be missed as one when it dies, and this
// node would think itself deaf. So gateways and witnesses count at once, others only
// on links where the nodes chat, and when the hardware address of each node is known.
func (l *loop) outsider(h netplumb.Heard) bool {
	if h.Addr.IsUnspecified() || l.nodeOf(h.MAC) != "" {
		return false
	}
	if slices.Contains(l.witnesses(), h.Addr) {
		return true
	}
	if !slices.Contains(l.wire.chatLinks, h.Link) {
		return false
	}
	known := map[string]bool{l.name: true}
	for host, node := range l.wire.hosts {
		if _, ok := l.kernel.MAC(host); ok {
			known[node] = true
		}
	}
	return !slices.ContainsFunc(l.config.Plan.Nodes, func(node string) bool { return !known[node] })
}

// witnesses are the gateways and the configured witnesses.
func (l *loop) witnesses() []netip.Addr {
	all := slices.Concat(l.kernel.report.Gateways, l.config.Witness)
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// chatOn takes the names of the chat links.
func (l *loop) chatOn(names []string) {
	l.wire.chatLinks = names
	l.kernel.listen(names)
}
