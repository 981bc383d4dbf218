package netplumb

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String returns the address as "02:00:00:00:00:01".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// HeardKind says what a frame of ARP or neighbour discovery means.
type HeardKind int

// The kinds.
const (
	// Answer is a reply to somebody's request: the host with MAC has Addr. Of IPv6 it is
	// also one to everybody that follows a question of ours.
	Answer HeardKind = iota
	// Announcement is a request for the sender's own address or an unasked reply
	// (RFC 5227 section 3, RFC 4861 section 7.2.6): the host with MAC says that it has
	// Addr.
	Announcement
	// Other is an ordinary request or a probe. Addr is the host that asks (0.0.0.0 or ::
	// in a probe). Of an address that asks often only one in 25 ms is delivered.
	Other
	// Echo is an ICMP echo reply of Addr to us; Link, MAC and Target are not known. A
	// request that could not be sent is reported as this, too: its silence says nothing.
	Echo
)

// String returns the kind's name.
func (k HeardKind) String() string { return [...]string{"answer", "announcement", "other", "echo"}[k] }

// Heard is one frame of ARP or neighbour discovery, or one echo reply, of another host.
type Heard struct {
	// Link is the interface it came in on.
	Link string
	Kind HeardKind
	// Addr is the sender's protocol address (SPA; the target of a neighbour
	// advertisement), MAC the sender's hardware address.
	Addr netip.Addr
	MAC  MAC
	// Target is the target protocol address (TPA; of a neighbour advertisement the
	// destination).
	Target netip.Addr
	// At is when it was read.
	At time.Time
}

// parseARP reads an Ethernet frame that came in. It returns false for what is not a
// well-formed ARP packet about IPv4 on Ethernet from a real sender.
func parseARP(frame []byte) (Heard, bool) {
	var f ethernet.Frame
	var p arp.Packet
	if f.UnmarshalBinary(frame) != nil || f.EtherType != ethernet.EtherTypeARP || p.UnmarshalBinary(f.Payload) != nil {
		return Heard{}, false
	}
	const hardwareEthernet = 1 // RFC 826, ar$hrd
	if p.HardwareType != hardwareEthernet || p.ProtocolType != uint16(ethernet.EtherTypeIPv4) ||
		len(p.SenderHardwareAddr) != len(MAC{}) || !p.SenderIP.Is4() || !p.TargetIP.Is4() {
		return Heard{}, false
	}
	h := Heard{Addr: p.SenderIP, MAC: MAC(p.SenderHardwareAddr), Target: p.TargetIP}
	if h.MAC == (MAC{}) || h.MAC[0]&1 != 0 {
		return Heard{}, false // no host has the zero address or a group address
	}
	switch p.Operation {
	case arp.OperationRequest:
		h.Kind = Other
		if h.Addr == h.Target && !h.Addr.IsUnspecified() {
			h.Kind = Announcement
		}
	case arp.OperationReply:
		h.Kind = Answer
		// Nobody asks for the asker's own address or for an answer to everybody.
		if h.Addr == h.Target || f.Destination[0]&1 != 0 {
			h.Kind = Announcement
		}
		if h.Addr.IsUnspecified() {
			return Heard{}, false
		}
	default:
		return Heard{}, false // RARP and its kin
	}
	return h, true
}

var broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// probeFrame asks everybody for an address without claiming one (RFC 5227 section 2.1.1).
func probeFrame(own MAC, addr netip.Addr) ([]byte, error) {
	return arpFrame(broadcast, arp.OperationRequest, own, netip.IPv4Unspecified(), MAC{}, addr)
}

// announcementFrames tell everybody that own has addr: as a request, and as a reply whose
// target is ourselves. The usual reply with a broadcast target is ignored by Linux hosts
// whose entry is less than a second old, which is when it matters.
func announcementFrames(own MAC, addr netip.Addr) ([][]byte, error) {
	request, err := arpFrame(broadcast, arp.OperationRequest, own, addr, MAC{}, addr)
	if err != nil {
		return nil, err
	}
	reply, err := arpFrame(broadcast, arp.OperationReply, own, addr, own, addr)
	return [][]byte{request, reply}, err
}

// noticeFrame asks a host in the name of addr, by which it learns that own has that: to
// everybody where the host's hardware address is not known.
func noticeFrame(own MAC, addr netip.Addr, to target) ([]byte, error) {
	dst := to.mac
	if dst == (MAC{}) {
		dst = broadcast
	}
	return arpFrame(dst, arp.OperationRequest, own, addr, MAC{}, to.addr)
}

// arpFrame builds a frame.
func arpFrame(to MAC, op arp.Operation, sender MAC, spa netip.Addr, target MAC, tpa netip.Addr) ([]byte, error) {
	p, err := arp.NewPacket(op, sender[:], spa, target[:], tpa)
	if err != nil {
		return nil, err
	}
	payload, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	f := ethernet.Frame{Destination: to[:], Source: sender[:], EtherType: ethernet.EtherTypeARP, Payload: payload}
	return f.MarshalBinary()
}

// maxNeighbours bounds the table of hosts, which strangers fill.
const maxNeighbours = 4096

// neighbours is which host was last heard with which hardware address.
type neighbours struct {
	mu   sync.Mutex
	macs map[netip.Addr]MAC
	// kept are those that were asked for, which strangers don't displace.
	kept map[netip.Addr]bool
}

// keep makes sure that what is heard of a host is not forgotten for a stranger's sake.
func (n *neighbours) keep(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		n.kept = make(map[netip.Addr]bool)
	}
	if len(n.kept) < maxNeighbours/2 { // so that others have room, too
		n.kept[host] = true
	}
}

func (n *neighbours) learn(host netip.Addr, mac MAC) {
	if host.IsUnspecified() || mac == (MAC{}) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.macs[host]; !known && len(n.macs) >= maxNeighbours {
		for some := range n.macs {
			if !n.kept[some] {
				delete(n.macs, some)
				break
			}
		}
	}
	if n.macs == nil {
		n.macs = make(map[netip.Addr]MAC)
	}
	n.macs[host] = mac
}

func (n *neighbours) mac(host netip.Addr) (MAC, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m, ok := n.macs[host]
	return m, ok
}
