package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/vippy-ha/vippy/vipgroup"
)

// insteadOf is what to write instead of what is no address, where that is known.
func insteadOf(s string) string {
	text, length, hasLength := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	switch {
	case err == nil && hasLength:
		if _, e := netip.ParsePrefix(s); e == nil {
			return "; write " + addr.String() + " without the prefix"
		}
		if ones := maskLength(length); ones > 0 {
			return "; write " + addr.String() + "/" + strconv.Itoa(ones)
		}
	case err != nil && strings.Contains(err.Error(), "leading zero"):
		return "; write it without leading zeros"
	case strings.ContainsFunc(s, unicode.IsLetter) && !strings.Contains(s, ":"):
		return "; names are not looked up"
	}
	return ""
}

// maskLength is the prefix length that a netmask such as 255.255.255.0 stands for, 0 where
// it is none.
func maskLength(s string) int {
	mask, err := netip.ParseAddr(s)
	if err != nil {
		return 0
	}
	ones, _ := net.IPMask(mask.AsSlice()).Size()
	return ones
}

// isAddress says whether s is an address, with or without a prefix length.
func isAddress(s string) bool {
	text, _, _ := strings.Cut(s, "/")
	_, err := netip.ParseAddr(text)
	return err == nil
}

// dotted says whether s can only be meant as an IPv4 address.
func dotted(s string) bool {
	return strings.Count(s, ".") == 3 && strings.Trim(s, ".0123456789") == ""
}

// withUnit is a duration as other programs write it, such as 100ms.
func withUnit(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(strings.ReplaceAll(s, " ", ""))
	return d, err == nil && strings.ContainsFunc(s, unicode.IsLetter)
}

// isOneAddress says whether an object is { interface, ip } where a group should be.
func isOneAddress(n node) bool {
	object, ok := n.ast.(*ast.MappingNode)
	return ok && slices.ContainsFunc(object.Values, func(kv *ast.MappingValueNode) bool {
		key, _ := scalarText(kv.Key)
		return key == "interface" || key == "ip"
	})
}

// overlaps notes addresses of one network that differ in its length, which is a slip of
// the pen or a network that no host can route. An address alone (/32, /128) has none.
func (w *walker) overlaps(owners map[netip.Addr]node) {
	networks := map[netip.Prefix]vipgroup.VIP{}
	var inOrder []netip.Prefix
	for _, g := range w.plan.Groups {
		for _, v := range g.VIPs {
			network := v.Address.Masked()
			if _, known := networks[network]; !known && !v.Address.IsSingleIP() {
				networks[network] = v
				inOrder = append(inOrder, network)
			}
		}
	}
	for _, network := range inOrder {
		for bits := network.Bits() - 1; bits > 0; bits-- {
			wider, ok := networks[netip.PrefixFrom(network.Addr(), bits).Masked()]
			if !ok {
				continue
			}
			one, other := networks[network].Address, wider.Address
			w.notice("%s: %v and %v (%s) are of one network and differ in its length: give both the one that the hosts' own addresses have there",
				owners[one.Addr()].path, one, other, owners[other.Addr()].path)
			break
		}
	}
}

// syntaxHints are what mostly is behind a word of the parser.
var syntaxHints = []struct{ says, hint string }{
	{"in this context", "; indent a line like its neighbours, and put text that has a colon in quotes"},
	{"reserved character", "; text that starts with it goes in quotes"},
	{"flow map content", "; a comment starts with #, and text that has a bracket goes in quotes"},
	{"end token", "; a bracket that opens here is not closed"},
	{"end character", "; a quote that opens here is not closed"},
}

func syntaxHint(message string) string {
	for _, h := range syntaxHints {
		if strings.Contains(message, h.says) {
			return h.hint
		}
	}
	return ""
}
