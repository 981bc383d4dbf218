package vipgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// HostAddress says what keeps addr from being one host's; the text goes behind the address.
func HostAddress(addr netip.Addr) error {
	switch {
	case !addr.IsValid():
		return errors.New("is not an address")
	case addr.Is4In6():
		// It would be a second name of the same address, and so slip past every comparison.
		return fmt.Errorf("is an IPv4 address in IPv6 clothes: write %s", addr.Unmap())
	case addr.Zone() != "":
		return errors.New("has a zone: name the interface with its own key")
	case addr.IsLoopback():
		return errors.New("is a loopback address, which no other host can reach")
	case addr.IsMulticast():
		return errors.New("is a multicast address, which no host can have")
	case addr.IsUnspecified():
		return errors.New("is the unspecified address")
	case addr.Is4() && (addr.As4()[0] == 0 || addr.As4()[0] >= 240):
		return errors.New("is in a reserved range (RFC 6890)")
	}
	return nil
}

// VirtualAddress says what keeps p from being a VIP; the text goes behind the address.
func VirtualAddress(p netip.Prefix) error {
	if err := HostAddress(p.Addr()); err != nil {
		return err
	}
	switch {
	case p.Bits() == 0:
		return errors.New("has the prefix /0, which would route everything to the interface")
	case p.Addr().Is4() && p.Bits() < 31 && p.Addr() == p.Masked().Addr():
		return errors.New("is its network's own address, not a host's")
	case p.Addr().Is4() && p.Bits() < 31 && p.Addr() == broadcast(p):
		return errors.New("is its network's broadcast address, not a host's")
	}
	return nil
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])|uint32(uint64(1)<<(32-p.Bits())-1))
	return netip.AddrFrom4(b)
}

// InterfaceName refuses what dev_valid_name in the kernel's net/core/dev.c refuses.
func InterfaceName(s string) error {
	if len(s) > 15 {
		return errors.New("is not an interface: its name has at most 15 bytes")
	}
	for _, r := range s {
		if r == '/' || r == ':' || r == ' ' || r >= '\t' && r <= '\r' {
			return errors.New("is not an interface's name")
		}
	}
	if s == "" || s == "." || s == ".." {
		return errors.New("is not an interface's name")
	}
	return nil
}
