package multicast

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Send sends data to the address, or, where that is not valid, to the group on every
// joined link; without a group that sends nothing. It never waits: what a link doesn't
// take is lost, as on the wire. The error joins one for each link that failed
// (*LinkError), after all were served.
func (c *Conn) Send(data []byte, to netip.AddrPort) error {
	if to.IsValid() {
		return c.sendOne(data, to)
	}
	links := *c.links.Load()
	if len(links) == 0 {
		return fmt.Errorf("chat %s: no link to send on (chat_interface is %s: is one of them up?)", c.group, c.choice)
	}
	if !c.grouped() {
		return nil
	}
	var errs []error
	for _, l := range links {
		if err := c.out.send(data, l.oob, c.group); err != nil {
			l.count.failed.Add(1)
			errs = append(errs, &LinkError{Link: l.name, Err: l.sendError(len(data), err)})
			continue
		}
		l.count.sent.Add(1)
	}
	return errors.Join(errs...)
}

func (c *Conn) sendOne(data []byte, to netip.AddrPort) error {
	addr := to.Addr().Unmap()
	if !addr.Is4() || addr.IsUnspecified() || to.Port() == 0 {
		// 0.0.0.0 would be this host.
		return fmt.Errorf("send to %s: not an IPv4 address with a port (the peer's link has no address?)", to)
	}
	if err := c.out.send(data, nil, netip.AddrPortFrom(addr, to.Port())); err != nil {
		c.count.failed.Add(1)
		return fmt.Errorf("send to %s: %w", to, link{}.sendError(len(data), err))
	}
	c.count.sent.Add(1)
	return nil
}

// headers are the bytes of an IPv4 and a UDP header.
const headers = 20 + 8

func (l link) sendError(size int, err error) error {
	err = fmt.Errorf("send %d bytes: %w", size, err)
	switch {
	case errors.Is(err, unix.EMSGSIZE) && l.mtu > 0:
		return fmt.Errorf("%w (its MTU of %d leaves %d: raise the MTU, or have fewer nodes or groups)", err, l.mtu, l.mtu-headers)
	case errors.Is(err, unix.EMSGSIZE):
		return fmt.Errorf("%w (raise the MTU on the way, or have fewer nodes or groups)", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w (does a firewall drop it on its way out?)", err)
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%w (the link's queue is full)", err)
	}
	return err
}

// A sender sends without waiting and without allocating: the poller of package net
// would wait for room, and one link's full queue would hold up the others.
type sender struct {
	raw syscall.RawConn

	mu        sync.Mutex
	data, oob []byte
	to        unix.SockaddrInet4
	err       error
	call      func(fd uintptr) bool // kept, for a method value allocates
}

func newSender(raw syscall.RawConn) *sender {
	s := &sender{raw: raw}
	s.call = func(fd uintptr) bool {
		for {
			_, s.err = unix.SendmsgN(int(fd), s.data, s.oob, &s.to, unix.MSG_DONTWAIT)
			if s.err != unix.EINTR {
				return true
			}
		}
	}
	return s
}

func (s *sender) send(data, oob []byte, to netip.AddrPort) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.oob = data, oob
	s.to.Addr, s.to.Port = to.Addr().As4(), int(to.Port())
	err := s.raw.Write(s.call)
	s.data, s.oob = nil, nil
	if err != nil {
		return err
	}
	return s.err
}
