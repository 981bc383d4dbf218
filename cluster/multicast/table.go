package multicast

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// An iface is a link of this host that is up.
type iface struct {
	index int
	name  string
	mtu   int
	flags uint32 // IFF_* of netdevice(7)
	// port says that it is a part of a bridge, bond or team, which speaks for it.
	port bool
}

// ifaces lists the links that are up. Package net can't say which of them are ports:
// chatting on the parts of a bond sends everything several times and shows the switch
// one hardware address at several of its ports.
func ifaces() ([]iface, error) {
	messages, err := dumpLinks()
	if err != nil {
		return nil, err
	}
	var out []iface
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return nil, err
		}
		i, err := parseLink(m.Data, attrs)
		if err != nil {
			return nil, err
		}
		if i.flags&unix.IFF_UP != 0 {
			out = append(out, i)
		}
	}
	return out, nil
}

// dumpLinks asks the kernel for all links. Where some come and go meanwhile, others may be
// missing, which the kernel tells: then it is asked again.
func dumpLinks() ([]syscall.NetlinkMessage, error) {
	const tries = 10 // against somebody who makes links all the time
	for try := 1; ; try++ {
		rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(rib)
		if err != nil || try == tries || !interrupted(messages) {
			return messages, err
		}
	}
}

// interrupted says whether something changed while the kernel listed it (linux/netlink.h).
func interrupted(messages []syscall.NetlinkMessage) bool {
	return slices.ContainsFunc(messages, func(m syscall.NetlinkMessage) bool { return m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 })
}

// parseLink reads an ifinfomsg and its attributes (rtnetlink(7)).
func parseLink(header []byte, attrs []syscall.NetlinkRouteAttr) (iface, error) {
	i := iface{
		index: int(binary.NativeEndian.Uint32(header[4:])),
		flags: binary.NativeEndian.Uint32(header[8:]),
	}
	for _, a := range attrs {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			i.name = text(a.Value)
		case unix.IFLA_MTU:
			if len(a.Value) < 4 {
				return iface{}, fmt.Errorf("link %d: a short MTU", i.index)
			}
			i.mtu = int(binary.NativeEndian.Uint32(a.Value))
		case unix.IFLA_LINKINFO:
			// A port of a VRF still speaks for itself: that one only routes.
			kind := text(nested(a.Value, unix.IFLA_INFO_SLAVE_KIND))
			i.port = kind != "" && kind != "vrf"
		}
	}
	return i, nil
}

// nested returns the value of one attribute among those in b, nil when it isn't there.
func nested(b []byte, attr uint16) []byte {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:]) == attr {
			return b[unix.SizeofRtAttr:size]
		}
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	return nil
}

// text reads a string that ends with a zero byte.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
