package ctlsocket

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Verb names a change.
type Verb string

// The verbs.
const (
	// Drain hands over what this node holds and takes nothing until Undrain.
	Drain Verb = "drain"
	// Undrain ends Drain.
	Undrain Verb = "undrain"
	// Move has a group go to the node that is named, and stay there.
	Move Verb = "move"
	// Rebalance evens the load, by one move after another.
	Rebalance Verb = "rebalance"
	// Leave ends the daemon: it hands over what it holds, or drops what nobody takes, and
	// says farewell. The answer is that it began to.
	Leave Verb = "leave"
	// Reload reads the config file again; a bad file changes nothing.
	Reload Verb = "reload"
	// Upgrade starts the daemon's program anew, from the file that is in its place now,
	// without moving anything. The answer is that it could go on, and that it is started
	// next; Status.Program tells when that has happened.
	Upgrade Verb = "upgrade"
)

// Verbs are all changes that a daemon knows.
var Verbs = []Verb{Drain, Undrain, Move, Rebalance, Leave, Reload, Upgrade}

// A Command is a change that somebody asks for.
type Command struct {
	Verb Verb `json:"-"`
	// By is who asks, as the kernel names the user.
	By string `json:"-"`
	// Node is who a Drain or Undrain is for, "" for the node that is asked, and where a Move
	// goes.
	Node string `json:"node,omitempty"`
	// Group is the name, the key or an address of the group that a Move is about.
	Group string `json:"group,omitempty"`
	// For is after how many seconds a Drain ends by itself; 0 for never.
	For float64 `json:"for,omitempty"`
}

// MaxFor is the longest that a Drain may be given to last.
const MaxFor = 365 * 24 * time.Hour

// Lasting is For.
func (c Command) Lasting() time.Duration { return time.Duration(c.For * float64(time.Second)) }

// takes are the fields of a command's body, by verb.
var takes = map[Verb][]string{Drain: {"node", "for"}, Undrain: {"node"}, Move: {"group", "node"}}

// given lists the fields that are set.
func (c Command) given() (fields []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{{"node", c.Node != ""}, {"group", c.Group != ""}, {"for", c.For != 0}} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

// hint says what a command's body may be.
func (c Command) hint() string {
	if fields := takes[c.Verb]; len(fields) > 0 {
		return fmt.Sprintf("%s takes a JSON object of %s", c.Verb, strings.Join(fields, ", "))
	}
	return fmt.Sprintf("%s takes an empty body or {}", c.Verb)
}

// check says what is wrong with a command's body.
func (c Command) check() error {
	for _, f := range c.given() {
		if !slices.Contains(takes[c.Verb], f) {
			return &Error{http.StatusBadRequest, fmt.Sprintf("%s has no %q", c.Verb, f), c.hint()}
		}
	}
	if c.Verb == Move && len(c.given()) < 2 {
		return &Error{http.StatusBadRequest, "move needs a group and a node", c.hint()}
	}
	if c.For < 0 || c.For > MaxFor.Seconds() || c.For > 0 && c.For < 1 {
		return &Error{http.StatusBadRequest, fmt.Sprintf("for: %v is not a number of seconds from 1 to %.0f", c.For, MaxFor.Seconds()), ""}
	}
	return nil
}

// Result is the answer to a change that was made.
type Result struct {
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// Error is a request that the daemon did not fulfil. A Daemon returns it to choose what
// the asker is told, a Client returns what it was told.
type Error struct {
	// Code is an HTTP status of 400 or more: StatusConflict when the daemon is in no
	// state to do it, StatusUnprocessableEntity when what it was given is wrong (a
	// config with faults), StatusInternalServerError (also 0) when it failed.
	Code int `json:"-"`
	// Message says what went wrong, in lower case.
	Message string `json:"error"`
	// Hint says what to do next; it may be empty.
	Hint string `json:"hint,omitempty"`
}

// Error returns the message, and the hint in brackets.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

// Answered says whether the daemon understood the request and its answer is no, as
// opposed to a request that it could not or may not judge.
func (e *Error) Answered() bool {
	return e.Code == http.StatusConflict || e.Code == http.StatusUnprocessableEntity
}
