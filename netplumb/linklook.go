package netplumb

import (
	"encoding/binary"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// link looks at a link by name; false where there is none. It is asked 20 times a second
// and link, so it reads no more of the answer than it needs. The kernel also finds links by
// their alternative names, but addresses are read back under the real one: such a link is
// none, and its facts have nothing but its real name.
func (x *requester) link(name string) (linkFacts, bool, error) {
	facts, exists, whole := linkFacts{}, false, true
	var failed unix.Errno
	err := x.exchange(1, func(b []byte, _ int, seq uint32) []byte {
		b, start := appendHeader(b, unix.RTM_GETLINK, 0, seq)
		b = append(b, make([]byte, unix.SizeofIfInfomsg)...)
		b = appendAttribute(b, unix.IFLA_IFNAME, len(name)+1)
		b = append(b, name...)
		b = append(b, make([]byte, unix.RTA_ALIGNTO-len(name)%unix.RTA_ALIGNTO)...) // ends with 0, padded
		binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
		return b
	}, func(_ int, errno unix.Errno, data []byte) {
		switch errno {
		case 0:
			facts, whole = parseLink(data)
			exists = whole
		case unix.ENODEV, unix.EINVAL, unix.ERANGE: // none, or none can have such a name
		default:
			failed = errno
		}
	})
	switch {
	case err == nil && failed != 0:
		err = failed
	case err == nil && !whole:
		err = errShort
	}
	if err != nil {
		return linkFacts{}, false, fmt.Errorf("look at %s: %w", name, err)
	}
	if exists && facts.name != name {
		return linkFacts{name: facts.name}, false, nil
	}
	return facts, exists, nil
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
	f.up, f.carrier, f.running = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0, flags&unix.IFF_RUNNING != 0
	for b = b[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return linkFacts{}, false
		}
		value := b[unix.SizeofRtAttr:size]
		switch kind := binary.NativeEndian.Uint16(b[2:]); {
		case kind == unix.IFLA_IFNAME:
			f.name = unix.ByteSliceToString(value)
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
