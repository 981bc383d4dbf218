// Package guard owns what happens to a host's addresses when its daemon can't give them
// up itself: a second process that ends the daemon if there still is one, removes the
// addresses, sees them gone, and says the farewell that the daemon wrote ahead of time.
//
// The daemon's side is a Keeper, which starts the guard, tells it of every grant before
// the grant counts, and starts another when it ended. The guard's side is Main. At any
// time one process may write addresses: the daemon while its grant runs, the guard after
// it has seen the daemon's end.
//
// The guard has no secret and decides nothing: the farewell is sealed when it gets it,
// which addresses are the daemon's it is told, and everything it needs is open before it
// is needed. The package leaves alone everything before the daemon's death.
//
// # The line between them
//
// A SOCK_SEQPACKET socket pair: each message is a letter and its contents. The daemon
// sends never waiting; the guard answers each message with one byte, by which the daemon
// knows that it is alive. End of file is the daemon's death, whatever the cause.
package guard
