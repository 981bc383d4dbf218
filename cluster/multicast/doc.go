// Package multicast owns the chat socket: one IPv4 UDP socket that is a member of the
// chat group, if there is one, on every chosen link, however these come and go. Bytes go out
// on all of them (or to one peer), datagrams come in with the facts that the kernel knows about
// them: sender, link, hop limit.
//
// It leaves alone what the bytes mean: whom to believe, which datagram is the last of
// its sender, and whether a hop limit is good enough are the core's to judge. It only
// refuses what was not meant for this socket.
package multicast
