// Package netplumb owns what this host's kernel has and what it says about addresses
// on the wire: it plumbs virtual addresses with a lifetime and extends them, removes
// what is not wanted, announces what it took, asks addresses and listens: by ARP, for IPv6
// by neighbour discovery, and by ICMP echo.
//
// It leaves alone why an address is wanted: it knows groups and peers as little as the
// cluster knows netlink. Desired state goes in whole, again and again; what the kernel
// holds comes out, read back and never remembered.
//
// # Wiring
//
//	p := netplumb.New(netplumb.Options{NotifyRate: 1000})
//	go p.Run(ctx)                       // one goroutine owns netlink and the sockets
//
//	p.Set(netplumb.Desired{Managed: all, Links: chat})  // wants nothing: left-overs go
//	for {
//		select {
//		case <-p.Changed():
//			r := p.Report()     // newest state, and every op and error since the last one
//		case h := <-p.Heard():      // answers, announcements, other requests, echo replies
//		case l := <-p.Neighbours(): // whom this kernel speaks with, to be shared: see Learn
//		case ...:                   // packets, timers
//		}
//		// one turn of the daemon's loop, then:
//		p.Set(netplumb.Desired{VIPs: hold, Managed: all, Links: chat,
//			Lifetime: time.Second, GrantUntil: netplumb.Boottime() + time.Second})
//		p.Ask(ready.Ask...)
//		p.Echo(ready.Echo...)
//		p.Announce(ready.Announce...)
//	}
//
// Set, Ask, Echo, Announce, Notify, Learn, Report and MAC never block and may be called from any goroutine.
// At the start wait for a report whose Seq is at least what the first Set returned and
// whose Present is empty: then nothing of an earlier process is left. A release counts
// when a report no longer lists the address in Present.
//
// When Run ends it leaves the addresses as they are, for an upgrade wants them; the
// kernel drops them after their lifetime. Who leaves for good sets a Desired without
// VIPs first and waits until Present is empty.
package netplumb
