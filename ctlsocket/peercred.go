package ctlsocket

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// A process is the other end of a connection, as the kernel named it when it connected.
type process struct {
	pid int32
	uid uint32
}

// unknownUser is no user's number, credentials(7), and stands for all whom the kernel
// doesn't name. They read like anybody, and share one count of connections.
const unknownUser = ^uint32(0)

// peerOf asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
func peerOf(c net.Conn) (process, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return process{}, fmt.Errorf("a %T has no peer credentials", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return process{}, err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return process{}, err
	}
	if credErr != nil {
		return process{}, os.NewSyscallError("getsockopt SO_PEERCRED", credErr)
	}
	return process{pid: cred.Pid, uid: cred.Uid}, nil
}

// perUser is how many connections one user may have open. It is counted per user, so
// that whoever takes too many locks out only himself.
const perUser = 16

// streamsPerUser is how many connections one user may have beside those, whose answers go
// on and on.
const streamsPerUser = 64

// A guardedListener knows who is at the other end of each connection, and turns away
// whoever has too many.
type guardedListener struct {
	net.Listener
	mu sync.Mutex
	// open counts the connections of each user, streams those that go on and on.
	open, streams map[uint32]int
}

func guard(l net.Listener) *guardedListener {
	return &guardedListener{Listener: l, open: map[uint32]int{}, streams: map[uint32]int{}}
}

// A guardedConn is a connection with the process that opened it.
type guardedConn struct {
	net.Conn
	peer process
	// linger counts the connection as a stream from now on, and says whether it may be one.
	// Nil lets all.
	linger func() bool
	close  func() error
}

func (c *guardedConn) Close() error { return c.close() }

// Accept waits for the next connection of somebody who has not too many.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(c)
		if err != nil {
			peer.uid = unknownUser
		}
		if !l.take(l.open, peer.uid, perUser) {
			// These few bytes fit the socket's empty buffer, so this doesn't wait.
			_, _ = c.Write([]byte(tooMany))
			c.Close()
			continue
		}
		return l.guarded(c, peer), nil
	}
}

// guarded wraps a connection that is counted among the open ones.
func (l *guardedListener) guarded(c net.Conn, peer process) *guardedConn {
	var mu sync.Mutex
	counted := l.open
	return &guardedConn{
		Conn: c,
		peer: peer,
		linger: func() bool {
			mu.Lock()
			defer mu.Unlock()
			if !l.take(l.streams, peer.uid, streamsPerUser) {
				return false
			}
			l.give(counted, peer.uid)
			counted = l.streams
			return true
		},
		close: sync.OnceValue(func() error {
			mu.Lock()
			defer mu.Unlock()
			l.give(counted, peer.uid)
			return c.Close()
		}),
	}
}

func (l *guardedListener) take(counts map[uint32]int, uid uint32, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if counts[uid] >= most {
		return false
	}
	counts[uid]++
	return true
}

func (l *guardedListener) give(counts map[uint32]int, uid uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if counts[uid]--; counts[uid] == 0 {
		delete(counts, uid)
	}
}
