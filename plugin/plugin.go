package plugin

import (
	"context"
	"log/slog"
)

// A Plugin votes on the health of this node and listens to what happens to its groups.
//
// After a reload a plugin is compared with the running one of its name (see Runner.Set)
// by its fields: keep in them what was configured, and in Run what changes.
type Plugin interface {
	// Name is unique among the plugins of a daemon; it shows in the status with each
	// vote.
	Name() string
	// Run works until ctx is cancelled. A plugin that returns or panics earlier has
	// voted: the node is barred (see Ender), and the plugin is started again after a
	// pause. (A panic in a goroutine that the plugin started itself ends the daemon.)
	Run(ctx context.Context, host Host) error
}

// An Ender is a Plugin that says itself what its end means: it bars these groups rather
// than the node, or just makes them cost something, or means nothing to anybody.
type Ender interface {
	// Ended returns the votes that stand from the plugin's end until it runs again, where
	// they are worse than its own on the same things. It may be called from any goroutine.
	Ended(reason string) []Vote
}

// A Host is what a plugin sees of the daemon. All methods may be called from any
// goroutine. None of them waits but Status, and in a process of its own also Vote and Log
// (see Main).
type Host interface {
	// Vote gives opinions, each of which stands until the plugin gives another one
	// about the same thing. They take effect at once; of a burst about one thing, the
	// last one does. Opinions that belong together go in one call: the first call
	// after a reload replaces all that the plugin said before it.
	Vote(votes ...Vote)
	// Events returns what happens, always by the same channel, which is never closed.
	// A plugin that reads too slowly loses the oldest events.
	Events() <-chan Event
	// Status returns what the daemon knows. This method alone may wait, where the plugin
	// is a process of its own: for the answer or for ctx.
	Status(ctx context.Context) (Status, error)
	// Log writes to the daemon's log, marked with the plugin's name.
	Log() *slog.Logger
}

// A Vote is an opinion on the health of this node. The zero value says that the whole
// node is healthy.
type Vote struct {
	// Group is the name, key or any address of the group that the vote is about; ""
	// means the whole node. A vote on a group that the plan doesn't have waits for one.
	Group string
	// Bar takes the node, or the group at this node, out.
	Bar bool
	// Penalty, where Bar is not set, makes this node the worse choice, the higher the
	// worse; 0 says healthy and withdraws what was voted before.
	Penalty int
	// Reason says in a few words why, for the tired operator.
	Reason string
}

// MaxPenalty is the largest penalty that a config or a program may give.
const MaxPenalty = 1_000_000

// Healthy says whether the vote withdraws.
func (v Vote) Healthy() bool { return !v.Bar && v.Penalty <= 0 }

// A Ballot is a vote with the one who cast it.
type Ballot struct {
	// Source is "plugin NAME".
	Source string
	Vote   Vote
	// Ended says that it is not what the plugin thinks, but what its end stands for.
	Ended bool `json:",omitempty"`
}
