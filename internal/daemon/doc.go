// Package daemon owns the one loop of vippyd and its life: start, reload, leaving, the
// status, the story that the log tells.
//
// The loop takes one input (datagrams, a frame's sign, a kernel report, a vote, a
// command, a reload, the order to stop, or the timer), calls the core, takes one Ready,
// sends, hands the desired addresses to the plumber, asks and announces by ARP, and
// sleeps until the next input. It is the only one that touches the core, and it waits
// for nothing but its inputs; but some ten milliseconds after it was not run for a while, for
// what waits in the socket, and for a farewell that is repeated.
//
// The package leaves alone flags, signals and exit codes, where the log goes, and every
// decision on who owns what.
package daemon
