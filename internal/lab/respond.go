package lab

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// servicePort is where every node answers probes, on whatever address it has.
const servicePort = 7

// A responder stands for the service on a node. It belongs to the lab, not to the daemon:
// it goes on while the daemon is killed or hung, as a real service would.
type responder struct {
	conn *net.UDPConn
	done chan struct{}
}

// respond starts to answer probes in the host's namespace with number, from the address
// that was asked.
func respond(p *port, number byte) (*responder, error) {
	r := &responder{done: make(chan struct{})}
	err := p.space.do(func() (err error) {
		if r.conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: servicePort}); err != nil {
			return err
		}
		return control(r.conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1) })
	})
	if err != nil {
		return nil, fmt.Errorf("responder: %w", err)
	}
	go r.run(number)
	return r, nil
}

func (r *responder) run(number byte) {
	defer close(r.done)
	buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	for {
		n, oobn, _, from, err := r.conn.ReadMsgUDPAddrPort(buf[:len(buf)-1], oob)
		if err != nil {
			return // closed
		}
		buf[n] = number
		// The control message that came in says from where the answer goes out
		// (ip(7), ipi_spec_dst). An address that is gone by now can't answer.
		r.conn.WriteMsgUDPAddrPort(buf[:n+1], oob[:oobn], from)
	}
}

func (r *responder) close() {
	r.conn.Close()
	<-r.done
}

// control runs f on the descriptor of a connection.
func control(c *net.UDPConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
