package ctlsocket

import "net/http"

// A Verb names a change.
type Verb string

// The verbs.
const (
	// Drain hands over what this node holds and takes nothing until Undrain.
	Drain Verb = "drain"
	// Undrain ends Drain.
	Undrain Verb = "undrain"
	// Reload reads the config file again; a bad file changes nothing.
	Reload Verb = "reload"
	// Upgrade starts the daemon's program anew, from the file that is in its place now,
	// without moving anything. The answer is that it could go on, and that it is started
	// next; Status.Program tells when that has happened.
	Upgrade Verb = "upgrade"
)

// Verbs are all changes that a daemon knows.
var Verbs = []Verb{Drain, Undrain, Reload, Upgrade}

// A Command is a change that somebody asks for.
type Command struct {
	Verb Verb `json:"-"`
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
