package netplumb

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stampFrames lets the kernel tell when each frame arrived (SO_TIMESTAMPNS, socket(7)). What
// waited in the socket must not count as newer than what another socket brought meanwhile:
// the last word of a holder as a sign of life after its release.
func stampFrames(raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}); e != nil {
		return e
	}
	return err
}

// A frameReader reads frames with the moment at which they arrived.
type frameReader struct {
	raw      syscall.RawConn
	buf, oob []byte
	woken    time.Time
}

func newFrameReader(raw syscall.RawConn) *frameReader {
	return &frameReader{raw: raw, buf: make([]byte, 2048), oob: make([]byte, 128)}
}

// next waits for a frame, which is good until the next one. Its error is net.ErrClosed once
// the socket is closed.
func (r *frameReader) next() (frame []byte, at time.Time, err error) {
	var n, oobn int
	waited := false
	e := r.raw.Read(func(fd uintptr) bool {
		if waited {
			r.gather()
		}
		for {
			n, oobn, _, _, err = unix.Recvmsg(int(fd), r.buf, r.oob, 0)
			if err != unix.EINTR {
				waited = true
				return err != unix.EAGAIN
			}
		}
	})
	switch {
	case errors.Is(e, os.ErrClosed):
		return nil, time.Time{}, net.ErrClosed
	case e != nil:
		return nil, time.Time{}, e
	case err != nil:
		return nil, time.Time{}, err
	}
	return r.buf[:n], arrived(time.Now(), r.oob[:oobn]), nil
}

// gatherWithin is the time between two frames of a burst, such as the announcements of a hundred
// addresses that move.
const gatherWithin = time.Millisecond

// gather lets the frames of a burst come together: to be woken for each costs several times
// what reading it does, just when the processor has addresses to move. The first frame after a
// lull is read at once.
func (r *frameReader) gather() {
	if time.Since(r.woken) < gatherWithin {
		time.Sleep(gatherWithin / 4)
	}
	r.woken = time.Now()
}

// stampTrusted is the longest wait in a socket that is believed: the stamp is of a clock that
// may be set.
const stampTrusted = time.Minute

// arrived returns when a frame arrived by its control messages; now where they don't say.
func arrived(now time.Time, oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return now
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SCM_TIMESTAMPNS {
			continue
		}
		var stamp unix.Timespec
		if _, err := binary.Decode(m.Data, binary.NativeEndian, &stamp); err != nil {
			continue
		}
		if waited := now.Sub(time.Unix(stamp.Unix())); waited > 0 && waited <= stampTrusted {
			return now.Add(-waited)
		}
	}
	return now
}
