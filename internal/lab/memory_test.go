package lab

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
)

// A memory answers in the name of its host, what it knows and only until another announces
// that, and doesn't count as a host.
func TestMemory(t *testing.T) {
	host, other := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	m := &memory{mac: host, vips: []netip.Addr{vip1}}
	asks := func(v netip.Addr, from net.HardwareAddr) bool {
		t.Helper()
		p, err := arp.NewPacket(arp.OperationRequest, from, netip.MustParseAddr("10.99.0.9"), make(net.HardwareAddr, 6), v)
		if err != nil {
			t.Fatal(err)
		}
		body, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		f := ethernet.Frame{Destination: ethernet.Broadcast, Source: from, EtherType: ethernet.EtherTypeARP, Payload: body}
		frame, err := f.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		reply := m.hear(frame)
		if reply == nil {
			return false
		}
		if err := f.UnmarshalBinary(reply); err != nil {
			t.Fatal(err)
		}
		if err := p.UnmarshalBinary(f.Payload); err != nil {
			t.Fatal(err)
		}
		if p.Operation != arp.OperationReply || p.SenderIP != v || !bytes.Equal(p.SenderHardwareAddr, host) || !bytes.Equal(f.Destination, from) {
			t.Errorf("a wrong reply: %+v in %+v", p, f)
		}
		return true
	}
	announces := func(v netip.Addr, from net.HardwareAddr) {
		t.Helper()
		if m.hear(announcement(from, v)) != nil {
			t.Error("it answers an announcement")
		}
	}
	if asks(vip2, other) || asks(vip1, question{}.mac()) || asks(vip1, host) {
		t.Error("it answers what it doesn't know, the census, or its own host")
	}
	announces(vip1, host)
	if !asks(vip1, other) {
		t.Error("it forgot what its host has")
	}
	announces(vip1, other)
	if asks(vip1, other) {
		t.Error("it did not forget what another announced")
	}
	m.hear([]byte("no frame"))
}
