package lab

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// floodRate is how many datagrams a second a flood sends: 100,000 and some to spare, for
	// what is due when it ends and was not sent.
	floodRate = 102_000
	// floodBurst is how many of them a frame has, which the receiving kernels take apart
	// (UDP_SEGMENT of udp(7)): a switch in software would be the bottleneck else.
	floodBurst = 20
	// forgedSize is the length of each.
	forgedSize = 200
)

// A flood is a stranger on the wire that sends forged chat to all nodes, floodRate of it:
// datagrams that begin like real ones, of TTL 255 and with the right key id, in the name of
// each node's host, of which only the seal is wrong; others with another key id; and plain
// rubbish.
type flood struct {
	socket int
	frames [][]byte
	stop   atomic.Bool
	done   sync.WaitGroup
	rate   *int // where it says how many a second it was
}

// flood starts one on the host of the twin, where nobody else is.
func (c *cluster) flood() error {
	f := &flood{rate: &c.flooded}
	for _, n := range c.nodes {
		for _, kind := range []forgery{badSeal, otherKey, rubbish} {
			f.frames = append(f.frames, c.forge(n, kind))
		}
	}
	err := c.twin.space.do(func() (err error) {
		if f.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		err = errors.Join(
			unix.SetsockoptInt(f.socket, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.Bind(f.socket, &unix.SockaddrLinklayer{Ifindex: c.twin.link.Attrs().Index}))
		if err == nil {
			_, err = unix.Write(f.socket, f.frames[0])
		}
		if err != nil {
			unix.Close(f.socket)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("flood: %w (segmented datagrams need Linux 6.2)", err)
	}
	f.done.Go(f.run)
	c.undo = append(c.undo, f)
	return nil
}

// run sends until the flood is closed, in turns a millisecond apart.
func (f *flood) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began, sent := now(), 0
	next := began
	for i := 0; !f.stop.Load(); {
		for range floodTurn(began.since(), sent) {
			// What the link has no room for is lost, as on any wire.
			if _, err := unix.Write(f.socket, f.frames[i%len(f.frames)]); err == nil {
				sent += floodBurst
			}
			i++
		}
		next = max(next.add(time.Millisecond), now())
		at := unix.NsecToTimespec(int64(next))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil)
	}
	*f.rate = int(float64(sent) / began.since().Seconds())
}

// floodTurn is how many frames a turn sends: all that are due. What a late turn left undone
// is made up for by the next ones, each of which sends at most twice what falls to it: who
// attacks from a host of its own has no backlog to throw at the nodes at once.
func floodTurn(elapsed time.Duration, sent int) int {
	const most = 2 * floodRate / 1000 / floodBurst
	return min((int(floodRate*elapsed.Seconds())-sent)/floodBurst, most)
}

func (f *flood) close() error {
	f.stop.Store(true)
	f.done.Wait()
	return unix.Close(f.socket)
}

// A forgery is what is wrong with a datagram.
type forgery int

const (
	badSeal forgery = iota
	otherKey
	rubbish
)

// forge makes a frame that claims to come from a node's host.
func (c *cluster) forge(n *node, kind forgery) []byte {
	random := rand.NewChaCha8([32]byte{n.num, byte(kind)})
	id := sha256.Sum256([]byte("vippy key id 1\x00" + c.conf.secret)) // docs/protocol.md "Frame"
	bodies := make([]byte, floodBurst*forgedSize)
	random.Read(bodies)
	for i := range floodBurst {
		body := bodies[i*forgedSize:]
		if kind != rubbish {
			copy(body, "VIP\x01\x01")
		}
		if kind == badSeal {
			copy(body[5:9], id[:])
		}
	}
	from := c.twin.addr
	if kind == badSeal {
		from = n.addr
	}
	to, mac := netip.AddrFrom4([4]byte{224, 0, 0, 254}), net.HardwareAddr{0x01, 0x00, 0x5e, 0, 0, 254}
	if len(c.conf.peers) > 0 { // one after the other, as there is no group
		victim := c.nodes[int(n.num)%len(c.nodes)]
		to, mac = victim.addr, victim.mac
	}
	return segmented(mac, c.twin.mac, netip.AddrPortFrom(from, chatPort), netip.AddrPortFrom(to, chatPort), bodies)
}

// segmented is UDP datagrams of forgedSize and TTL 255 in one frame, behind what a packet
// socket wants to know of it (struct virtio_net_hdr of linux/virtio_net.h).
func segmented(dst, src net.HardwareAddr, from, to netip.AddrPort, bodies []byte) []byte {
	const (
		needsChecksum, udpSegments = 1, 5 // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_UDP_L4
		ethernet, ipv4, udp        = 14, 20, 8
	)
	f := []byte{needsChecksum, udpSegments}
	for _, n := range []uint16{ethernet + ipv4 + udp, forgedSize, ethernet + ipv4, 6} { // the last: where in UDP
		f = binary.NativeEndian.AppendUint16(f, n)
	}
	f = append(append(append(f, dst...), src...), 0x08, 0x00)
	length := uint16(udp + len(bodies))
	ip := make([]byte, ipv4)
	ip[0], ip[8], ip[9] = 0x45, 255, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], ipv4+length)
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	pseudo := append(append([]byte{}, ip[12:]...), 0, unix.IPPROTO_UDP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, length)
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip))
	f = append(f, ip...)
	for _, n := range []uint16{from.Port(), to.Port(), length, sum(pseudo)} {
		f = binary.BigEndian.AppendUint16(f, n)
	}
	return append(f, bodies...)
}

// sum is the checksum of the Internet protocols (RFC 1071), not inverted, over an even number
// of bytes.
func sum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
