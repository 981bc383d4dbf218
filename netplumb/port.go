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
	// broken is set when the reader gave up.
	broken atomic.Bool
	done   chan struct{}
}

func openPort(name string, index int, mac MAC) (*port, error) {
	// arp.Dial wants an IPv4 address on the link, which a VIP's link need not have.
	conn, err := packet.Listen(&net.Interface{Index: index, Name: name, HardwareAddr: mac[:]}, packet.Raw, etherTypeARP, nil)
	if err != nil {
		err = fmt.Errorf("open ARP socket on %s: %w", name, err)
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w (needs CAP_NET_RAW)", err)
		}
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open ARP socket on %s: %w", name, err)
	}
	return &port{name: name, index: index, mac: mac, conn: conn, raw: raw, done: make(chan struct{})}, nil
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
			p.broken.Store(true)
			return
		}
		if h, ok := parseARP(buf[:n]); ok {
			h.Link, h.At = p.name, time.Now()
			hear(h)
		}
	}
}
