package netplumb

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// etherTypeARP is the protocol of an ARP port's socket.
const etherTypeARP = 0x0806

// A portID names a port: by its link, and by what it speaks there: ARP, or for IPv6 (six)
// neighbour discovery.
type portID struct {
	link string
	six  bool
}

func portOf(at place) portID { return portID{at.link, at.addr.Is6()} }

// String names what it is in an error.
func (id portID) String() string {
	if id.six {
		return "neighbour discovery socket on " + id.link
	}
	return "ARP socket on " + id.link
}

// A port is a socket on one link that hears and says who has which address. It lives as
// long as the link keeps its index and hardware address.
type port struct {
	portID
	index int
	mac   MAC
	// router says that this host forwards IPv6, which its announcements must not deny.
	router bool
	conn   *packet.Conn
	raw    syscall.RawConn
	// schedule is what is announced here.
	schedule schedule
	// notices are who is told of it directly.
	notices   notices
	questions questions // of IPv6
	lulls     lulls     // of listen
	// broken is set when the reader gave up.
	broken atomic.Pointer[error]
	done   chan struct{}
}

// portBuffer holds the answers of some 5,000 hosts that are asked at once, in either
// direction: a lost answer looks like an address that nobody has.
const portBuffer = 4 << 20

func openPort(id portID, index int, mac MAC) (*port, error) {
	etherType, config := etherTypeARP, &packet.Config{}
	if id.six {
		etherType, config.Filter = etherTypeIPv6, neighbourFilter
	}
	// arp.Dial wants an IPv4 address on the link, which a VIP's link need not have.
	conn, err := packet.Listen(&net.Interface{Index: index, Name: id.link, HardwareAddr: mac[:]}, packet.Raw, etherType, config)
	if err != nil {
		return nil, rawHint(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = stampFrames(raw) // without it, what waits counts as new: safe, but slower
	p := &port{portID: id, index: index, mac: mac, conn: conn, raw: raw, done: make(chan struct{})}
	p.buffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	p.buffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	return p, nil
}

// rawHint reduces the error of a packet socket to what went wrong and the next step.
func rawHint(err error) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	if errno == unix.EPERM {
		return fmt.Errorf("%w (needs CAP_NET_RAW)", errno)
	}
	return errno
}

// buffer enlarges a buffer beyond the host's limit, or up to it without CAP_NET_ADMIN.
// What a small one loses is counted.
func (p *port) buffer(force, limited int) {
	_ = p.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, force, portBuffer) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, limited, portBuffer)
		}
	})
}

// lost returns how many frames the kernel had no room for since the last call.
func (p *port) lost() uint64 {
	s, err := p.conn.Stats()
	if err != nil {
		return 0 // the socket is closed; whoever opens the next one counts that
	}
	return uint64(s.Drops)
}

// close ends listen and waits for it.
func (p *port) close() {
	_ = p.conn.Close()
	<-p.done
}

// send puts a frame on the wire or drops it: the goroutine that extends addresses must
// not wait for a network card. A dropped announcement is repeated by the schedule.
func (p *port) send(frame []byte) error {
	to := unix.SockaddrLinklayer{Ifindex: p.index, Halen: uint8(len(broadcast))}
	copy(to.Addr[:], broadcast[:])
	var err error
	if e := p.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), frame, unix.MSG_DONTWAIT, &to)
		return true
	}); e != nil {
		return e
	}
	return err
}

// listen reads until close and hands every frame to hear, which must not wait.
func (p *port) listen(hear func(Heard)) {
	defer close(p.done)
	frames := newFrameReader(p.raw)
	for {
		frame, at, err := frames.next()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, unix.ENETDOWN):
			continue // told once, when the link goes down; the socket hears again when it is up
		case err != nil:
			err = rawHint(err)
			p.broken.Store(&err)
			return
		}
		if h, ok := p.parse(frame, at); ok && !p.lulls.drop(h) && !p.notices.answered(h) {
			hear(h)
		}
	}
}

// parse reads a frame that came in at an instant.
func (p *port) parse(frame []byte, at time.Time) (h Heard, ok bool) {
	if p.six {
		h, ok = parseNDP(frame)
	} else {
		h, ok = parseARP(frame)
	}
	h.Link, h.At = p.link, at
	if p.six && ok {
		h = p.questions.settle(h)
	}
	return h, ok
}

// question is the frame that asks everybody for an address.
func (p *port) question(addr netip.Addr) ([]byte, error) {
	if !p.six {
		return probeFrame(p.mac, addr)
	}
	p.questions.note(addr, time.Now())
	return solicitationFrame(p.mac, addr), nil
}

// announcement are the frames that tell everybody that an address is here.
func (p *port) announcement(addr netip.Addr) ([][]byte, error) {
	if !p.six {
		return announcementFrames(p.mac, addr)
	}
	return [][]byte{advertisementFrame(p.mac, addr, p.router)}, nil
}

// notice is the frame that tells one host.
func (p *port) notice(n notice) ([]byte, error) {
	if !p.six {
		return noticeFrame(p.mac, n.addr, n.to)
	}
	return advertisementTo(p.mac, n.to.mac, n.to.addr, n.addr, p.router), nil
}

// due returns the frames that are to go out now, at the rate: those to routers that were not
// told yet, the announcements to everybody, and then the rest; nil where there is nothing.
func (p *port) due(now time.Duration, rate int) [][]byte {
	pace := &p.schedule.pace
	n, ok := p.notices.router(now, pace, rate)
	if !ok {
		if frames := p.schedule.next(now, rate); frames != nil {
			return frames
		}
		if p.schedule.late(now) {
			return nil // until it is its turn
		}
		n, ok = p.notices.next(now, pace, rate)
	}
	if !ok {
		return nil
	}
	f, err := p.notice(n)
	if err != nil {
		return [][]byte{} // only an address of the wrong family can't be encoded
	}
	return [][]byte{f}
}

// wake returns when due should be called again; false when there is nothing to send.
func (p *port) wake(now time.Duration, rate int) (at time.Duration, any bool) {
	at, any = p.schedule.wake(now, rate)
	if t, some := p.notices.wake(now, p.schedule.late(now), &p.schedule.pace, rate); some && (!any || t < at) {
		at, any = t, true
	}
	return at, any
}

// lulls thins out what the busiest askers of a link send.
type lulls struct {
	since time.Time
	heard map[asker]bool // whose questions were heard since
}

// An asker is a hardware address that asks in the name of an address: which one may say
// that it has it.
type asker struct {
	mac  MAC
	addr netip.Addr
}

// lullEvery is how often a host that goes on asking is heard to live.
const lullEvery = 25 * time.Millisecond

// drop says whether a frame only repeats that a host lives, which need not wake anybody.
func (l *lulls) drop(h Heard) bool {
	if h.Kind != Other {
		return false
	}
	if h.At.Sub(l.since) >= lullEvery || l.heard == nil {
		l.since, l.heard = h.At, make(map[asker]bool)
	}
	who := asker{h.MAC, h.Addr}
	again := l.heard[who]
	l.heard[who] = true
	return again
}
