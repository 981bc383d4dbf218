package netplumb

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/bpf"
)

// Numbers of neighbour discovery (RFC 4861 sections 4.3, 4.4 and 4.6.1) and of what
// carries it.
const (
	etherTypeIPv6    = 0x86dd
	protocolICMPv6   = 58
	hopLimitNDP      = 255 // whatever has less came over a router
	neighbourAsk     = 135
	neighbourTell    = 136
	optionSourceMAC  = 1
	optionTargetMAC  = 2
	flagRouter       = 0x80
	flagSolicited    = 0x40
	flagOverride     = 0x20
	etherHeader      = 14
	ipv6Header       = 40
	ndpMessage       = 24 // type, code, checksum, flags, target
	atNextHeader     = etherHeader + 6
	atHopLimit       = etherHeader + 7
	atMessage        = etherHeader + ipv6Header
	optionUnit       = 8 // option lengths count these
	optionMACLength  = optionUnit
	advertisementLen = ndpMessage + optionMACLength
)

// allNodes is the group that every host is in, and every switch floods (RFC 4291 section
// 2.7.1): answers to probes and announcements go there. The kernel joins it on each link.
var allNodes = netip.IPv6LinkLocalAllNodes()

// neighbourFilter lets the kernel drop the rest of a host's IPv6 before anybody is woken.
var neighbourFilter = mustAssemble(
	bpf.LoadAbsolute{Off: atNextHeader, Size: 2}, // with the hop limit
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolICMPv6<<8 | hopLimitNDP, SkipTrue: 4},
	bpf.LoadAbsolute{Off: atMessage, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: neighbourAsk, SkipTrue: 2},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: neighbourTell, SkipTrue: 1},
	bpf.RetConstant{Val: 1 << 16},
	bpf.RetConstant{Val: 0},
)

func mustAssemble(program ...bpf.Instruction) []bpf.RawInstruction {
	raw, err := bpf.Assemble(program)
	if err != nil {
		panic("netplumb: the filter does not assemble: " + err.Error())
	}
	return raw
}

// parseNDP reads an Ethernet frame that came in. It returns false for what is not a valid
// neighbour solicitation or advertisement (RFC 4861 sections 7.1.1 and 7.1.2) from a real
// sender. The kernel has not looked at it, so the checksum is looked at here.
//
// An advertisement to everybody is an Announcement even where it answers a probe: both
// look the same.
func parseNDP(frame []byte) (Heard, bool) {
	if len(frame) < atMessage+ndpMessage || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 || frame[etherHeader]>>4 != 6 ||
		frame[atNextHeader] != protocolICMPv6 || frame[atHopLimit] != hopLimitNDP {
		return Heard{}, false
	}
	size := int(binary.BigEndian.Uint16(frame[etherHeader+4:]))
	if size < ndpMessage || size > len(frame)-atMessage {
		return Heard{}, false
	}
	m := frame[atMessage : atMessage+size]
	src, dst := netip.AddrFrom16([16]byte(frame[etherHeader+8:])), netip.AddrFrom16([16]byte(frame[etherHeader+24:]))
	target := netip.AddrFrom16([16]byte(m[8:]))
	if m[1] != 0 || checksumNDP(src, dst, m) != 0 || src.IsMulticast() || !isHost(target) {
		return Heard{}, false
	}
	option := byte(optionSourceMAC)
	if m[0] == neighbourTell {
		option = optionTargetMAC
	}
	mac, told, ok := optionMAC(m[ndpMessage:], option)
	if !told {
		mac = MAC(frame[6:12])
	}
	if !ok || mac == (MAC{}) || mac[0]&1 != 0 {
		return Heard{}, false // no host has the zero address or a group address
	}
	switch m[0] {
	case neighbourAsk:
		if probe := src.IsUnspecified(); probe && (told || dst != solicitedNode(target)) || !probe && !isHost(src) {
			return Heard{}, false
		}
		return Heard{Kind: Other, Addr: src, MAC: mac, Target: target}, true
	case neighbourTell:
		h := Heard{Kind: Answer, Addr: target, MAC: mac, Target: dst}
		if dst.IsMulticast() {
			h.Kind = Announcement
		}
		if src.IsUnspecified() || dst.IsMulticast() && m[4]&flagSolicited != 0 {
			return Heard{}, false
		}
		return h, true
	}
	return Heard{}, false
}

// isHost says whether an address can be one host's on a link.
func isHost(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback()
}

// optionMAC returns the hardware address that an option of the kind carries; ok is false
// where the options are malformed.
func optionMAC(options []byte, kind byte) (mac MAC, there, ok bool) {
	for len(options) > 0 {
		if len(options) < optionUnit {
			return mac, there, false
		}
		size := int(options[1]) * optionUnit
		if size == 0 || size > len(options) {
			return mac, there, false
		}
		if options[0] == kind && size == optionMACLength && !there {
			mac, there = MAC(options[2:8]), true
		}
		options = options[size:]
	}
	return mac, there, true
}

// solicitationFrame asks who has an address without claiming one, as duplicate address
// detection does (RFC 4862 section 5.4.2): the kernel that has it answers to everybody.
func solicitationFrame(own MAC, addr netip.Addr) []byte {
	m := make([]byte, ndpMessage)
	m[0] = neighbourAsk
	copy(m[8:], addr.AsSlice())
	to := solicitedNode(addr)
	return ndpFrame(own, groupMAC(to), netip.IPv6Unspecified(), to, m)
}

// advertisementFrame tells everybody that own has addr, unasked and against what they
// remember (RFC 4861 section 7.2.6). Neighbours that knew a router by the address would
// forget its routes if it said that it is none.
func advertisementFrame(own MAC, addr netip.Addr, router bool) []byte {
	return advertisementTo(own, groupMAC(allNodes), allNodes, addr, router)
}

// advertisementTo tells one host, or a group.
func advertisementTo(own, mac MAC, to, addr netip.Addr, router bool) []byte {
	m := make([]byte, advertisementLen)
	m[0], m[4] = neighbourTell, flagOverride
	if router {
		m[4] |= flagRouter
	}
	copy(m[8:], addr.AsSlice())
	m[ndpMessage], m[ndpMessage+1] = optionTargetMAC, optionMACLength/optionUnit
	copy(m[ndpMessage+2:], own[:])
	return ndpFrame(own, mac, addr, to, m)
}

// groupMAC is the hardware address of a multicast group (RFC 2464 section 7).
func groupMAC(group netip.Addr) MAC {
	a := group.As16()
	return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// ndpFrame puts a message on its way, and fills in its checksum.
func ndpFrame(own, to MAC, src, dst netip.Addr, message []byte) []byte {
	f := make([]byte, atMessage, atMessage+len(message))
	copy(f, to[:])
	copy(f[6:], own[:])
	binary.BigEndian.PutUint16(f[12:], etherTypeIPv6)
	f[etherHeader] = 6 << 4
	binary.BigEndian.PutUint16(f[etherHeader+4:], uint16(len(message)))
	f[atNextHeader], f[atHopLimit] = protocolICMPv6, hopLimitNDP
	copy(f[etherHeader+8:], src.AsSlice())
	copy(f[etherHeader+24:], dst.AsSlice())
	binary.BigEndian.PutUint16(message[2:], checksumNDP(src, dst, message))
	return append(f, message...)
}

// solicitedNode is the group that whoever has an address listens to (RFC 4291 section
// 2.7.1).
func solicitedNode(addr netip.Addr) netip.Addr {
	a, g := addr.As16(), [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff}
	copy(g[13:], a[13:])
	return netip.AddrFrom16(g)
}

// checksumNDP is the Internet checksum of an ICMPv6 message with its pseudo-header (RFC
// 4443 section 2.3): what belongs into an empty checksum field, and 0 for a right one.
func checksumNDP(src, dst netip.Addr, message []byte) uint16 {
	return checksum(uint32(len(message))+protocolICMPv6, src.AsSlice(), dst.AsSlice(), message)
}

// checksum is the Internet checksum (RFC 1071) of parts, of which only the last may be of
// odd length, and of what was summed up before.
func checksum(sum uint32, parts ...[]byte) uint16 {
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// answeredWithin is how long after a probe an advertisement to everybody is its answer. A
// proxy may wait for most of a second (RFC 4861 section 7.2.8).
const answeredWithin = time.Second

// questions remembers what a port asked lately, for the answers that look like
// announcements.
type questions struct {
	mu sync.Mutex
	at map[netip.Addr]time.Time
}

func (q *questions) note(addr netip.Addr, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.at) >= maxQueued {
		for a, at := range q.at {
			if now.Sub(at) > answeredWithin {
				delete(q.at, a)
			}
		}
	}
	if q.at == nil {
		q.at = make(map[netip.Addr]time.Time)
	}
	q.at[addr] = now
}

// settle makes an announcement of an address that was just asked for an answer.
func (q *questions) settle(h Heard) Heard {
	if h.Kind != Announcement {
		return h
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if at, asked := q.at[h.Addr]; asked && h.At.Sub(at) <= answeredWithin {
		h.Kind = Answer
	}
	return h
}
