package lab

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A lookout follows the addresses of several kernels at once, so that their changes can be
// compared to some microseconds without the word of any program: one thread, as urgent as
// the probe's, takes what all of them report, and gives it one stamp. An address that moves
// is seen to leave before or together with its arrival elsewhere, never after it, and
// likewise the other way round. A lookout that lost a report can't tell any more whether two
// had an address, and says so for good.
type lookout struct {
	socks []*nl.NetlinkSocket
	bell  int // an eventfd (eventfd(2)): rung to end
	done  chan struct{}

	mu sync.Mutex
	// present is what each kernel has, by its place; before is what it had at the last mark.
	present, before []map[netip.Addr]bool
	changes         []change
	err             error
}

// lookoutBuffer holds the events of some thousand addresses.
const lookoutBuffer = 8 << 20

// lookOut starts to follow the kernels of hosts. The number of each host is its place among
// ports, from 1.
func lookOut(ports []*port) (_ *lookout, err error) {
	l := &lookout{done: make(chan struct{})}
	defer func() {
		if err != nil {
			l.drop()
		}
	}()
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	for _, p := range ports {
		err := p.space.do(func() error {
			sock, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_IFADDR)
			if err != nil {
				return err
			}
			l.socks = append(l.socks, sock)
			if sock.SetReceiveBufferSize(lookoutBuffer, true) == nil {
				return nil
			}
			return sock.SetReceiveBufferSize(lookoutBuffer, false) // in a user namespace: as much as is allowed
		})
		if err != nil {
			return nil, fmt.Errorf("follow addresses: %w", err)
		}
		has, err := p.table()
		if err != nil {
			return nil, err
		}
		l.present = append(l.present, has)
	}
	l.mark()
	go l.run()
	return l, nil
}

// lookEvery is in how many milliseconds the lookout looks when nothing is reported, to know
// how late it is where something was.
const lookEvery = 1

func (l *lookout) run() {
	defer close(l.done)
	runtime.LockOSThread() // for good: the thread keeps what urgent sets
	urgent(answerBudget)
	fds := []unix.PollFd{{Fd: int32(l.bell), Events: unix.POLLIN}}
	for _, s := range l.socks {
		fds = append(fds, unix.PollFd{Fd: int32(s.GetFd()), Events: unix.POLLIN})
	}
	buf := make([]byte, 64<<10)
	for since := now(); ; {
		if _, err := unix.Poll(fds, lookEvery); err != nil && !errors.Is(err, unix.EINTR) {
			l.fail(fmt.Errorf("follow addresses: poll: %w", err))
			return
		}
		if fds[0].Revents != 0 {
			return
		}
		// Whatever comes while one is read is taken with it: what is read last may have
		// happened first.
		at := now()
		for more := true; more; {
			more = false
			for i, s := range l.socks {
				n, _, err := unix.Recvfrom(s.GetFd(), buf, unix.MSG_DONTWAIT)
				switch {
				case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
					continue
				case errors.Is(err, unix.ENOBUFS):
					l.fail(fmt.Errorf("follow addresses of host %d: reports were lost; as root there is more room for them, else net.core.rmem_max: %w", i+1, err))
					return
				case err != nil:
					l.fail(fmt.Errorf("follow addresses of host %d: %w", i+1, err))
					return
				}
				more = true
				l.take(i, buf[:n], at, since)
			}
		}
		since = at
	}
}

func (l *lookout) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// take notes what a datagram says of what happened between two instants.
func (l *lookout) take(place int, datagram []byte, at, since instant) {
	msgs, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		l.fail(fmt.Errorf("follow addresses of host %d: %w", place+1, err))
		return
	}
	for _, m := range msgs {
		if m.Header.Type != unix.RTM_NEWADDR && m.Header.Type != unix.RTM_DELADDR {
			continue
		}
		attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
		if err != nil {
			l.fail(fmt.Errorf("follow addresses of host %d: %w", place+1, err))
			return
		}
		for _, a := range attrs {
			if addr, ok := netip.AddrFromSlice(a.Value); a.Attr.Type == unix.IFA_LOCAL && ok {
				l.note(place, addr, m.Header.Type == unix.RTM_NEWADDR, at, since)
			}
		}
	}
}

// note keeps a change; an address whose lifetime was extended did not change.
func (l *lookout) note(place int, addr netip.Addr, has bool, at, since instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isVIP(addr) || l.present[place][addr] == has {
		return
	}
	l.present[place][addr] = has
	l.changes = append(l.changes, change{byte(place + 1), addr, has, at, since})
}

// mark forgets the changes so far.
func (l *lookout) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes, l.before = nil, nil
	for _, has := range l.present {
		l.before = append(l.before, maps.Clone(has))
	}
}

// has returns a copy of what each kernel has.
func (l *lookout) has() (out []map[netip.Addr]bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, has := range l.present {
		out = append(out, maps.Clone(has))
	}
	return out, l.err
}

// seen returns the changes since the mark; what was there before it came at 0.
func (l *lookout) seen() (all []change, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, has := range l.before {
		for addr, is := range has {
			if is {
				all = append(all, change{node: byte(i + 1), addr: addr, present: true})
			}
		}
	}
	return slices.Concat(all, l.changes), l.err
}

// history returns the holds since the mark.
func (l *lookout) history() ([]hold, error) {
	all, err := l.seen()
	return holds(all), err
}

func (l *lookout) close() {
	// It counts up from zero, so it can't be refused.
	unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-l.done
	l.drop()
}

// drop closes what is open.
func (l *lookout) drop() {
	for _, s := range l.socks {
		s.Close()
	}
	unix.Close(l.bell)
}
