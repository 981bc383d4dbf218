// Package hook owns telling programs what happened: which are told of what, in which
// order, how many at a time, and for how long each may take.
//
// It leaves alone what an event is (the daemon's story), how a foreign program is run
// (internal/child), and what comes of it: a hook that fails is a line in the log, and
// nothing else.
package hook
