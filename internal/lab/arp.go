package lab

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

const (
	// askEvery is the time between two rounds of ARP requests.
	askEvery = 50 * time.Millisecond
	// askers is how many hardware addresses the requests come from in turn, so that a
	// late answer isn't taken for one to a later request.
	askers = 16
	// perAsk bounds the requests of a round; more VIPs than that take turns.
	perAsk = 16
)

// A census asks from the client's namespace by broadcast who has each VIP, and counts the
// requests that two hosts answered: what two owners are to everybody else on the wire.
type census struct {
	conn     *packet.Conn
	stop     context.CancelFunc
	ask, tap sync.WaitGroup

	mu      sync.Mutex
	answers map[question]net.HardwareAddr
	doubles int
	// announced is who announced each VIP last.
	announced map[netip.Addr]net.HardwareAddr
}

// A question is one request: the answer comes to the asker.
type question struct {
	vip   netip.Addr
	asker byte
}

// mac is the hardware address that a question comes from.
func (q question) mac() net.HardwareAddr { return net.HardwareAddr{0x02, 0x99, 0xff, 0, 0, q.asker} }

// count starts to ask.
func count(p *port, vips []netip.Addr) (*census, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &census{stop: cancel, answers: map[question]net.HardwareAddr{}, announced: map[netip.Addr]net.HardwareAddr{}}
	err := p.space.do(func() (err error) {
		link := p.link.Attrs()
		c.conn, err = packet.Listen(&net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: p.mac},
			packet.Raw, unix.ETH_P_ARP, nil)
		return err
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("count ARP answers: %w", err)
	}
	c.ask.Go(func() { c.send(ctx, vips) })
	c.tap.Go(c.read)
	return c, nil
}

// send asks for a round of VIPs at a time, until ctx ends.
func (c *census) send(ctx context.Context, vips []netip.Addr) {
	every := time.NewTicker(askEvery)
	defer every.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		for range min(perAsk, len(vips)) {
			q := question{vips[n%len(vips)], byte(n / len(vips) % askers)}
			n++
			c.mu.Lock()
			delete(c.answers, q)
			c.mu.Unlock()
			// What can't be sent isn't answered.
			_, _ = c.conn.WriteTo(q.frame(), &packet.Addr{HardwareAddr: ethernet.Broadcast})
		}
	}
}

// frame is the request, in the form of a probe (RFC 5227): it puts nothing into the
// neighbour tables of those who hear it.
func (q question) frame() []byte {
	return arpFrame(ethernet.Broadcast, arp.OperationRequest, q.mac(), netip.IPv4Unspecified(), make(net.HardwareAddr, 6), q.vip)
}

// arpFrame is an ARP packet in a frame from its sender.
func arpFrame(dst net.HardwareAddr, op arp.Operation, mac net.HardwareAddr, ip netip.Addr, targetMAC net.HardwareAddr, targetIP netip.Addr) []byte {
	p, err := arp.NewPacket(op, mac, ip, targetMAC, targetIP)
	if err != nil {
		panic("lab: ARP for addresses of the wrong kind: " + err.Error())
	}
	// Only a VLAN tag could make either fail.
	body, _ := p.MarshalBinary()
	frame, _ := (&ethernet.Frame{Destination: dst, Source: mac, EtherType: ethernet.EtherTypeARP, Payload: body}).MarshalBinary()
	return frame
}

// read takes the answers until the socket is closed.
func (c *census) read() {
	buf := make([]byte, 128)
	for {
		n, _, err := c.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var f ethernet.Frame
		var p arp.Packet
		switch {
		case f.UnmarshalBinary(buf[:n]) != nil || p.UnmarshalBinary(f.Payload) != nil:
		case p.SenderIP == p.TargetIP:
			c.noteAnnounced(p)
		case p.Operation == arp.OperationReply:
			c.note(p)
		}
	}
}

// note counts the second answer to a question, and not those that follow.
func (c *census) note(p arp.Packet) {
	if len(p.TargetHardwareAddr) != 6 {
		return
	}
	q := question{vip: p.SenderIP, asker: p.TargetHardwareAddr[5]}
	if !bytes.Equal(p.TargetHardwareAddr, q.mac()) {
		return // an answer to the kernel of the client, or to nobody
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first, asked := c.answers[q]
	switch {
	case !asked:
		c.answers[q] = append(net.HardwareAddr(nil), p.SenderHardwareAddr...)
	case first != nil && !bytes.Equal(first, p.SenderHardwareAddr):
		c.doubles++
		c.answers[q] = nil
	}
}

// noteAnnounced keeps who announced an address, as request or reply (RFC 5227 section 3).
func (c *census) noteAnnounced(p arp.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.announced[p.SenderIP] = append(net.HardwareAddr(nil), p.SenderHardwareAddr...)
}

// lastWord returns who announced an address last since begin, nil where nobody did. It is
// whom most hosts on the wire send to.
func (c *census) lastWord(vip netip.Addr) net.HardwareAddr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.announced[vip]
}

// begin forgets what was counted.
func (c *census) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubles = 0
	clear(c.announced)
}

// end returns how many requests two hosts answered since begin.
func (c *census) end() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doubles
}

func (c *census) close() {
	c.stop()
	c.ask.Wait()
	c.conn.Close()
	c.tap.Wait()
}
