package netplumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// link looks at a link by name; false where there is none. It is asked 40 times a second
// and link, so it reads no more of the answer than it needs.
func (x *extender) link(name string) (linkFacts, bool, error) {
	const maxName = 15 // IFNAMSIZ - 1; what is longer can only be an alternative name
	attr := unix.IFLA_IFNAME
	if len(name) > maxName {
		attr = unix.IFLA_ALT_IFNAME
	}
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(attr, nl.ZeroTerminated(name)))
	x.seq++
	req.Seq = x.seq
	fail := func(err error) (linkFacts, bool, error) {
		return linkFacts{}, false, fmt.Errorf("look at %s: %w", name, err)
	}
	if err := unix.Sendto(x.socket.GetFd(), req.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail(err)
	}
	for {
		n, _, err := unix.Recvfrom(x.socket.GetFd(), x.buf, unix.MSG_DONTWAIT)
		if err != nil {
			return fail(err)
		}
		answer := x.buf[:n]
		if n < unix.SizeofNlMsghdr || binary.NativeEndian.Uint32(answer[8:]) != x.seq {
			continue // of an earlier call that failed
		}
		data := answer[unix.SizeofNlMsghdr:]
		if kind := binary.NativeEndian.Uint16(answer[4:]); kind == unix.NLMSG_ERROR && len(data) >= 4 {
			switch errno := unix.Errno(-int32(binary.NativeEndian.Uint32(data))); errno {
			case unix.ENODEV, unix.EINVAL, unix.ERANGE: // none, or none can have such a name
				return linkFacts{}, false, nil
			default:
				return fail(errno)
			}
		}
		f, ok := parseLink(data)
		if !ok {
			return fail(errors.New("the kernel's answer is cut short"))
		}
		return f, true, nil
	}
}

// parseIPv6 reads IFLA_AF_SPEC for what the link does with IPv6.
func (f *linkFacts) parseIPv6(families []byte) {
	const (
		iflaInet6Conf         = 2  // include/uapi/linux/if_link.h
		ipv6DevconfForwarding = 0  // include/uapi/linux/ipv6.h
		ipv6DevconfDisable    = 26 // the same
	)
	conf := attribute(attribute(families, unix.AF_INET6), iflaInet6Conf)
	is := func(i int) uint32 {
		if len(conf) < 4*(i+1) {
			return 0
		}
		return binary.NativeEndian.Uint32(conf[4*i:])
	}
	f.router, f.noIPv6 = is(ipv6DevconfForwarding) != 0, conf == nil || is(ipv6DevconfDisable) != 0
}

// attribute returns the value of the first netlink attribute of a kind, nil for none.
func attribute(b []byte, kind uint16) []byte {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED == kind {
			return b[unix.SizeofRtAttr:size]
		}
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return nil
}

// parseLink reads a struct ifinfomsg and the attributes after it.
func parseLink(b []byte) (f linkFacts, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return linkFacts{}, false
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	f.index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	f.noIPv6 = true // unless it says more
	f.up, f.carrier = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0
	for b = b[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return linkFacts{}, false
		}
		value := b[unix.SizeofRtAttr:size]
		switch kind := binary.NativeEndian.Uint16(b[2:]); {
		case kind == unix.IFLA_ADDRESS:
			f.mac = net.HardwareAddr(append([]byte(nil), value...))
		case kind == unix.IFLA_STATS64 && len(value) >= 8:
			f.received = binary.NativeEndian.Uint64(value) // rx_packets comes first
		case kind == unix.IFLA_AF_SPEC:
			f.parseIPv6(value)
		}
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	if flags&(unix.IFF_LOOPBACK|unix.IFF_NOARP) != 0 {
		f.mac = nil // nobody to speak to
	}
	return f, true
}
