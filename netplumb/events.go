package netplumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// eventBuffer holds some 10,000 events, more than a thousand VIPs that come at once
// while the reader gets no processor.
const eventBuffer = 8 << 20

// events hears from the kernel that addresses or links changed. One event only means
// "look again": what changed is read anew, so that none needs to be kept and none that
// was lost does harm.
type events struct {
	socket *nl.NetlinkSocket
	// wake has a value when somebody should look.
	wake chan struct{}
	// deletions grows whenever an address went, or when that can't be excluded.
	deletions atomic.Uint64
	// addresses and links are set when those should be looked at.
	addresses, links atomic.Bool
	// extended are the addresses whose additions are our own extensions.
	extended atomic.Pointer[map[netip.Addr]bool]
	overruns atomic.Uint64
	failure  atomic.Pointer[error]
	done     chan struct{}
}

// subscribe opens the socket. listen reads it until close.
func subscribe(buffer int) (*events, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink events: %w", err)
	}
	if s.SetReceiveBufferSize(buffer, true) != nil {
		// Without CAP_NET_ADMIN the kernel's own limit must do.
		_ = s.SetReceiveBufferSize(buffer, false)
	}
	return &events{socket: s, wake: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// listen never waits for anybody but the kernel. Its error ends the subscription.
func (e *events) listen() {
	defer close(e.done)
	for {
		messages, from, err := e.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// The kernel dropped events: anything may have happened. The socket lives on.
			e.overruns.Add(1)
			e.all()
			continue
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			e.failure.Store(&err)
			e.all()
			return
		case from.Pid != nl.PidKernel:
			continue
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.RTM_NEWLINK, unix.RTM_DELLINK:
				e.links.Store(true)
			case unix.RTM_DELADDR:
				e.deletions.Add(1)
				e.addresses.Store(true)
			case unix.RTM_NEWADDR:
				if own := e.extended.Load(); own != nil && (*own)[addressOf(m.Data)] {
					continue
				}
				e.addresses.Store(true)
			}
			signal(e.wake)
		}
	}
}

func (e *events) all() {
	e.deletions.Add(1)
	e.addresses.Store(true)
	e.links.Store(true)
	signal(e.wake)
}

// close ends listen and waits for it.
func (e *events) close() {
	_ = e.socket.Close()
	<-e.done
}

// addressOf returns the address that a RTM_NEWADDR message is about.
func addressOf(data []byte) netip.Addr {
	if len(data) < unix.SizeofIfAddrmsg {
		return netip.Addr{}
	}
	attrs, err := nl.ParseRouteAttr(data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return netip.Addr{}
	}
	var ip net.IP
	for _, a := range attrs {
		// IPv6 sends IFA_ADDRESS alone; where both are there, IFA_LOCAL is the host's.
		if a.Attr.Type == unix.IFA_LOCAL || a.Attr.Type == unix.IFA_ADDRESS && ip == nil {
			ip = a.Value
		}
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// signal puts a value into a channel of one unless it has one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
