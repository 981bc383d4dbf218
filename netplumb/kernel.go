package netplumb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernel is the one handle through which a process reads and writes addresses. It
// belongs to one goroutine.
type kernel struct {
	h     *netlink.Handle
	names map[int]string // of links by index, forgotten on every link event
	*requester
}

func openKernel() (*kernel, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	x, err := openRequester()
	if err != nil {
		_ = h.Close()
		return nil, err
	}
	return &kernel{h: h.DisableVFInfoCollection().RetryInterrupted(), names: map[int]string{}, requester: x}, nil
}

func (k *kernel) close() {
	k.requester.close()
	_ = k.h.Close()
}

// look reads the addresses of one link, or with index 0 those of all.
func (k *kernel) look(index int) ([]Observed, error) {
	have, err := k.addresses(index)
	if err != nil {
		return nil, err
	}
	named := have[:0]
	for _, o := range have {
		var ok bool
		if o.Link, ok = k.names[o.Index]; !ok {
			link, err := k.h.LinkByIndex(o.Index)
			if errors.As(err, &netlink.LinkNotFoundError{}) {
				continue // the link went between the two calls, its addresses with it
			}
			if err != nil {
				return nil, fmt.Errorf("read the name of link %d: %w", o.Index, err)
			}
			o.Link = link.Attrs().Name
			k.names[o.Index] = o.Link
		}
		named = append(named, o)
	}
	findOwn(named)
	return named, nil
}

// lifetimes are the seconds for which an address is there, and preferred as a source.
func lifetimes(op Op) (valid, preferred int) {
	valid = int(op.Lifetime / time.Second)
	if op.Address.Addr().Is6() {
		// Nothing that this host begins by itself shall come from a VIP: it would break
		// when that moves. IPv4 takes its oldest address by itself.
		return valid, 0
	}
	return valid, valid
}

// flagsOf are the IFA_F_* flags with which an address goes to the kernel.
func flagsOf(op Op) (flags uint32) {
	if !op.Address.Addr().Is6() {
		return 0
	}
	if op.Address.IsSingleIP() {
		flags = unix.IFA_F_NOPREFIXROUTE
	}
	// Asking the address has replaced duplicate detection, which would keep it from
	// answering for a second.
	return flags | unix.IFA_F_NODAD
}

// promote sets promote_secondaries by netlink, which works in a container whose /proc/sys
// is read-only and in a namespace whose /proc is not mounted.
func (k *kernel) promote(index int) error {
	const (
		iflaInetConf                  = 1  // include/uapi/linux/if_link.h
		ipv4DevconfPromoteSecondaries = 20 // include/uapi/linux/ip.h
	)
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	req.AddData(msg)
	one := make([]byte, 4)
	binary.NativeEndian.PutUint32(one, 1)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil).AddRtAttr(ipv4DevconfPromoteSecondaries, one)
	req.AddData(spec)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return hint(err)
}

// linkFacts is what one look at a link says.
type linkFacts struct {
	name        string
	index       int
	up, carrier bool
	// running: the kernel has taken note of the carrier, and sends.
	running  bool
	mac      net.HardwareAddr
	received uint64
	// router: it forwards IPv6; noIPv6: it has none.
	router, noIPv6 bool
}

// gateways returns the next hops of the default route. It asks for the route of one
// outside address (of TEST-NET-1, RFC 5737) instead of reading a table that may have a
// million of them.
func (k *kernel) gateways() []netip.Addr {
	routes, err := k.h.RouteGetWithOptions(net.IPv4(192, 0, 2, 1), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil {
		return nil // no default route
	}
	var out []netip.Addr
	hop := func(ip net.IP) {
		if a, ok := netip.AddrFromSlice(ip); ok {
			out = append(out, a.Unmap())
		}
	}
	for _, r := range routes {
		hop(r.Gw)
		for _, n := range r.MultiPath {
			hop(n.Gw)
		}
	}
	return out
}

// hint adds the next step to what the kernel said.
func hint(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w (needs CAP_NET_ADMIN)", err)
	}
	return err
}
