// Package child owns how vippy runs programs that are not its own: checks, hooks and
// plugins. Such a program gets none of the daemon's powers, files, environment or
// priority; it runs as a user of its own, in a process group of its own, and dies with
// the daemon. It is not started at all when somebody but root and the daemon's user
// could have changed it. What it writes is bounded, and so is how long it is waited for.
//
// It leaves alone what is run, when, and what comes of it.
package child
