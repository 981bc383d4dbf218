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
	var out []byte
	for i, op := range ops {
		req := extendRequest(op)
		req.Seq = first + uint32(i)
		if req.Seq == last {
			req.Flags |= unix.NLM_F_ACK // the others answer only when they fail
		}
		out = append(out, req.Serialize()...)
	}
	fail := func(err error) []error {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(x.socket.GetFd(), out, 0, kernel); err != nil {
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

// extendRequest asks for what kernel.add does, as the library builds no request without
// sending it.
func extendRequest(op Op) *nl.NetlinkRequest {
	a := kernelAddr(op)
	family, ip := unix.AF_INET, a.IP
	if op.Address.Addr().Is6() {
		family = unix.AF_INET6
	}
	msg := nl.NewIfAddrmsg(family)
	msg.Prefixlen, msg.Index = uint8(op.Address.Bits()), uint32(op.Index)
	life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: uint32(a.ValidLft), Prefered: uint32(a.PreferedLft)}}
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
	req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, uint32(a.Flags))))
	req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
	req.AddData(nl.NewRtAttr(netlink.IFA_PROTO, []byte{Mark}))
	return req
}
