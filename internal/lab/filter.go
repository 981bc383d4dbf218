package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A filter drops some frames in one namespace, by a table of nftables. The kernel removes
// the table with the socket that made it, so a filter ends with the lab, however that ends.
type filter struct{ fd int }

// A rule drops, where the hook looks, every frame that has all the pieces.
type rule struct {
	hook   hook
	pieces []piece
}

// A hook is a place in the kernel that frames pass.
type hook struct {
	family byte
	number uint32
	// device is the link whose frames are looked at, "" for all where the family has no links.
	device string
}

// toLink is where a namespace gives frames to one of its links, fromLink where it gets them.
func toLink(device string) hook {
	return hook{unix.NFPROTO_NETDEV, unix.NF_NETDEV_EGRESS, device}
}

func fromLink(device string) hook {
	return hook{unix.NFPROTO_NETDEV, unix.NF_NETDEV_INGRESS, device}
}

// hostInput and hostOutput are where a host firewall sits.
var (
	hostInput  = hook{unix.NFPROTO_IPV4, unix.NF_INET_LOCAL_IN, ""}
	hostOutput = hook{unix.NFPROTO_IPV4, unix.NF_INET_LOCAL_OUT, ""}
)

// A piece is bytes at an offset into one of a frame's headers.
type piece struct {
	header, offset uint32
	bytes          []byte
}

// fromHost matches frames that a hardware address sent.
func fromHost(mac net.HardwareAddr) []piece {
	return []piece{{unix.NFT_PAYLOAD_LL_HEADER, 6, mac}}
}

// toMulticast matches frames to IPv4 groups (RFC 1112 section 6.4).
var toMulticast = []piece{{unix.NFT_PAYLOAD_LL_HEADER, 0, []byte{0x01, 0x00, 0x5e}}}

// toPort matches IPv4 datagrams to a UDP port.
func toPort(port uint16) []piece {
	return []piece{{unix.NFT_PAYLOAD_NETWORK_HEADER, 9, []byte{unix.IPPROTO_UDP}},
		{unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, binary.BigEndian.AppendUint16(nil, port)}}
}

const (
	// tableOwned is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h (since Linux 5.12).
	tableOwned = 2
	// filterWait bounds a kernel that doesn't answer.
	filterWait = 5e9
)

// drop makes a filter in the namespace. All rules are of one family.
func drop(s *space, rules []rule) (*filter, error) {
	f := &filter{}
	err := s.do(func() (err error) {
		f.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("packet filter: %w", err)
	}
	if err := f.send(rules); err != nil {
		unix.Close(f.fd)
		return nil, fmt.Errorf("packet filter of %s: %w (needs nftables, Linux 5.16)", s.name, err)
	}
	return f, nil
}

func (f *filter) close() error { return unix.Close(f.fd) }

// send hands the whole table to the kernel, which takes all of it or nothing.
func (f *filter) send(rules []rule) error {
	var b batch
	table := fmt.Sprintf("vippy-lab-%d", f.fd) // a table has one owner
	family := rules[0].hook.family
	b.add(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	b.change(unix.NFT_MSG_NEWTABLE, family, text(unix.NFTA_TABLE_NAME, table), number(unix.NFTA_TABLE_FLAGS, tableOwned))
	for i, r := range rules {
		chain := fmt.Sprintf("chain%d", i)
		b.change(unix.NFT_MSG_NEWCHAIN, family, text(unix.NFTA_CHAIN_TABLE, table), text(unix.NFTA_CHAIN_NAME, chain),
			text(unix.NFTA_CHAIN_TYPE, "filter"), r.hook.attribute())
		b.change(unix.NFT_MSG_NEWRULE, family, text(unix.NFTA_RULE_TABLE, table), text(unix.NFTA_RULE_CHAIN, chain), r.attribute())
	}
	b.add(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	wait := unix.NsecToTimeval(filterWait)
	if err := unix.SetsockoptTimeval(f.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	if err := unix.Sendto(f.fd, b.bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	return f.acknowledged(b.changes)
}

// acknowledged waits for the answers to so many changes.
func (f *filter) acknowledged(changes int) error {
	buf := make([]byte, 1<<16)
	for changes > 0 {
		n, _, err := unix.Recvfrom(f.fd, buf, 0)
		if err != nil {
			return err
		}
		rest := buf[:n]
		for len(rest) >= unix.SizeofNlMsghdr+4 {
			length := int(binary.NativeEndian.Uint32(rest))
			if length < unix.SizeofNlMsghdr || length > len(rest) {
				return errors.New("an answer of the kernel is cut short")
			}
			if binary.NativeEndian.Uint16(rest[4:]) == unix.NLMSG_ERROR {
				if code := int32(binary.NativeEndian.Uint32(rest[unix.SizeofNlMsghdr:])); code != 0 {
					return unix.Errno(-code)
				}
				changes--
			}
			rest = rest[min(len(rest), aligned(length)):]
		}
	}
	return nil
}

// A batch is netlink messages of nfnetlink, one after the other (linux/netfilter/nfnetlink.h).
type batch struct {
	bytes   []byte
	changes int
}

// change adds a message of nftables that makes something and is acknowledged.
func (b *batch) change(kind uint16, family byte, attributes ...[]byte) {
	b.changes++
	b.add(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_CREATE|unix.NLM_F_APPEND|unix.NLM_F_ACK, family, 0, attributes)
}

func (b *batch) add(kind, flags uint16, family byte, resource uint16, attributes [][]byte) {
	begin := len(b.bytes)
	b.bytes = binary.NativeEndian.AppendUint32(b.bytes, 0) // its length, below
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, kind)
	b.bytes = binary.NativeEndian.AppendUint16(b.bytes, unix.NLM_F_REQUEST|flags)
	b.bytes = append(b.bytes, make([]byte, 8)...) // sequence and port id: one batch a socket needs none
	b.bytes = append(b.bytes, family, unix.NFNETLINK_V0)
	b.bytes = binary.BigEndian.AppendUint16(b.bytes, resource)
	for _, a := range attributes {
		b.bytes = append(b.bytes, a...)
	}
	binary.NativeEndian.PutUint32(b.bytes[begin:], uint32(len(b.bytes)-begin))
}

// attribute is the hook as a chain's attribute; nobody else filters here, so that any
// priority does.
func (h hook) attribute() []byte {
	inner := [][]byte{number(unix.NFTA_HOOK_HOOKNUM, h.number), number(unix.NFTA_HOOK_PRIORITY, 0)}
	if h.device != "" {
		inner = append(inner, text(unix.NFTA_HOOK_DEV, h.device))
	}
	return nested(unix.NFTA_CHAIN_HOOK, inner...)
}

// attribute is the rule's program: load and compare each piece, then drop.
func (r rule) attribute() []byte {
	var program [][]byte
	expression := func(name string, data ...[]byte) {
		program = append(program, nested(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nested(unix.NFTA_EXPR_DATA, data...)))
	}
	for _, p := range r.pieces {
		expression("payload", number(unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1), number(unix.NFTA_PAYLOAD_BASE, p.header),
			number(unix.NFTA_PAYLOAD_OFFSET, p.offset), number(unix.NFTA_PAYLOAD_LEN, uint32(len(p.bytes))))
		expression("cmp", number(unix.NFTA_CMP_SREG, unix.NFT_REG_1), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ),
			nested(unix.NFTA_CMP_DATA, attr(unix.NFTA_DATA_VALUE, p.bytes)))
	}
	const nfDrop = 0 // NF_DROP of linux/netfilter.h
	expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
		nested(unix.NFTA_IMMEDIATE_DATA, nested(unix.NFTA_DATA_VERDICT, number(unix.NFTA_VERDICT_CODE, nfDrop))))
	return nested(unix.NFTA_RULE_EXPRESSIONS, program...)
}

// Attributes of netlink; the numbers of nftables are big-endian.

func attr(kind int, value []byte) []byte { return nl.NewRtAttr(kind, value).Serialize() }

func number(kind int, value uint32) []byte {
	return attr(kind, binary.BigEndian.AppendUint32(nil, value))
}

func text(kind int, value string) []byte { return attr(kind, append([]byte(value), 0)) }

func nested(kind int, inner ...[]byte) []byte {
	var all []byte
	for _, a := range inner {
		all = append(all, a...)
	}
	return attr(unix.NLA_F_NESTED|kind, all)
}

// aligned rounds a length up as netlink does.
func aligned(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }
