package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prey is the address that a meddler turns to: the last one that the node has, by its
// kernel.
func (c *cluster) prey(n *node) (netip.Addr, error) {
	has, err := n.table()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, v := range slices.Backward(c.vips) {
		if has[v] {
			return v, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s: it has no address to meddle with", n.name)
}

// meddle deletes an address behind the daemon's back, as another program on its host might.
func (c *cluster) meddle(n *node) error {
	vip, err := c.prey(n)
	if err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	if err := n.inside.AddrDel(n.link, addr); err != nil {
		return fmt.Errorf("%s: delete %v: %w", n.name, vip, err)
	}
	return nil
}

// A contest is so many announcements, so far apart.
const (
	contestTimes = 5
	contestEvery = 20 * time.Millisecond
)

// stranger is the hardware address of a host that nobody configured. Frames to it reach
// nobody.
var stranger = net.HardwareAddr{0x02, 0x99, 0xee, 0, 0, 1}

// contest lets a stranger announce an address of the node. It speaks from the switch, as a
// host on one more port: the client hears it like the nodes do, and believes it.
func (c *cluster) contest(ctx context.Context, n *node) error {
	vip, err := c.prey(n)
	if err != nil {
		return err
	}
	frame := announcement(stranger, vip)
	var conn *packet.Conn
	err = c.wire.space.do(func() (err error) {
		link := c.wire.bridge.Attrs()
		conn, err = packet.Listen(&net.Interface{Index: link.Index, Name: link.Name, HardwareAddr: stranger},
			packet.Raw, unix.ETH_P_ARP, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("contest %v: %w", vip, err)
	}
	defer conn.Close()
	for range contestTimes {
		if _, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: ethernet.Broadcast}); err != nil {
			return fmt.Errorf("contest %v: %w", vip, err)
		}
		if err := Pause(ctx, contestEvery); err != nil {
			return err
		}
	}
	return nil
}

// announcement is a gratuitous ARP request (RFC 5227 section 2.3).
func announcement(from net.HardwareAddr, vip netip.Addr) []byte {
	return arpFrame(ethernet.Broadcast, arp.OperationRequest, from, vip, make(net.HardwareAddr, 6), vip)
}

// foreignMature is how long a node listens that hears nobody: not vippyd's default, so that
// nobody needs to wait long for what it does then.
const foreignMature = time.Second

// alienate starts a node's daemon anew with a secret that nobody else has.
func (c *cluster) alienate(ctx context.Context, n *node) error {
	if err := n.stop(ctx); err != nil {
		return err
	}
	n.foreign, n.conf.secret, n.conf.mature = true, newSecret(), foreignMature
	if err := c.configure(n); err != nil {
		return err
	}
	return c.start(n)
}

// reload gives a node other times and a plan of the next version, which its status shows
// once they are in force.
func (c *cluster) reload(ctx context.Context, n *node, interval, stale time.Duration) error {
	c.conf.version++
	n.conf.version, n.conf.interval, n.conf.stale = c.conf.version, interval, stale
	return c.reread(ctx, n)
}

// reloadBack gives all nodes the same config again, of one more version.
func (c *cluster) reloadBack(ctx context.Context) error {
	c.nextPlan()
	for _, n := range c.nodes {
		n.conf = c.conf
		if err := c.reread(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// reread writes a node's settings and lets its daemon read them.
func (c *cluster) reread(ctx context.Context, n *node) error {
	if err := c.configure(n); err != nil {
		return err
	}
	// One that is yet to start would die of the signal, or not know what it means.
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for n.proc.running() {
		if _, err := n.ask(ctx); err == nil || n.hung {
			return n.proc.signal(unix.SIGHUP)
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return fmt.Errorf("%s does not answer, so it isn't told to reload: %w", n.name, err)
		}
	}
	return nil // it reads them when it starts
}
