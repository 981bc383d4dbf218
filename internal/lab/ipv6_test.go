package lab

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// withIPv6 is a cluster that also has a group with an IPv6 address, which belongs to the
// first node.
func withIPv6(t *testing.T) (c *cluster, vip netip.Addr) {
	t.Helper()
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	o := Options{Vippyd: path, Nodes: 2, Groups: 1}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	c, err := newCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	vip = netip.MustParseAddr("2001:db8:99::ff")
	own := netip.MustParseAddr("2001:db8:99::1")
	for _, p := range c.wire.ports {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: own.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
		if err := p.inside.AddrAdd(p.link, addr); err != nil {
			t.Fatal(err)
		}
		own = own.Next()
	}
	if wrong, err := c.settle(t.Context(), nil, 0, nil); wrong != "" || err != nil {
		t.Fatalf("%s (%v)", wrong, err)
	}
	c.groups = append(c.groups, group{name: "six", prefer: c.nodes[0].name, vips: []netip.Addr{vip}})
	if err := c.reloadBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, vip
}

// has says whether a node's kernel has an IPv6 address that answers.
func (n *node) has(t *testing.T, vip netip.Addr) bool {
	t.Helper()
	for {
		list, err := n.inside.AddrList(n.link, unix.AF_INET6)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.IP.Equal(vip.AsSlice()) {
				return a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) == 0
			}
		}
		return false
	}
}

// A pinger asks for echoes of an IPv6 address and keeps when they came.
type pinger struct {
	conn *icmp.PacketConn
	to   net.Addr
	last time.Time // the newest echo
	gap  time.Duration
}

func (c *cluster) pinger(t *testing.T, vip netip.Addr) *pinger {
	t.Helper()
	p := &pinger{to: &net.IPAddr{IP: vip.AsSlice()}, last: time.Now()}
	err := c.client.space.do(func() (err error) {
		p.conn, err = icmp.ListenPacket("ip6:ipv6-icmp", "::")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	var only ipv6.ICMPFilter
	only.SetAll(true)
	only.Accept(ipv6.ICMPTypeEchoReply)
	if err := p.conn.IPv6PacketConn().SetICMPFilter(&only); err != nil {
		t.Fatal(err)
	}
	return p
}

// ping sends one question, and says whether an echo came within a moment.
func (p *pinger) ping(t *testing.T) (echo bool) {
	t.Helper()
	m := icmp.Message{Type: ipv6.ICMPTypeEchoRequest, Body: &icmp.Echo{ID: 77, Seq: 1}}
	b, err := m.Marshal(nil) // the kernel fills in the checksum
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.conn.WriteTo(b, p.to) // nobody may be there
	p.conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	for buf := make([]byte, 1500); ; {
		_, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return echo
		}
		if err != nil {
			t.Fatal(err)
		}
		echo = true
		now := time.Now()
		p.gap, p.last = max(p.gap, now.Sub(p.last)), now
	}
}

// An IPv6 address moves like any other, is never on two nodes, and its client goes along.
func TestIPv6FailsOver(t *testing.T) {
	c, vip := withIPv6(t)
	a, b := c.nodes[0], c.nodes[1]
	p := c.pinger(t, vip)
	// until pings until the address is on one node and answers there.
	until := func(what string, at, other *node) {
		t.Helper()
		p.gap = 0
		for begin := time.Now(); ; {
			echo := p.ping(t)
			before := at.has(t, vip)
			there := other.has(t, vip)
			if before && there && at.has(t, vip) {
				t.Fatalf("%s: both nodes have it", what)
			}
			if before && !there && echo {
				t.Logf("%s: there after %v, without an echo for %v", what, time.Since(begin).Round(time.Millisecond), p.gap.Round(time.Millisecond))
				return
			}
			if time.Since(begin) > c.patience() {
				t.Fatalf("%s: never on %s alone, or without an echo (there %v and %v)\n%s\n%s", what, at.name, before, there,
					tail(logPath(at.dir), 20), tail(logPath(other.dir), 20))
			}
		}
	}
	// stays looks at an address that must stay, for longer than the answers of a switch that
	// only remembers one would be believed.
	stays := func(what string) {
		t.Helper()
		p.gap = 0
		for begin := time.Now(); time.Since(begin) < 8*c.stale; {
			p.ping(t)
			if !a.has(t, vip) || b.has(t, vip) {
				t.Fatalf("%s: on %s %v, on %s %v\n%s", what, a.name, a.has(t, vip), b.name, b.has(t, vip), tail(logPath(b.dir), 20))
			}
		}
		t.Logf("%s: without an echo for %v", what, p.gap.Round(time.Millisecond))
	}
	inflict := func(fault string) {
		t.Helper()
		if err := c.inflict(t.Context(), fault, a); err != nil {
			t.Fatal(err)
		}
	}
	until("start", a, b)
	for _, f := range [][2]string{{"stop", "return"}, {"kill", "return"}, {"link-down", "link-up"}} {
		inflict(f[0])
		until(f[0], b, a)
		inflict(f[1])
		until(f[1], a, b)
	}
	// Nobody hears its daemon any more, but its kernel answers.
	inflict("firewall")
	stays("firewall")
	inflict("heal")
	stays("heal")
}
