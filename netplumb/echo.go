package netplumb

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// An echo asks addresses by ICMP whether a kernel has them. One that answers ARP and this
// too is no switch's memory. It makes the requests of one family and hears the replies.
//
// A request goes out as a frame of its own, to the hardware address that was heard with the
// address. Were it the kernel's to send, each address would get an entry in its table of
// neighbours, which has room for 1024 by default (net.ipv4.neigh.default.gc_thresh3): a
// standby that asks for a thousand could then not speak to its clients.
type echo struct {
	conn   *net.IPConn // only hears
	family echoFamily
	// nonce marks our own requests, so that replies to others mean nothing.
	nonce []byte
	seq   int
	done  chan struct{}
}

// echoFamily is what differs between ICMP (RFC 792) and ICMPv6 (RFC 4443 section 4).
type echoFamily struct {
	network, any   string
	protocol       int // for parsing
	request, reply icmp.Type
	filter         func(*net.IPConn) error
	etherType      uint16
	header         func(src, dst netip.Addr, size int) []byte
}

var echo4 = echoFamily{
	network: "ip4:icmp", any: "0.0.0.0", protocol: unix.IPPROTO_ICMP,
	request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply,
	filter: func(c *net.IPConn) error {
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv4.ICMPTypeEchoReply)
		return ipv4.NewPacketConn(c).SetICMPFilter(&f)
	},
	etherType: etherTypeIPv4, header: header4,
}

var echo6 = echoFamily{
	network: "ip6:ipv6-icmp", any: "::", protocol: unix.IPPROTO_ICMPV6,
	request: ipv6.ICMPTypeEchoRequest, reply: ipv6.ICMPTypeEchoReply,
	filter: func(c *net.IPConn) error {
		var f ipv6.ICMPFilter
		f.SetAll(true)
		f.Accept(ipv6.ICMPTypeEchoReply)
		return ipv6.NewPacketConn(c).SetICMPFilter(&f)
	},
	etherType: etherTypeIPv6, header: header6,
}

func openEcho(f echoFamily) (*echo, error) {
	c, err := net.ListenIP(f.network, &net.IPAddr{IP: net.ParseIP(f.any)})
	if err != nil {
		return nil, rawHint(err)
	}
	e := &echo{conn: c, family: f, nonce: make([]byte, 16), done: make(chan struct{})}
	_, _ = rand.Read(e.nonce) // never fails
	if err = f.filter(c); err != nil {
		_ = c.Close()
		return nil, err
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, portBuffer)
		})
	}
	return e, nil
}

// frame is a request from one host to another.
func (e *echo) frame(from, to MAC, src, dst netip.Addr) ([]byte, error) {
	e.seq++
	m := icmp.Message{Type: e.family.request, Body: &icmp.Echo{ID: int(binary.BigEndian.Uint16(e.nonce)), Seq: e.seq & 0xffff, Data: e.nonce}}
	var pseudo []byte
	if dst.Is6() {
		pseudo = icmp.IPv6PseudoHeader(src.AsSlice(), dst.AsSlice())
	}
	b, err := m.Marshal(pseudo)
	if err != nil {
		return nil, err
	}
	f := append(append(make([]byte, 0, 128), to[:]...), from[:]...)
	f = binary.BigEndian.AppendUint16(f, e.family.etherType)
	f = append(f, e.family.header(src, dst, len(b))...)
	return append(f, b...), nil
}

const (
	etherTypeIPv4 = 0x0800
	// echoHops is the usual number; the reply has its own.
	echoHops = 64
)

// header4 is the header of an ICMP packet of so many bytes (RFC 791 section 3.1).
func header4(src, dst netip.Addr, size int) []byte {
	h := make([]byte, ipv4.HeaderLen)
	h[0] = ipv4.Version<<4 | ipv4.HeaderLen/4
	binary.BigEndian.PutUint16(h[2:], uint16(ipv4.HeaderLen+size))
	h[6] = 0x40 // don't fragment: then no identification is needed (RFC 6864 section 4.1)
	h[8], h[9] = echoHops, unix.IPPROTO_ICMP
	copy(h[12:], src.AsSlice())
	copy(h[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(0, h))
	return h
}

// header6 is the header of an ICMPv6 packet of so many bytes (RFC 8200 section 3).
func header6(src, dst netip.Addr, size int) []byte {
	h := make([]byte, ipv6Header)
	h[0] = ipv6.Version << 4
	binary.BigEndian.PutUint16(h[4:], uint16(size))
	h[6], h[7] = protocolICMPv6, echoHops
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return h
}

// sourceFor picks the address of this host on a link that asks for another: not one that
// moves, for the reply would follow it. One of the same subnet is best, since whoever has the
// other knows the way to it. False where there is none.
func (w *worker) sourceFor(link string, addr netip.Addr) (best netip.Addr, ok bool) {
	worth := 0
	for _, o := range w.have {
		a, v := o.Address.Addr(), 1
		switch {
		case o.Link != link || a.Is4() != addr.Is4() || o.Mark == Mark || w.plan[o.place()] || o.Flags&unix.IFA_F_TENTATIVE != 0:
			continue
		case o.Address.Contains(addr):
			v = 3
		case !a.IsLinkLocalUnicast():
			v = 2
		}
		if v > worth {
			best, worth = a, v
		}
	}
	return best, worth > 0
}

// listen reads until close and hands every reply to hear, which must not wait.
func (e *echo) listen(hear func(Heard)) {
	defer close(e.done)
	buf := make([]byte, 1500)
	for {
		n, from, err := e.conn.ReadFromIP(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue // an error that the network reported of some request
		}
		if a, ok := netip.AddrFromSlice(from.IP); ok && e.isReply(buf[:n]) {
			hear(Heard{Kind: Echo, Addr: a.Unmap(), At: time.Now()})
		}
	}
}

// isReply says whether a packet answers a request of ours.
func (e *echo) isReply(packet []byte) bool {
	m, err := icmp.ParseMessage(e.family.protocol, packet)
	if err != nil || m.Type != e.family.reply {
		return false
	}
	body, ok := m.Body.(*icmp.Echo)
	return ok && bytes.Equal(body.Data, e.nonce)
}

// close ends listen and waits for it.
func (e *echo) close() {
	_ = e.conn.Close()
	<-e.done
}
