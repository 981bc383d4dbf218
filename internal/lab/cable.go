package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// carrier pulls the cable at the switch, or puts it back: the host loses its carrier.
func (p *port) carrier(on bool) error {
	set := p.wire.handle.LinkSetDown
	if on {
		set = p.wire.handle.LinkSetUp
	}
	if err := set(p.plug); err != nil {
		return fmt.Errorf("switch: cable of %s: %w", p.space.name, err)
	}
	return nil
}

// input lets the host hear the others, or not: the switch sends it nothing, neither what
// it floods nor what it would send to a known hardware address, for it forgets the host's
// and doesn't learn it again. The carrier stays.
func (p *port) input(on bool) error {
	return p.flags(on, nl.IFLA_BRPORT_LEARNING, nl.IFLA_BRPORT_UNICAST_FLOOD,
		nl.IFLA_BRPORT_MCAST_FLOOD, nl.IFLA_BRPORT_BCAST_FLOOD)
}

// output lets the others hear the host, or not: a locked port takes frames only from
// hardware addresses that were entered by hand, of which there are none. The carrier stays.
func (p *port) output(on bool) error {
	err := p.flags(!on, nl.IFLA_BRPORT_LOCKED)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w (locked bridge ports need Linux 5.18)", err)
	}
	return err
}

// both lets the host and the others hear each other, or not.
func (p *port) both(on bool) error { return errors.Join(p.output(on), p.input(on)) }

// isolate keeps the host from all other isolated hosts.
func (p *port) isolate(on bool) error { return p.flags(on, nl.IFLA_BRPORT_ISOLATED) }

// flags sets flags of the bridge port and makes the switch forget what it learnt there
// (the library has functions for some of the flags only).
func (p *port) flags(on bool, attrs ...int) error {
	value := uint8(0)
	if on {
		value = 1
	}
	err := p.wire.space.do(func() error {
		req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
		msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
		msg.Index = int32(p.plug.Attrs().Index)
		req.AddData(msg)
		info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
		for _, attr := range attrs {
			info.AddRtAttr(attr, nl.Uint8Attr(value))
		}
		info.AddRtAttr(nl.IFLA_BRPORT_FLUSH, nil)
		req.AddData(info)
		_, err := req.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("bridge port of %s: %w", p.space.name, err)
	}
	return nil
}
