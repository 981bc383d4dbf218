package netplumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addresses reads those of one link, or with index 0 those of all, without their links'
// names. Some hundred are read several times a second, so it makes nothing of what nobody
// asks for.
func (x *requester) addresses(index int) (have []Observed, err error) {
	const tries = 10 // against somebody who changes addresses all the time
	for range tries {
		have = have[:0]
		var failed error
		err = x.exchange(1, func(b []byte, _ int, seq uint32) []byte {
			b, start := appendHeader(b, unix.RTM_GETADDR, unix.NLM_F_DUMP, seq)
			b = append(b, 0, 0, 0, 0) // struct ifaddrmsg: of both families
			b = binary.NativeEndian.AppendUint32(b, uint32(index))
			binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
			return b
		}, func(_ int, errno unix.Errno, data []byte) {
			if errno != 0 {
				failed = errno
			} else if o, ok := parseAddress(data); ok && (index == 0 || o.Index == index) {
				have = append(have, o)
			}
		})
		switch {
		case errors.Is(failed, unix.ENODEV):
			return nil, nil
		case failed != nil:
			return nil, fmt.Errorf("read addresses: %w", failed)
		case err == nil:
			return have, nil
		case !errors.Is(err, errInterrupted):
			return nil, fmt.Errorf("read addresses: %w", err)
		}
	}
	return nil, fmt.Errorf("read addresses: %w", err)
}

// parseAddress reads a struct ifaddrmsg and the attributes after it; false where it is of
// no address.
func parseAddress(b []byte) (o Observed, ok bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return Observed{}, false
	}
	e := binary.NativeEndian
	bits, flags := int(b[1]), uint32(b[2])
	o.Index, o.Valid = int(int32(e.Uint32(b[4:]))), Forever
	var local, remote netip.Addr
	for b = b[unix.SizeofIfAddrmsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(e.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return Observed{}, false
		}
		value := b[unix.SizeofRtAttr:size]
		switch kind := e.Uint16(b[2:]); {
		case kind == unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_ADDRESS:
			remote, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_FLAGS && len(value) >= 4:
			flags = e.Uint32(value)
		case kind == netlink.IFA_PROTO && len(value) >= 1:
			o.Mark = value[0]
		case kind == unix.IFA_CACHEINFO && len(value) >= 8:
			if valid := e.Uint32(value[4:]); valid != 0xffffffff { // INFINITY_LIFE_TIME
				o.Valid = time.Duration(valid) * time.Second
			}
		}
		b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
	}
	o.Flags = flags
	switch {
	case !local.IsValid():
		o.Address = netip.PrefixFrom(remote, bits) // IPv6 has no other
	case local == remote || !remote.IsValid():
		o.Address = netip.PrefixFrom(local, bits)
	default: // bits is of the other end of the line
		o.Address = netip.PrefixFrom(local, local.BitLen())
	}
	return o, o.Address.IsValid()
}
