package netplumb

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

var (
	vip6  = netip.MustParseAddr("2001:db8::a:203")
	host6 = netip.MustParseAddr("fe80::9")
)

// neighbourFrame builds a message from them, about vip6, with whatever options.
func neighbourFrame(kind, flags byte, src, dst netip.Addr, options ...byte) []byte {
	m := make([]byte, ndpMessage, ndpMessage+len(options))
	m[0], m[4] = kind, flags
	copy(m[8:], vip6.AsSlice())
	return ndpFrame(them, groupMAC(dst), src, dst, append(m, options...))
}

func TestParseNDP(t *testing.T) {
	none, group := netip.IPv6Unspecified(), netip.MustParseAddr("ff02::1:ff0a:203")
	source := append([]byte{optionSourceMAC, 1}, them[:]...)
	target := append([]byte{optionTargetMAC, 1}, us[:]...)
	nonce := []byte{14, 1, 1, 2, 3, 4, 5, 6} // RFC 3971 section 5.3.2, as in Linux's own probes
	tests := []struct {
		name string
		in   []byte
		want Heard
	}{
		{"answer to a probe, or unasked", neighbourFrame(neighbourTell, flagOverride, vip6, allNodes, target...), Heard{Kind: Announcement, Addr: vip6, MAC: us, Target: allNodes}},
		{"answer to our kernel", neighbourFrame(neighbourTell, flagOverride|flagSolicited, vip6, host6, target...), Heard{Kind: Answer, Addr: vip6, MAC: us, Target: host6}},
		{"answer without an option", neighbourFrame(neighbourTell, flagSolicited, vip6, host6), Heard{Kind: Answer, Addr: vip6, MAC: them, Target: host6}},
		{"somebody looks for a host", neighbourFrame(neighbourAsk, 0, host6, group, source...), Heard{Kind: Other, Addr: host6, MAC: them, Target: vip6}},
		{"somebody looks whether a host is still there", neighbourFrame(neighbourAsk, 0, host6, vip6), Heard{Kind: Other, Addr: host6, MAC: them, Target: vip6}},
		{"somebody probes", neighbourFrame(neighbourAsk, 0, none, group, nonce...), Heard{Kind: Other, Addr: none, MAC: them, Target: vip6}},
	}
	for _, tt := range tests {
		if got, ok := parseNDP(tt.in); !ok || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", tt.name, got, ok, tt.want)
		}
		if got, ok := parseNDP(append(tt.in, 0, 0, 0, 0)); !ok || got != tt.want {
			t.Errorf("%s, padded: %+v, %v", tt.name, got, ok)
		}
	}

	good := neighbourFrame(neighbourTell, flagOverride, vip6, allNodes, target...)
	// with changes bytes and puts the checksum right.
	with := func(at int, b ...byte) []byte {
		f := append([]byte{}, good...)
		copy(f[at:], b)
		m := f[atMessage:]
		m[2], m[3] = 0, 0
		src, dst := netip.AddrFrom16([16]byte(f[22:])), netip.AddrFrom16([16]byte(f[38:]))
		binary.BigEndian.PutUint16(m[2:], checksumNDP(src, dst, m))
		return f
	}
	if _, ok := parseNDP(with(0)); !ok {
		t.Fatal("an unchanged frame is not believed; the rest would prove nothing")
	}
	damaged := append([]byte{}, good...)
	damaged[atMessage+23]++
	for name, in := range map[string][]byte{
		"cut short":                     good[:len(good)-1],
		"damaged":                       damaged,
		"another protocol":              with(12, 0x08, 0x06),
		"not IPv6":                      with(14, 0x45),
		"shorter than a message":        with(18, 0, 20),
		"not ICMPv6":                    with(20, 17),
		"over a router":                 with(21, 254),
		"another message":               with(54, 133),
		"another code":                  with(55, 1),
		"solicited, and to everybody":   with(58, flagSolicited),
		"target is a group":             with(62, 0xff, 2),
		"target is IPv4":                with(62, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
		"from nobody":                   neighbourFrame(neighbourTell, 0, none, allNodes, target...),
		"from a group":                  neighbourFrame(neighbourTell, 0, allNodes, allNodes, target...),
		"option without length":         neighbourFrame(neighbourTell, 0, vip6, allNodes, 14, 0, 0, 0, 0, 0, 0, 0),
		"option longer than the rest":   neighbourFrame(neighbourTell, 0, vip6, allNodes, 14, 2, 0, 0, 0, 0, 0, 0),
		"half an option":                neighbourFrame(neighbourTell, 0, vip6, allNodes, 14, 1, 0),
		"hardware address of nobody":    neighbourFrame(neighbourTell, 0, vip6, allNodes, optionTargetMAC, 1, 0, 0, 0, 0, 0, 0),
		"hardware address of everybody": neighbourFrame(neighbourTell, 0, vip6, allNodes, optionTargetMAC, 1, 255, 255, 255, 255, 255, 255),
		"probe to another group":        neighbourFrame(neighbourAsk, 0, none, allNodes),
		"probe that names its sender":   neighbourFrame(neighbourAsk, 0, none, group, source...),
	} {
		if h, ok := parseNDP(in); ok {
			t.Errorf("%s: believed as %+v", name, h)
		}
	}
}

// What this package sends it must understand in a peer.
func TestNeighbourFramesAreUnderstood(t *testing.T) {
	for _, router := range []bool{false, true} {
		f := advertisementFrame(them, vip6, router)
		if h, ok := parseNDP(f); !ok || h.Kind != Announcement || h.Addr != vip6 || h.MAC != them {
			t.Errorf("announcement: %+v, %v", h, ok)
		}
		if flags, want := f[atMessage+4]&^flagOverride, byte(flagRouter); (flags == want) != router || f[atMessage+4]&flagOverride == 0 {
			t.Errorf("flags %x of a router: %v", f[atMessage+4], router)
		}
	}
	if h, ok := parseNDP(solicitationFrame(them, vip6)); !ok || h.Kind != Other || h.Addr != netip.IPv6Unspecified() || h.Target != vip6 {
		t.Errorf("probe: %+v, %v", h, ok)
	}
}

// An advertisement to everybody is an answer for who has just asked.
func TestAnAnswerToEverybodyIsOne(t *testing.T) {
	var q questions
	start := time.Unix(0, 0)
	q.note(vip6, start)
	for _, tt := range []struct {
		name string
		in   Heard
		want HeardKind
	}{
		{"at once", Heard{Kind: Announcement, Addr: vip6, At: start}, Answer},
		{"from a slow proxy", Heard{Kind: Announcement, Addr: vip6, At: start.Add(answeredWithin)}, Answer},
		{"later", Heard{Kind: Announcement, Addr: vip6, At: start.Add(answeredWithin + 1)}, Announcement},
		{"of another address", Heard{Kind: Announcement, Addr: host6, At: start}, Announcement},
		{"a question", Heard{Kind: Other, Addr: vip6, At: start}, Other},
	} {
		if got := q.settle(tt.in).Kind; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	a, now := vip6, start.Add(answeredWithin+1)
	for range 2 * maxQueued {
		a, now = a.Next(), now.Add(answeredWithin/maxQueued*2)
		q.note(a, now)
	}
	if len(q.at) > maxQueued {
		t.Errorf("%d questions are remembered", len(q.at))
	}
}

func FuzzParseNDP(f *testing.F) {
	f.Add(advertisementFrame(them, vip6, false))
	f.Add(solicitationFrame(them, vip6))
	f.Add(neighbourFrame(neighbourAsk, 0, host6, vip6, 14, 1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 2))
	f.Fuzz(func(t *testing.T, in []byte) {
		// A checksum is hard to guess, so it is put right.
		if len(in) >= atMessage+ndpMessage {
			in = append([]byte{}, in...)
			if m := in[atMessage:]; int(binary.BigEndian.Uint16(in[18:])) <= len(m) {
				m = m[:binary.BigEndian.Uint16(in[18:])]
				if len(m) >= ndpMessage {
					m[2], m[3] = 0, 0
					binary.BigEndian.PutUint16(m[2:], checksumNDP(netip.AddrFrom16([16]byte(in[22:])), netip.AddrFrom16([16]byte(in[38:])), m))
				}
			}
		}
		h, ok := parseNDP(in)
		if !ok {
			return
		}
		if !h.Addr.Is6() || h.Addr.Is4In6() || h.MAC == (MAC{}) || h.MAC[0]&1 != 0 {
			t.Errorf("believed: %+v", h)
		}
		if h.Kind != Other && !isHost(h.Addr) {
			t.Errorf("a sign of no host: %+v", h)
		}
	})
}
