package lab

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// give puts an address on a host, or takes it away, as a program would.
func give(t *testing.T, h *Host, vip netip.Addr, on bool) {
	t.Helper()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	change := h.port.inside.AddrDel
	if on {
		change = h.port.inside.AddrAdd
	}
	if err := change(h.port.link, addr); err != nil {
		t.Fatal(err)
	}
}

// A stage sees how long nobody and how long two had an address, and doesn't count whom
// nobody sees.
func TestStage(t *testing.T) {
	kernel(t)
	tempdir(t)
	noLeak(t)
	s, err := OpenStage(2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	vip := StageVIPs(1)[0]
	a, b := s.Hosts[0], s.Hosts[1]
	give(t, a, vip, true)
	if _, err := s.StartProbing([]netip.Addr{vip}); err != nil {
		t.Fatal(err)
	}
	until := func(what string, so func() bool) {
		t.Helper()
		for !so() {
			if err := Pause(t.Context(), time.Millisecond); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	owned := func(by int) func() bool {
		return func() bool {
			owners, err := s.Owners()
			if err != nil {
				t.Fatal(err)
			}
			return len(owners[vip]) == by
		}
	}
	end := func() Sight {
		t.Helper()
		sight, err := s.End()
		if err != nil {
			t.Fatal(err)
		}
		return sight
	}
	until("the first host serves", func() bool { return s.Serving()[vip] == 0 })
	const while = 30 * time.Millisecond

	s.Begin()
	give(t, b, vip, true)
	until("two have it", owned(2))
	time.Sleep(while)
	give(t, a, vip, false)
	until("one has it", owned(1))
	if got := end(); got.Dual < while || got.Dual != got.Apart || got.None != 0 || got.Moved <= 0 {
		t.Errorf("two owners for %v: %+v", while, got)
	}

	// Nobody told the client, which asks only the one that it knows.
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	until("the second host serves", func() bool { return s.Serving()[vip] == 1 })
	s.Begin()
	give(t, b, vip, false)
	until("nobody has it", owned(0))
	gone := now()
	until("nobody serves", func() bool { return s.Serving()[vip] == -1 })
	nobody := now().sub(gone)
	give(t, a, vip, true)
	until("one has it", owned(1))
	if got := end(); got.None < nobody || got.Dual != 0 || got.Lost == 0 || got.Gap < servedWithin {
		t.Errorf("nobody had it for %v, and nobody served for %v: %+v", nobody, servedWithin, got)
	}

	s.Begin()
	if err := a.Cut(true); err != nil {
		t.Fatal(err)
	}
	until("it is seen by nobody", owned(0))
	give(t, b, vip, true)
	until("the other one has it", owned(1))
	time.Sleep(while)
	if got := end(); got.Dual != 0 || got.Apart < while {
		t.Errorf("two owners of which one is cut off: %+v", got)
	}

	s.Begin()
	if err := a.Cut(false); err != nil {
		t.Fatal(err)
	}
	time.Sleep(while)
	if err := a.Clear(); err != nil {
		t.Fatal(err)
	}
	until("one has it", owned(1))
	if got := end(); got.Dual < while {
		t.Errorf("two owners for %v after a heal: %+v", while, got)
	}
}
