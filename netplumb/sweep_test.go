package netplumb

import (
	"net/netip"
	"slices"
	"testing"
)

// all returns everything that a sweep goes through.
func (s sweep) all() (out []string) {
	for a, ok := s.next(); ok; a, ok = s.next() {
		out = append(out, a.String())
	}
	return out
}

func TestSweep(t *testing.T) {
	tests := []struct {
		name, subnet string
		networks     []string
		want         []string
	}{
		{"a whole subnet", "10.0.0.0/30", []string{"10.0.0.0/30"}, []string{"10.0.0.1", "10.0.0.2"}},
		{"two hosts", "10.0.0.0/31", []string{"10.0.0.0/31"}, []string{"10.0.0.0", "10.0.0.1"}},
		{"a part", "10.0.0.0/24", []string{"10.0.0.8/30"}, []string{"10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"}},
		{"more than the subnet", "10.0.0.0/30", []string{"10.0.0.0/8"}, []string{"10.0.0.1", "10.0.0.2"}},
		{"another network", "10.0.0.0/24", []string{"10.0.1.0/24", "2001:db8::/120"}, nil},
		{"some twice", "10.0.0.0/24", []string{"10.0.0.3/32", "10.0.0.0/30", "10.0.0.2/32", "10.0.0.9/32"}, []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9"}},
		{"the highest", "255.255.255.252/30", []string{"0.0.0.0/0"}, []string{"255.255.255.253", "255.255.255.254"}},
		{"IPv6", "2001:db8::/120", []string{"2001:db8::/120"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var networks []netip.Prefix
			for _, n := range tt.networks {
				networks = append(networks, netip.MustParsePrefix(n))
			}
			if got := newSweep(netip.MustParsePrefix(tt.subnet), networks).all(); !slices.Equal(got, tt.want) {
				t.Errorf("goes through %v, want %v", got, tt.want)
			}
		})
	}
	everything := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	if n := len(newSweep(netip.MustParsePrefix("10.0.0.0/8"), everything).all()); n != maxSweep {
		t.Errorf("a /8 has %d, want %d", n, maxSweep)
	}
	if n := len(newSweep(netip.MustParsePrefix("10.1.0.0/16"), everything).all()); n != 1<<16-2 {
		t.Errorf("a /16 has %d", n)
	}
}
