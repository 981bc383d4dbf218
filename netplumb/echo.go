package netplumb

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// An echo asks addresses by ICMP whether a kernel has them. One that answers ARP and this
// too is no switch's memory. It is one raw socket of one family.
type echo struct {
	conn   *net.IPConn
	raw    syscall.RawConn
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
	// on is the control message that sends on a link, whatever the routes say.
	on func(index int) []byte
	to func(netip.Addr) unix.Sockaddr
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
	on: func(index int) []byte { return (&ipv4.ControlMessage{IfIndex: index}).Marshal() },
	to: func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet4{Addr: a.As4()} },
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
	on: func(index int) []byte { return (&ipv6.ControlMessage{IfIndex: index}).Marshal() },
	to: func(a netip.Addr) unix.Sockaddr { return &unix.SockaddrInet6{Addr: a.As16()} },
}

func openEcho(f echoFamily) (*echo, error) {
	c, err := net.ListenIP(f.network, &net.IPAddr{IP: net.ParseIP(f.any)})
	if err != nil {
		return nil, rawHint(err)
	}
	e := &echo{conn: c, family: f, nonce: make([]byte, 16), done: make(chan struct{})}
	_, _ = rand.Read(e.nonce) // never fails
	if err = f.filter(c); err == nil {
		e.raw, err = c.SyscallConn()
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = e.raw.Control(func(fd uintptr) {
		// A default route must not take the question to a router.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DONTROUTE, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, portBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, portBuffer)
	})
	return e, nil
}

// ask sends a request for an address on a link, or fails; it never waits.
func (e *echo) ask(index int, addr netip.Addr) error {
	e.seq++
	m := icmp.Message{Type: e.family.request, Body: &icmp.Echo{ID: int(e.nonce[0])<<8 | int(e.nonce[1]), Seq: e.seq & 0xffff, Data: e.nonce}}
	b, err := m.Marshal(nil) // the kernel makes the checksum of ICMPv6
	if err != nil {
		return err
	}
	if closed := e.raw.Write(func(fd uintptr) bool {
		_, err = unix.SendmsgN(int(fd), b, e.family.on(index), e.family.to(addr), unix.MSG_DONTWAIT)
		return true
	}); closed != nil {
		return closed
	}
	return err
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
