package cluster

import (
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Timing is how often a node speaks and how long silence is borne.
type Timing struct {
	// Interval is the time between two announcements.
	Interval time.Duration
	// Stale is how long a node that had an address must have been silent, and its
	// address with it, before the address is taken.
	Stale time.Duration
	// Mature bounds how long a new process waits for nodes that it doesn't hear.
	Mature time.Duration
	// Lifetime is how long the kernel keeps an address that nobody extends.
	Lifetime time.Duration
}

// Options are what a Node starts with.
type Options struct {
	// Name is this node's name; it need not be in the plan (then it only listens).
	Name string
	// Cluster separates clusters that share a wire and a secret.
	Cluster string
	// Boot must be larger than that of every earlier process of this node.
	Boot uint64
	// Keys open packets; the first one seals.
	Keys []Key
	// Plan is what all nodes agree on.
	Plan vipgroup.Plan
	// Timing is this node's own; the largest among the nodes heard rules.
	Timing Timing
}

// A Packet is a datagram as it came from the chat socket.
type Packet struct {
	Data []byte
	// From is the address to which a direct answer goes.
	From netip.AddrPort
	// TTL is the hop limit with which it arrived; only 255 is from this link (RFC 5082).
	TTL int
}

// A Datagram is bytes to send, to the chat group where To is not valid.
type Datagram struct {
	To   netip.AddrPort
	Data []byte
}

// A SignKind says what was seen on the wire.
type SignKind int

// The signs.
const (
	// Answered: somebody answered an ARP request for Addr.
	Answered SignKind = iota
	// Announced: somebody announced Addr by ARP, unasked, or asked another in its name.
	Announced
	// Echoed: Addr answered an ICMP echo request of ours.
	Echoed
	// Frame: a frame arrived, whatever it was.
	Frame
	// Outsider: a frame of a host outside the plan arrived (also an answer of the
	// gateway or a witness); such a host can be expected to be heard again.
	Outsider
)

// A Sign is something that the wire says about an address, or just that it lives.
type Sign struct {
	Kind SignKind
	Addr netip.Addr
	// Node is the plan node whose hardware address sent the frame; "" when not known.
	Node string
	// MAC is that hardware address and Link the interface on which the frame came, for
	// people; "" when not known.
	MAC, Link string
	// At is when the frame arrived; zero means now.
	At time.Time
}

// A Vote is an opinion on the health of this node. The pair of Source and Group names
// it: a later vote replaces an earlier one.
type Vote struct {
	Source string
	// Group is the group that the vote is about; nil means the whole node.
	Group *vipgroup.Key
	// Bar takes the node or the group out; false with Penalty 0 withdraws the vote.
	Bar bool
	// Unable says that the group can't be served here at all, successor or not: with Bar,
	// it is given up at once.
	Unable bool
	// Strict says that the group is better nowhere than here: with Bar, it is given up, too,
	// where no other node may have it. Without, its holder goes on.
	Strict bool
	// Penalty makes this node the worse choice for the group, the higher the worse.
	Penalty int
	Reason  string
}

// A Drain keeps this node from having anything that another one can have.
type Drain struct {
	// Until is when it ends by itself; zero for never.
	Until time.Time
	// Note follows "drained" in what people are told: until when, by whom.
	Note string
}

// A Report is what the kernel holds of one group, as it was read back.
type Report struct {
	Group vipgroup.Key
	// Present is how many of the group's addresses are in this host's kernel.
	Present int
	// Missing is how many are not.
	Missing int
}

// Ready is everything that the caller should do now. The caller sends first, then
// applies Hold, then asks and announces, then sleeps until Wake or the next input.
type Ready struct {
	Send []Datagram
	// Hold is the whole set of groups whose addresses this host should have; it is
	// valid until the next Ready and must not be changed.
	Hold []vipgroup.Key
	// Ask lists addresses for which an ARP probe (RFC 5227) should go out now.
	Ask []netip.Addr
	// Echo lists addresses to which an ICMP echo request should go now: they answer ARP,
	// and nobody is heard to hold them. One that can't be sent must be reported as Echoed,
	// for its silence would say nothing.
	Echo []netip.Addr
	// Announce lists held addresses that should be announced by ARP now, beyond the
	// schedule that follows taking them.
	Announce []netip.Addr
	// Neighbours are parts of what other nodes shared since the last Ready.
	Neighbours []NeighbourPart
	// Orders came from other nodes; each is to be carried out once, and answered.
	Orders []Given
	// Replies say what became of the orders that this node gave.
	Replies []Replied
	// Announced is set when this turn's announcement (or an earlier one within an
	// interval) went out, so that the turn counts as a grant.
	Announced bool
	// Lapse is when the majority runs out for which something is held (partition:
	// single): nothing may be added or extended from then on, and what needs it should be
	// gone soon. Zero where nothing held needs one.
	Lapse time.Time
	// Wake is when Ready wants to be called again at the latest.
	Wake time.Time
}

// A PeerState says how a peer and this node hear each other.
type PeerState string

// The states of a peer.
const (
	// Live: heard, and it acknowledges something that this process sent lately.
	Live PeerState = "live"
	// OneWay: heard, but it hears others and not this node.
	OneWay PeerState = "one-way"
	// Deaf: heard, and it hears nobody.
	Deaf PeerState = "deaf"
	// Absent: not heard.
	Absent PeerState = "absent"
)

// PeerStatus is one peer as this node sees it.
type PeerStatus struct {
	Node        string
	State       PeerState
	Farewell    bool
	Eligible    bool
	Reason      string
	PlanVersion uint64
	PlanDigest  vipgroup.Digest
	// Plan is that plan; nil while it isn't known here. It must not be changed.
	Plan *vipgroup.Plan
	// LastHeard is when its last announcement arrived; zero when never.
	LastHeard time.Time
	Boot      uint64
}

// GroupStatus is one group as this node sees it.
type GroupStatus struct {
	// Assigned is the node that should have it, "" for none; Reason is why.
	Assigned string
	Reason   string
	// Owners are the heard nodes, this one included, that announce it as held.
	Owners []string
	// Held: it may be in this host's kernel.
	Held bool
	// Claiming: this node wants it and waits for permission; Waiting says for what.
	Claiming bool
	Waiting  string
	// Since is when its holder last changed.
	Since time.Time
	// Contested: the address answers although no holder is heard.
	Contested bool
}

// A Rival is who else speaks for an address that this node holds, or who answers for one
// of which no holder is heard.
type Rival struct {
	Addr netip.Addr
	// Node is the plan node that it is; "" for a foreign or unknown host.
	Node string
	// MAC is its hardware address and Link the interface on which it was heard.
	MAC, Link string
	// Since is when it was first heard to, Last when it last was.
	Since, Last time.Time
}

// An Alarm is a condition that a person should look at.
type Alarm struct {
	Name   string
	Since  time.Time
	Detail string
	until  time.Time // of an event's alarm: when it ends
}

// Status is the whole of what a Node knows, for rendering. Groups are indexed like the
// plan's.
type Status struct {
	Name     string
	Plan     vipgroup.Plan
	Mature   bool
	Eligible bool
	// Reasons lists why the node is not eligible, most important first.
	Reasons []string
	// Drained: an order to drain is in force.
	Drained bool
	// Isolated: no frame arrives, so this node released everything.
	Isolated bool
	Groups   []GroupStatus
	Peers    []PeerStatus
	// Rivals are sorted by address; each has at most one, the last that was heard.
	Rivals []Rival
	Alarms []Alarm
	Stats  Stats
	// View is what the assignment was last computed of.
	View vipgroup.View
}

// Stats count packets and frames.
type Stats struct {
	Sent     uint64
	Received uint64
	// Conflicts counts ARP frames in which another host claimed an address held here.
	Conflicts uint64
	Refused   map[Refusal]uint64
}
