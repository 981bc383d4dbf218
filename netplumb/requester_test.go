package netplumb

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A change is byte for byte what the library makes of the same.
func TestChangeIsWellFormed(t *testing.T) {
	for _, v := range vips(t, "10.1.2.3/24 on eth0", "10.1.2.3/32 on eth0", "2001:db8::3/64 on eth0", "2001:db8::3/128 on eth0") {
		op := Op{Kind: Add, Address: v.Address, Link: "eth0", Index: 7, Lifetime: 3 * time.Second}
		family, ip := unix.AF_INET, v.Address.Addr().AsSlice()
		valid, preferred := lifetimes(op)
		if v.Address.Addr().Is6() {
			family = unix.AF_INET6
		}
		msg := nl.NewIfAddrmsg(family)
		msg.Prefixlen, msg.Index = uint8(v.Address.Bits()), 7
		life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: uint32(valid), Prefered: uint32(preferred)}}
		req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		req.Seq = 99
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
		req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, flagsOf(op))))
		req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life.Serialize()))
		req.AddData(nl.NewRtAttr(netlink.IFA_PROTO, []byte{Mark}))
		before := []byte("before")
		got := appendChange(before, op, 99, unix.NLM_F_ACK)
		if d := cmp.Diff(append(before, req.Serialize()...), got); d != "" {
			t.Errorf("add %v (-library +own):\n%s", v, d)
		}

		req = nl.NewNetlinkRequest(unix.RTM_DELADDR, unix.NLM_F_ACK)
		req.Seq = 99
		req.AddData(msg)
		req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, ip))
		req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, ip))
		op.Kind = Remove
		got = appendChange(before, op, 99, unix.NLM_F_ACK)
		if d := cmp.Diff(append(before, req.Serialize()...), got); d != "" {
			t.Errorf("remove %v (-library +own):\n%s", v, d)
		}

		req = nl.NewNetlinkRequest(unix.RTM_GETROUTE, 0)
		req.Seq = 99
		req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family), Dst_len: uint8(v.Address.Addr().BitLen())}})
		req.AddData(nl.NewRtAttr(unix.RTA_DST, ip))
		got = appendRouteQuestion(before, v.Address.Addr(), 99)
		if d := cmp.Diff(append(before, req.Serialize()...), got); d != "" {
			t.Errorf("route to %v (-library +own):\n%s", v, d)
		}
	}
}

// The answer to a call that failed before it was read is not taken for one to the next call,
// least of all where an int has 32 bits (GOARCH=386 go test shows it).
func TestAnEarlierAnswerIsPassedOver(t *testing.T) {
	x, err := openRequester()
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	home := netip.MustParseAddr("127.0.0.1")
	x.seq++
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(x.socket.GetFd(), appendRouteQuestion(nil, home, x.seq), 0, kernel); err != nil {
		t.Fatal(err)
	}
	if local := x.answers([]netip.Addr{home}); !local[0] {
		t.Errorf("%v is not this host's", home)
	}
}
