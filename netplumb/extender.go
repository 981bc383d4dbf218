package netplumb

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// extender does what is done all the time without the library's detours: it gives many
// addresses their full lifetime again in one system call, and looks at links. Its socket
// is its own, so that the events that it causes can be told from others'.
type extender struct {
	socket *nl.NetlinkSocket
	pid    uint32 // its netlink port, by which the kernel names who caused an event
	seq    uint32 // of the last request
	buf    []byte
	out    []byte // requests, kept for the next ones
}

func openExtender() (*extender, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	pid, err := s.GetPid()
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &extender{socket: s, pid: pid, buf: make([]byte, 64<<10)}, nil
}

func (x *extender) close() { _ = x.socket.Close() }

// extend returns an error for each op, nil where that was done. The kernel works through
// them in turn before the call that hands them over returns.
func (x *extender) extend(ops []Op) []error {
	errs := make([]error, len(ops))
	first, last := x.seq+1, x.seq+uint32(len(ops))
	x.seq = last
	x.out = x.out[:0]
	for i, op := range ops {
		flags, seq := uint16(0), first+uint32(i)
		if seq == last {
			flags = unix.NLM_F_ACK // the others answer only when they fail
		}
		x.out = appendExtension(x.out, op, seq, flags)
	}
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(x.socket.GetFd(), x.out, 0, kernel); err != nil {
		return fail(err)
	}
	for {
		n, _, err := unix.Recvfrom(x.socket.GetFd(), x.buf, unix.MSG_DONTWAIT)
		if err != nil {
			return fail(fmt.Errorf("read the kernel's answer: %w", err))
		}
		answers, err := syscall.ParseNetlinkMessage(x.buf[:n])
		if err != nil {
			return fail(fmt.Errorf("read the kernel's answer: %w", err))
		}
		for _, m := range answers {
			i := m.Header.Seq - first
			if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 || int(i) >= len(ops) {
				continue // of an earlier call that failed
			}
			if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data))); errno != 0 {
				errs[i] = hint(errno)
			}
			if m.Header.Seq == last {
				return errs
			}
		}
	}
}

// appendExtension appends the request that does what kernel.add does. It is made some
// thousand times a second, so without the library, which makes many small pieces of each.
func appendExtension(b []byte, op Op, seq uint32, flags uint16) []byte {
	start, e := len(b), binary.NativeEndian
	family, ip := byte(unix.AF_INET), op.Address.Addr().As16()
	local := ip[12:]
	if op.Address.Addr().Is6() {
		family, local = unix.AF_INET6, ip[:]
	}
	attr := func(kind uint16, size int) {
		b = e.AppendUint16(b, uint16(unix.SizeofRtAttr+size))
		b = e.AppendUint16(b, kind)
	}
	b = e.AppendUint32(b, 0) // the length, known at last
	b = e.AppendUint16(b, unix.RTM_NEWADDR)
	b = e.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_REPLACE|flags)
	b = e.AppendUint32(b, seq)
	b = e.AppendUint32(b, 0)
	b = append(b, family, byte(op.Address.Bits()), 0, 0)
	b = e.AppendUint32(b, uint32(op.Index))
	for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		attr(kind, len(local))
		b = append(b, local...)
	}
	attr(unix.IFA_FLAGS, 4)
	b = e.AppendUint32(b, flagsOf(op))
	attr(unix.IFA_CACHEINFO, unix.SizeofIfaCacheinfo)
	valid, preferred := lifetimes(op)
	b = e.AppendUint32(b, uint32(preferred))
	b = e.AppendUint32(b, uint32(valid))
	b = append(b, make([]byte, 8)...) // two stamps of the kernel's
	attr(netlink.IFA_PROTO, 1)
	b = append(b, Mark, 0, 0, 0) // padded
	e.PutUint32(b[start:], uint32(len(b)-start))
	return b
}
