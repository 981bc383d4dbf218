package ctlsocket

import (
	"encoding/json"
	"time"
)

// Plugin is a plugin or a check of this node.
type Plugin struct {
	Name string `json:"name"`
	// Program is the command of a program; left out for checks and what is compiled in.
	Program []string `json:"program,omitempty"`
	// Running says whether it runs, Since since when it does or doesn't; PID is the process
	// id of a program that runs.
	Running bool      `json:"running"`
	Since   time.Time `json:"since,omitzero"`
	PID     int       `json:"pid,omitempty"`
	// Restarts counts how often it was started again after it had ended, and Failure says
	// how it last did; left out for never.
	Restarts int    `json:"restarts"`
	Failure  string `json:"failure,omitempty"`
	// Voted is false while nothing is known of what it thinks. Votes are its opinions that
	// speak against this node.
	Voted bool         `json:"voted"`
	Votes []PluginVote `json:"votes"`
	// Stderr is the last line that a program wrote there.
	Stderr string `json:"stderr,omitempty"`
}

// PluginVote is one opinion of a plugin.
type PluginVote struct {
	// Group is the plugin's word for a group; left out for the whole node.
	Group string `json:"group,omitempty"`
	// Bar takes the node or the group out; else Penalty makes it the worse choice.
	Bar     bool   `json:"bar"`
	Penalty int    `json:"penalty,omitempty"`
	Reason  string `json:"reason"`
}

// Well says whether the plugin runs and has nothing against this node.
func (p Plugin) Well() bool { return p.Running && len(p.Votes) == 0 }

// MarshalJSON writes a plugin without votes with an empty list.
func (p Plugin) MarshalJSON() ([]byte, error) {
	p.Votes = list(p.Votes)
	type plain Plugin
	return json.Marshal(plain(p))
}
