package lab

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// A memory is a switch that answers ARP requests for hosts by what it remembers, as
// switches with ARP suppression do (RFC 9161 section 3.3), be the host alive or not. It forgets
// an address that another host announces.
type memory struct {
	conn *packet.Conn
	mac  net.HardwareAddr // of the host that it remembers
	vips []netip.Addr     // that it still takes to be there
	read sync.WaitGroup
}

// remember makes the switch answer for what a node has now, until heal.
func (c *cluster) remember(n *node) error {
	has, err := n.table()
	if err != nil {
		return err
	}
	m := &memory{mac: n.mac}
	for _, v := range c.vips {
		if has[v] {
			m.vips = append(m.vips, v)
		}
	}
	err = c.wire.space.do(func() (err error) {
		link := c.wire.bridge.Attrs()
		m.conn, err = packet.Listen(&net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: n.mac},
			packet.Raw, unix.ETH_P_ARP, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("switch: remember %s: %w", n.name, err)
	}
	m.read.Go(m.run)
	c.undo = append(c.undo, m)
	return nil
}

// run answers until the socket is closed.
func (m *memory) run() {
	buf := make([]byte, 128)
	for {
		n, _, err := m.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := m.hear(buf[:n]); reply != nil {
			// What can't be sent is no answer.
			_, _ = m.conn.WriteTo(reply, &packet.Addr{HardwareAddr: reply[:6]})
		}
	}
}

// hear learns from a frame and returns the frame that answers it, nil for none.
func (m *memory) hear(frame []byte) []byte {
	var f ethernet.Frame
	var p arp.Packet
	if f.UnmarshalBinary(frame) != nil || p.UnmarshalBinary(f.Payload) != nil || len(p.SenderHardwareAddr) != 6 || bytes.Equal(p.SenderHardwareAddr, m.mac) {
		return nil
	}
	m.vips = slices.DeleteFunc(m.vips, func(v netip.Addr) bool { return v == p.SenderIP })
	if p.Operation != arp.OperationRequest || !slices.Contains(m.vips, p.TargetIP) || isCensus(p.SenderHardwareAddr) {
		return nil
	}
	return arpFrame(p.SenderHardwareAddr, arp.OperationReply, m.mac, p.TargetIP, p.SenderHardwareAddr, p.SenderIP)
}

// isCensus says whether a request is the census's, which counts hosts and no switches.
func isCensus(mac net.HardwareAddr) bool { return bytes.HasPrefix(mac, question{}.mac()[:5]) }

func (m *memory) close() error {
	err := m.conn.Close()
	m.read.Wait()
	return err
}
