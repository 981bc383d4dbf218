package netplumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// requester does what is done all the time, or what a client waits for, without the library's
// detours: it changes many addresses in one system call, and looks at links and routes. Its
// socket is its own, so that the events that it causes can be told from others'.
type requester struct {
	socket *nl.NetlinkSocket
	pid    uint32 // its netlink port, by which the kernel names who caused an event
	seq    uint32 // of the last request
	buf    []byte
	out    []byte // requests, kept for the next ones
}

func openRequester() (*requester, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	pid, err := s.GetPid()
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// Strict checking makes the kernel dump one link's addresses when asked for one;
	// before Linux 4.20 it dumps all.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return &requester{socket: s, pid: pid, buf: make([]byte, 64<<10)}, nil
}

func (x *requester) close() { _ = x.socket.Close() }

var (
	errShort       = errors.New("the kernel's answer is cut short")
	errInterrupted = errors.New("what was dumped changed meanwhile")
)

// exchange hands requests 0 to count-1 to the kernel in one system call, and its answers to
// take: of a failure the errno, else the message's payload. The kernel works through them in
// turn before that call returns; the last one must ask for an answer. Of a dump, which is one
// request, every part goes to take.
func (x *requester) exchange(count int, request func(b []byte, i int, seq uint32) []byte, take func(i int, errno unix.Errno, data []byte)) error {
	if count == 0 {
		return nil
	}
	first := x.seq + 1
	last := x.seq + uint32(count)
	x.seq, x.out = last, x.out[:0]
	for i := range count {
		x.out = request(x.out, i, first+uint32(i))
	}
	if err := unix.Sendto(x.socket.GetFd(), x.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var interrupted error
	for {
		n, _, err := unix.Recvfrom(x.socket.GetFd(), x.buf, unix.MSG_DONTWAIT)
		if err != nil {
			return fmt.Errorf("read the kernel's answer: %w", err)
		}
		for b := x.buf[:n]; len(b) > 0; {
			if len(b) < unix.SizeofNlMsghdr {
				return errShort
			}
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return errShort
			}
			kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
			seq, data := binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size]
			b = b[min(len(b), (size+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
			i := seq - first
			if i >= uint32(count) { // an int of 32 bits would be negative
				continue // of an earlier call that failed
			}
			if flags&unix.NLM_F_DUMP_INTR != 0 {
				interrupted = errInterrupted
			}
			errno := unix.Errno(0)
			if kind == unix.NLMSG_ERROR || kind == unix.NLMSG_DONE {
				if len(data) < 4 {
					return errShort
				}
				errno, data = unix.Errno(-int32(binary.NativeEndian.Uint32(data))), nil
			}
			take(int(i), errno, data)
			if seq == last && (flags&unix.NLM_F_MULTI == 0 || kind == unix.NLMSG_DONE) {
				return interrupted
			}
		}
	}
}

// change removes and adds addresses, and returns an error for each op, nil where that was
// done. That an address to remove was gone already is no error; one to add that is there
// gets its full lifetime again: netlink has no request that does only the latter.
func (x *requester) change(ops []Op) []error {
	errs := make([]error, len(ops))
	err := x.exchange(len(ops), func(b []byte, i int, seq uint32) []byte {
		flags := uint16(0)
		if i == len(ops)-1 {
			flags = unix.NLM_F_ACK // the others answer only when they fail
		}
		return appendChange(b, ops[i], seq, flags)
	}, func(i int, errno unix.Errno, _ []byte) {
		gone := ops[i].Kind == Remove && (errno == unix.EADDRNOTAVAIL || errno == unix.ENODEV)
		if errno != 0 && !gone {
			errs[i] = hint(errno)
		}
	})
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// answers says of each address whether this host takes packets for it, and so whether it
// answers when it is asked: a look at one route instead of at all addresses. What can't be
// told counts as answering.
func (x *requester) answers(addrs []netip.Addr) []bool {
	local := make([]bool, len(addrs))
	for i := range local {
		local[i] = true
	}
	_ = x.exchange(len(addrs), func(b []byte, i int, seq uint32) []byte {
		return appendRouteQuestion(b, addrs[i], seq)
	}, func(i int, _ unix.Errno, data []byte) {
		const rtmType = 7 // of struct rtmsg, linux/rtnetlink.h
		local[i] = len(data) > rtmType && data[rtmType] == unix.RTN_LOCAL
	})
	return local
}

// appendChange appends the request for an op. It is made some thousand times a second, so
// without the library, which makes many small pieces of each.
func appendChange(b []byte, op Op, seq uint32, flags uint16) []byte {
	kind := uint16(unix.RTM_DELADDR)
	if op.Kind == Add {
		kind, flags = unix.RTM_NEWADDR, flags|unix.NLM_F_REPLACE
	}
	b, start := appendHeader(b, kind, flags, seq)
	e := binary.NativeEndian
	family, local := familyOf(op.Address.Addr())
	b = append(b, family, byte(op.Address.Bits()), 0, 0)
	b = e.AppendUint32(b, uint32(op.Index))
	for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		b = appendAttribute(b, kind, len(local))
		b = append(b, local...)
	}
	if op.Kind == Add {
		b = appendAttribute(b, unix.IFA_FLAGS, 4)
		b = e.AppendUint32(b, flagsOf(op))
		b = appendAttribute(b, unix.IFA_CACHEINFO, unix.SizeofIfaCacheinfo)
		valid, preferred := lifetimes(op)
		b = e.AppendUint32(b, uint32(preferred))
		b = e.AppendUint32(b, uint32(valid))
		b = append(b, make([]byte, 8)...) // two stamps of the kernel's
		b = appendAttribute(b, netlink.IFA_PROTO, 1)
		b = append(b, Mark, 0, 0, 0) // padded
	}
	e.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendRouteQuestion asks for the route to an address.
func appendRouteQuestion(b []byte, addr netip.Addr, seq uint32) []byte {
	b, start := appendHeader(b, unix.RTM_GETROUTE, 0, seq)
	family, ip := familyOf(addr)
	b = append(b, family, byte(addr.BitLen()), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // struct rtmsg
	b = appendAttribute(b, unix.RTA_DST, len(ip))
	b = append(b, ip...)
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

// appendHeader appends a struct nlmsghdr; its length, known at last, goes to start.
func appendHeader(b []byte, kind, flags uint16, seq uint32) (_ []byte, start int) {
	start = len(b)
	e := binary.NativeEndian
	b = e.AppendUint32(b, 0)
	b = e.AppendUint16(b, kind)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = e.AppendUint32(b, seq)
	return e.AppendUint32(b, 0), start
}

func appendAttribute(b []byte, kind uint16, size int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+size))
	return binary.NativeEndian.AppendUint16(b, kind)
}

// familyOf returns an address as netlink wants it.
func familyOf(addr netip.Addr) (family byte, ip []byte) {
	if addr.Is6() {
		return unix.AF_INET6, addr.AsSlice()
	}
	return unix.AF_INET, addr.AsSlice()
}
