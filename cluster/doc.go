// Package cluster owns the agreement between nodes: the announcement and its seal,
// who is heard and who is eligible, and Node, which turns packets, signs of addresses,
// votes and kernel reports into the groups that this node may hold now.
//
// It leaves alone every kind of waiting: it opens no socket, reads no clock, starts no
// goroutine and logs nothing. Time comes in as an argument; everything else comes in as
// an input of equal rank and goes out as one Ready.
package cluster
