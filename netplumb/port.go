package netplumb

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// etherTypeARP is the protocol of a port's socket: only ARP frames of others arrive.
const etherTypeARP = 0x0806

// A port is the ARP socket of one link. It lives as long as the link keeps its index and
// hardware address.
type port struct {
	name  string
	index int
	mac   MAC
	conn  *packet.Conn
	raw   syscall.RawConn
	// schedule is what is announced on this link.
	schedule schedule
	lulls    lulls // of listen
	// broken is set when the reader gave up.
	broken atomic.Pointer[error]
	done   chan struct{}
}

// portBuffer holds the answers of some 5,000 hosts that are asked at once, in either
// direction: a lost answer looks like an address that nobody has.
const portBuffer = 4 << 20

func openPort(name string, index int, mac MAC) (*port, error) {
	// arp.Dial wants an IPv4 address on the link, which a VIP's link need not have.
	conn, err := packet.Listen(&net.Interface{Index: index, Name: name, HardwareAddr: mac[:]}, packet.Raw, etherTypeARP, nil)
	if err != nil {
		return nil, rawHint(err)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p := &port{name: name, index: index, mac: mac, conn: conn, raw: raw, done: make(chan struct{})}
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
	buf := make([]byte, 2048)
	for {
		n, _, err := p.conn.ReadFrom(buf)
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
		if h, ok := parseARP(buf[:n]); ok {
			h.Link, h.At = p.name, time.Now()
			if !p.lulls.drop(h) {
				hear(h)
			}
		}
	}
}

// lulls thins out what the busiest askers of a link send.
type lulls struct {
	since time.Time
	heard map[MAC]bool // whose questions were heard since
}

// lullEvery is how often a host that goes on asking is heard to live.
const lullEvery = 25 * time.Millisecond

// drop says whether a frame only repeats that a host lives, which need not wake anybody.
func (l *lulls) drop(h Heard) bool {
	if h.Kind != Other {
		return false
	}
	if h.At.Sub(l.since) >= lullEvery || l.heard == nil {
		l.since, l.heard = h.At, make(map[MAC]bool)
	}
	again := l.heard[h.MAC]
	l.heard[h.MAC] = true
	return again
}
