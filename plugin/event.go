package plugin

import (
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A Kind says what happened. Intent and result are kinds of their own: between Taking
// and Taken lies the cluster's permission and the kernel's work, and a Taking may end
// in Released.
type Kind string

// The kinds.
const (
	// Taking: this node claims the group.
	Taking Kind = "taking"
	// Taken: all of the group's addresses were seen in this node's kernel.
	Taken Kind = "taken"
	// Releasing: this node is about to give the group up.
	Releasing Kind = "releasing"
	// Released: the group's addresses were seen gone from this node's kernel, or the
	// claim was given up.
	Released Kind = "released"
	// Conflict: another host announces an address that this node has; Group is whose, and
	// Reason says who does. Told once a minute of each such host.
	Conflict Kind = "conflict"
	// StillOwner: a conflict about the group, or another node's announcement that it holds
	// the group, too, is over, and this node has it. What the other one's hooks or plugins
	// did outside may have to be done again.
	StillOwner Kind = "still-owner"
	// Moved: Node, which is another node, has the group now, or nobody any more; Former had
	// it before. What this node takes and gives up has the kinds above. It is seen from
	// the announcements of others, so not while this node is yet to hear them all.
	Moved Kind = "moved"
	// Eligible: this node may own groups.
	Eligible Kind = "eligible"
	// NotEligible: it may not; Reason says why.
	NotEligible Kind = "not-eligible"
	// Peer: another node, Node, is heard or not, or eligible or not; Reason says which.
	Peer Kind = "peer"
	// Alarm: a condition began that a person should look at; Reason is its name, a colon,
	// and its detail.
	Alarm Kind = "alarm"
	// AlarmOver: it ended.
	AlarmOver Kind = "alarm-over"
	// PlanChanged: another plan rules; PlanVersion is its version.
	PlanChanged Kind = "plan-changed"
	// Stopping: the daemon hands over and ends; the context is cancelled later.
	Stopping Kind = "stopping"
)

// An Event is something that happened to this node or to one of its groups.
type Event struct {
	Kind Kind
	Time time.Time
	// Group is set for the first seven kinds.
	Group vipgroup.Group
	// Node is the other node that the event is about, "" for none; Former is the node that
	// had the group before.
	Node, Former string
	// Reason says why, where there is more to say than the kind does.
	Reason string
	// PlanVersion is the version of the plan that ruled.
	PlanVersion uint64
	// Lost is how many events were lost, unread, since the last one that said so.
	Lost int
}
