package multicast

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// BatchSize is how many datagrams one Read takes from the kernel at most.
const BatchSize = 32

// bufferLen is more than fits a frame of an ordinary link, and an announcement has far
// less: what is longer is nobody's of ours.
const bufferLen = 2048

// A Packet is a datagram and what the kernel says about it.
type Packet struct {
	// Data is valid until its Batch is read into again.
	Data []byte
	// From is the sender; its address is 0.0.0.0 where the sender's link had none.
	From netip.AddrPort
	// Link and Index name the link on which it arrived.
	Link  string
	Index int
	// TTL is the hop limit with which it arrived. It is not judged here.
	TTL int
}

// A Batch holds the datagrams of one Read, and the memory they lie in. The zero value
// is ready for use. To read on while a batch is being worked on, take two in turn.
type Batch struct {
	Packets []Packet
	// More says that the kernel had at least BatchSize datagrams, so that more are
	// likely to wait.
	More bool

	messages []ipv4.Message
	control  ipv4.ControlMessage
}

func (b *Batch) reset() {
	b.Packets, b.More = b.Packets[:0], false
	if b.messages != nil {
		return
	}
	b.messages = make([]ipv4.Message, BatchSize)
	data := make([]byte, BatchSize*bufferLen)
	for i := range b.messages {
		b.messages[i].Buffers = [][]byte{data[i*bufferLen:][:bufferLen:bufferLen]}
		b.messages[i].OOB = ipv4.NewControlMessage(ipv4.FlagTTL | ipv4.FlagInterface | ipv4.FlagDst)
	}
}

// Read waits for datagrams and fills b with those that wait, in the order of their
// arrival. It may return none, when all that waited were dropped.
func (c *Conn) Read(b *Batch) error {
	b.reset()
	n, err := c.pc.ReadBatch(b.messages, 0)
	if err != nil {
		return fmt.Errorf("chat %s: %w", c.group, err)
	}
	b.More = n == BatchSize
	links := *c.links.Load()
	for i := range b.messages[:n] {
		p, drop := c.accept(&b.messages[i], &b.control, links)
		if drop != "" {
			c.count.drop(drop)
			continue
		}
		c.count.received.Add(1)
		b.Packets = append(b.Packets, p)
	}
	return nil
}

// Waiting says whether datagrams wait in the kernel for Read.
func (c *Conn) Waiting() bool {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return false
	}
	waiting := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		waiting = err == nil && n > 0 && fds[0].Revents&unix.POLLIN != 0
	})
	return err == nil && waiting
}

// accept makes a Packet of a message, or names why it was not meant for this socket.
func (c *Conn) accept(m *ipv4.Message, cm *ipv4.ControlMessage, links []link) (Packet, Drop) {
	if m.Flags&unix.MSG_TRUNC != 0 {
		return Packet{}, Truncated
	}
	*cm = ipv4.ControlMessage{Dst: cm.Dst}
	from, ok := m.Addr.(*net.UDPAddr)
	if err := cm.Parse(m.OOB[:m.NN]); err != nil || !ok || cm.IfIndex == 0 || cm.TTL == 0 {
		return Packet{}, Unmarked
	}
	dst, _ := netip.AddrFromSlice(cm.Dst)
	if dst = dst.Unmap(); dst != c.group.Addr() && (dst.IsMulticast() || dst == broadcast) {
		return Packet{}, ForeignGroup
	}
	i := slices.IndexFunc(links, func(l link) bool { return l.index == cm.IfIndex })
	if i < 0 {
		return Packet{}, ForeignLink
	}
	sender := from.AddrPort()
	if sender.Addr().Unmap() == dst {
		return Packet{}, Own // the kernel lets no such datagram in from the wire
	}
	return Packet{
		Data:  m.Buffers[0][:m.N],
		From:  netip.AddrPortFrom(sender.Addr().Unmap(), sender.Port()),
		Link:  links[i].name,
		Index: links[i].index,
		TTL:   cm.TTL,
	}, ""
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
