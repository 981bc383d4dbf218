package multicast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Config says where to chat.
type Config struct {
	// Group is the IPv4 multicast address and port. With the address 0.0.0.0 there is no
	// group: the socket has the port, and what is sent goes to single peers only.
	Group netip.AddrPort
	// Interfaces chooses the links: All, names of links, or IPv4 addresses that a link
	// has; none means All. What doesn't exist yet is joined by Rescan once it does.
	Interfaces []string
	// Beside is an open Conn of this process that may have the same port, as one that this
	// Conn is to replace has; nil for none. Nobody else may have it.
	Beside *Conn
	// Log is told which links are joined and left. Nil discards that.
	Log *slog.Logger
}

// Conn is the chat socket. Read belongs to one goroutine; everything else may be
// called from any.
//
// A process works in the network namespace of the thread that called Open; Rescan must
// be called in the same one.
type Conn struct {
	group  netip.AddrPort
	choice choice
	log    *slog.Logger

	udp *net.UDPConn
	pc  *ipv4.PacketConn
	out *sender

	rescan sync.Mutex // one Rescan at a time; Close waits for it
	links  atomic.Pointer[[]link]
	count  counters
}

// Open binds the port and joins the group, if any, on the chosen links that there are. It fails
// when the port is taken or a socket option is refused, not for want of a link.
func Open(c Config) (*Conn, error) { return open(c, c.Group.Port()) }

// OpenSender opens a Conn to speak with beside the one that has the port: its datagrams
// come from a port that the kernel chooses, and it hears nothing.
func OpenSender(c Config) (*Conn, error) { return open(c, 0) }

func open(c Config, port uint16) (*Conn, error) {
	if addr := c.Group.Addr(); addr != netip.IPv4Unspecified() && (!addr.Is4() || !addr.IsMulticast()) || c.Group.Port() == 0 {
		return nil, fmt.Errorf("chat %s: not an IPv4 multicast address with a port (224.0.0.254:5007 is the default)", c.Group)
	}
	choice, err := newChoice(c.Interfaces)
	if err != nil {
		return nil, fmt.Errorf("chat %s: %w", c.Group, err)
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}

	// Not bound to the group itself: answers come by unicast.
	lc := net.ListenConfig{Control: control}
	if old := c.Beside; old != nil {
		if err := old.share(true); err != nil {
			return nil, fmt.Errorf("chat %s: share the port: %w", c.Group, err)
		}
		defer func() { _ = old.share(false) }() // it may be closed by then
		lc.Control = func(network, address string, raw syscall.RawConn) error {
			return errors.Join(control(network, address, raw), share(raw, true))
		}
	}
	pc, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			err = fmt.Errorf("%w (does another vippyd run? see `ss -lunp`, or choose another port for chat)", err)
		}
		return nil, fmt.Errorf("chat %s: %w", c.Group, err)
	}
	udp := pc.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("chat %s: %w", c.Group, err), udp.Close())
	}
	conn := &Conn{
		group:  c.Group,
		choice: choice,
		log:    log,
		udp:    udp,
		pc:     ipv4.NewPacketConn(udp),
		out:    newSender(raw),
	}
	conn.links.Store(&[]link{})
	if err := share(raw, false); err != nil {
		return nil, errors.Join(fmt.Errorf("chat %s: %w", c.Group, err), udp.Close())
	}
	if err := conn.Rescan(); err != nil {
		// Some link cannot be joined: the others chat, and Rescan will say so again.
		log.Warn("chat link not joined", "err", err)
	}
	return conn, nil
}

// grouped says whether there is a group.
func (c *Conn) grouped() bool { return c.group.Addr().IsMulticast() }

// share lets another socket have the same port, or not; both must allow it when the second
// one is bound (SO_REUSEADDR, socket(7)).
func share(raw syscall.RawConn, on bool) error {
	value := 0
	if on {
		value = 1
	}
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, value)
	}); cerr != nil {
		return cerr
	}
	return err
}

func (c *Conn) share(on bool) error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	return share(raw, on)
}

// Close leaves the group and ends a waiting Read with net.ErrClosed.
func (c *Conn) Close() error {
	c.rescan.Lock()
	defer c.rescan.Unlock()
	c.links.Store(&[]link{})
	return c.udp.Close() // the kernel leaves the group on every link
}

// SetReadDeadline ends a Read that waits at t with os.ErrDeadlineExceeded; the zero
// time lets it wait for ever.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.udp.SetReadDeadline(t) }

// bufferSize is what a stalled daemon may fall behind: 32 nodes at 100 ms intervals
// for more than ten seconds. As send buffer it is larger than the queue of a link
// (1,000 packets), so that a link whose queue doesn't drain can't starve the others.
const bufferSize = 4 << 20

// control sets every option before the socket is bound, so that no datagram is
// received without them.
func control(_, _ string, raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) { err = setOptions(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

func setOptions(fd int) error {
	for _, o := range []struct {
		name              string
		level, opt, value int
	}{
		// What came to the groups of other sockets of this host is not for us (ip(7)).
		{"IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
		{"IP_MULTICAST_LOOP", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0},
		// 255 can't be had from behind a router (RFC 5082).
		{"IP_MULTICAST_TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255},
		{"IP_TTL", unix.IPPROTO_IP, unix.IP_TTL, 255},
		// A fragment lost is a datagram lost: too long is an error, not two fragments.
		{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO},
		{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
		{"IP_RECVTTL", unix.IPPROTO_IP, unix.IP_RECVTTL, 1},
		// TC_PRIO_INTERACTIVE, the highest that needs no privilege (socket(7)).
		{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY, 6},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("socket option %s: %w", o.name, err)
		}
	}
	for _, b := range []struct {
		name         string
		force, plain int
	}{
		{"SO_RCVBUF", unix.SO_RCVBUFFORCE, unix.SO_RCVBUF},
		{"SO_SNDBUF", unix.SO_SNDBUFFORCE, unix.SO_SNDBUF},
	} {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, b.force, bufferSize)
		if errors.Is(err, unix.EPERM) { // without CAP_NET_ADMIN: what net.core.?mem_max allows
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, b.plain, bufferSize)
		}
		if err != nil {
			return fmt.Errorf("socket option %s: %w", b.name, err)
		}
	}
	return nil
}
