package netplumb

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// An extension is byte for byte what the library makes of the same.
func TestExtensionIsWellFormed(t *testing.T) {
	for _, v := range vips(t, "10.1.2.3/24 on eth0", "10.1.2.3/32 on eth0", "2001:db8::3/64 on eth0", "2001:db8::3/128 on eth0") {
		op := Op{Kind: Add, Address: v.Address, Link: "eth0", Index: 7, Lifetime: 3 * time.Second}
		a := kernelAddr(op)
		family, ip := unix.AF_INET, a.IP
		if v.Address.Addr().Is6() {
			family = unix.AF_INET6
		}
		msg := nl.NewIfAddrmsg(family)
		msg.Prefixlen, msg.Index = uint8(v.Address.Bits()), 7
		life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: uint32(a.ValidLft), Prefered: uint32(a.PreferedLft)}}
		req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		req.Seq = 99
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
		req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, uint32(a.Flags))))
		req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
		req.AddData(nl.NewRtAttr(netlink.IFA_PROTO, []byte{Mark}))
		before := []byte("before")
		got := appendExtension(before, op, 99, unix.NLM_F_ACK)
		if d := cmp.Diff(append(before, req.Serialize()...), got); d != "" {
			t.Errorf("%v (-library +own):\n%s", v, d)
		}
	}
}
