package app

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

func TestChecks(t *testing.T) {
	key := vipgroup.Key{1, 2}
	c := &config.Config{Checks: []config.Check{
		{Name: "disk", Command: []string{"true"}, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2, Bar: true, Penalty: 7},
		{Name: "web", Command: []string{"true"}, User: "www", Nagios: true, Interval: time.Second, Penalty: 5, Groups: []vipgroup.Key{key}},
		{Name: "site", HTTP: "http://h/", Expect: "ok", Interval: time.Second, Bar: true},
		{Name: "db", TCP: "h:1", Interval: time.Second, Bar: true},
		{Name: "svc", Process: "svc", Interval: time.Second, Bar: true},
		{Name: "flag", File: "/flag", Missing: true, Interval: time.Second, Bar: true},
	}}
	second := func(name string) check.Common { return check.Common{Label: name, Interval: time.Second} }
	want := []plugin.Plugin{
		check.Exec{Common: check.Common{Label: "disk", Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 2}, Command: []string{"true"}},
		check.Exec{Common: check.Common{Label: "web", Interval: time.Second, Penalty: 5, Groups: []string{key.String()}}, Command: []string{"true"}, User: "www", Nagios: true},
		check.HTTP{Common: second("site"), URL: "http://h/", Expect: "ok"},
		check.TCP{Common: second("db"), Address: "h:1"},
		check.Process{Common: second("svc"), Target: "svc"},
		check.File{Common: second("flag"), Path: "/flag", Missing: true},
	}
	if diff := cmp.Diff(want, checks(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPrograms(t *testing.T) {
	c := &config.Config{Plugins: []config.Program{
		{Name: "ping", Command: []string{"/a/ping"}, Bar: true, Penalty: 7},
		{Name: "lag", Command: []string{"/a/lag", "10"}, User: "db", Timeout: time.Minute, Penalty: 5, Groups: []string{"db"}},
		{Name: "ear", Command: []string{"/a/ear"}},
	}}
	want := []plugin.Plugin{
		plugin.Program{Label: "ping", Command: []string{"/a/ping"}},
		plugin.Program{Label: "lag", Command: []string{"/a/lag", "10"}, User: "db", Timeout: time.Minute, Penalty: 5, Groups: []string{"db"}},
		plugin.Program{Label: "ear", Command: []string{"/a/ear"}, Silent: true},
	}
	if diff := cmp.Diff(want, programs(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFixedAddresses: what is configured for good is found, by family.
func TestFixedAddresses(t *testing.T) {
	have, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	fixed := fixedAddresses()
	for _, a := range have {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsLoopback() && !fixed[p.Addr()] {
			t.Errorf("%v is not among the addresses of this host: %v", p.Addr(), fixed)
		}
	}
}
