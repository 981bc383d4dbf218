// Package upgrade owns how one program takes the place of another in a process that goes
// on: the rehearsal, in which the next program says, as a child, whether it could go on
// from what it will be handed; and the exchange by execve(2), by which it gets that and
// the open files.
//
// A process has one program at a time, so there is no moment with two that write
// addresses, nor any in which both believe that the other does. The process id stays, and
// with it the process that a service manager, a container or a shell knows, and the one
// that the guard watches. A program that fails after the exchange ends the process, which
// is a killed daemon, for which there is a guard; the rehearsal is there for that not to
// happen.
//
// The package leaves alone what is handed over: that is the daemon's.
package upgrade
