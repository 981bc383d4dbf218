package netplumb

import (
	"encoding/binary"
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

// subscribe opens the socket, which is not told of additions that the netlink port own
// causes; 0 means all. listen reads it until close.
func subscribe(buffer int, own uint32) (*events, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink events: %w", err)
	}
	if s.SetReceiveBufferSize(buffer, true) != nil {
		// Without CAP_NET_ADMIN the kernel's own limit must do.
		_ = s.SetReceiveBufferSize(buffer, false)
	}
	if own != 0 {
		// Without the filter they are known by their addresses, as those of IPv6 are
		// anyway, whose events don't say who caused them.
		_ = unix.SetsockoptSockFprog(s.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, otherThan(own))
	}
	return &events{socket: s, wake: make(chan struct{}, 1), done: make(chan struct{})}, nil
}

// otherThan is a socket filter that drops the RTM_NEWADDR that a netlink port causes: some
// a second for each address that is held, which would wake the reader each.
func otherThan(own uint32) *unix.SockFprog {
	// Filters load big-endian, netlink has the host's order; offsets as in struct nlmsghdr.
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.RTM_NEWADDR))
	port := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, own))
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4}, // nlmsg_type
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(kind), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12}, // nlmsg_pid
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: port, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18}, // as much as there is
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
}

// listen never waits for anybody but the kernel. Its error ends the subscription.
func (e *events) listen() {
	defer close(e.done)
	congested := false
	for {
		if congested && e.drained() {
			congested = false
			e.all()
		}
		messages, from, err := e.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// The kernel dropped events: anything may have happened. The socket lives on.
			// It goes on to drop, without a word, until what waits is read.
			e.overruns.Add(1)
			e.all()
			congested = true
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

// drained says whether no event waits.
func (e *events) drained() bool {
	_, _, err := unix.Recvfrom(e.socket.GetFd(), nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errors.Is(err, unix.EAGAIN)
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
