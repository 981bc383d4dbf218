package ctlsocket

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
)

// A VIPGroup is a group in the ancestor's form: one JSON list that begins with the names
// of the preferred nodes and goes on with the addresses as objects.
type VIPGroup struct {
	Prefer    []string
	Addresses []Address
}

// Address is a virtual address in the ancestor's normal form: an IPv4 address has IP,
// Netmask, Broadcast, Network and Name; an IPv6 address has IP, PrefixLen and Name.
type Address struct {
	IP        string `json:"ip"`
	Netmask   string `json:"netmask,omitempty"`
	Broadcast string `json:"broadcast,omitempty"`
	Network   string `json:"network,omitempty"`
	// PrefixLen is a number in a string, as the ancestor had it.
	PrefixLen string `json:"prefixlen,omitempty"`
	// Name is the interface.
	Name string `json:"name"`
}

// NewAddress brings an address with its prefix length into the normal form.
func NewAddress(p netip.Prefix, iface string) Address {
	a := Address{IP: p.Addr().String(), Name: iface}
	if !p.Addr().Is4() {
		a.PrefixLen = strconv.Itoa(p.Bits())
		return a
	}
	network := p.Masked().Addr().As4()
	mask, broadcast := [4]byte{}, network
	for i := range mask {
		ones := min(max(p.Bits()-8*i, 0), 8)
		mask[i] = byte(0xff << (8 - ones))
		broadcast[i] |= ^mask[i]
	}
	a.Netmask = netip.AddrFrom4(mask).String()
	a.Broadcast = netip.AddrFrom4(broadcast).String()
	a.Network = netip.AddrFrom4(network).String()
	return a
}

// Classic writes an address as Vippy's status text does: ADDRESS/LENGTH, and an IPv6
// address without the length.
func (a Address) Classic() string {
	mask, err := netip.ParseAddr(a.Netmask)
	if err != nil {
		return a.IP
	}
	length := 0
	for _, b := range mask.AsSlice() {
		length += bits.OnesCount8(b)
	}
	return a.IP + "/" + strconv.Itoa(length)
}

// MarshalJSON writes the one list that VIPGroup describes.
func (g VIPGroup) MarshalJSON() ([]byte, error) {
	entries := make([]any, 0, len(g.Prefer)+len(g.Addresses))
	for _, node := range g.Prefer {
		entries = append(entries, node)
	}
	for _, a := range g.Addresses {
		entries = append(entries, a)
	}
	return json.Marshal(entries)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (g *VIPGroup) UnmarshalJSON(data []byte) error {
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	*g = VIPGroup{}
	for i, entry := range entries {
		var name string
		if json.Unmarshal(entry, &name) == nil {
			g.Prefer = append(g.Prefer, name)
			continue
		}
		var a Address
		if err := json.Unmarshal(entry, &a); err != nil {
			return fmt.Errorf("group: entry %d: %w", i, err)
		}
		g.Addresses = append(g.Addresses, a)
	}
	return nil
}
