package lab

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// servicePort is where every node answers probes, on whatever address it has.
const servicePort = 7

// A responder stands for the service on a node. It belongs to the lab, not to the daemon:
// it goes on while the daemon is killed or hung, as a real service would. It has a thread
// of its own, as urgent as the probe's, so that a gap is never its fault.
type responder struct {
	socket int
	ended  atomic.Bool
	done   chan struct{}
}

// respond starts to answer probes in the host's namespace with number, from the address
// that was asked.
func respond(p *port, number byte) (*responder, error) {
	r := &responder{done: make(chan struct{})}
	if err := p.space.do(r.listen); err != nil {
		return nil, fmt.Errorf("responder: %w", err)
	}
	go r.run(number)
	return r, nil
}

// responderWait is how soon a responder notices that it shall end.
const responderWait = 100 * time.Millisecond

func (r *responder) listen() (err error) {
	if r.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(responderWait))
	if err := errors.Join(
		unix.Bind(r.socket, &unix.SockaddrInet4{Port: servicePort}),
		unix.SetsockoptInt(r.socket, unix.IPPROTO_IP, unix.IP_PKTINFO, 1),
		unix.SetsockoptTimeval(r.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
	); err != nil {
		unix.Close(r.socket)
		return err
	}
	return nil
}

func (r *responder) run(number byte) {
	defer close(r.done)
	defer unix.Close(r.socket)
	runtime.LockOSThread() // for good: the thread keeps what urgent sets
	urgent(answerBudget)
	buf, oob := make([]byte, 64), make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	for !r.ended.Load() {
		n, oobn, _, from, err := unix.Recvmsg(r.socket, buf[:len(buf)-1], oob, 0)
		if err != nil {
			continue // nothing came for a while
		}
		buf[n] = number
		// The control message that came in says from where the answer goes out
		// (ip(7), ipi_spec_dst). An address that is gone by now can't answer.
		unix.Sendmsg(r.socket, buf[:n+1], oob[:oobn], from, unix.MSG_DONTWAIT)
	}
}

func (r *responder) close() {
	r.ended.Store(true)
	<-r.done
}
