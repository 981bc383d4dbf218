package lab

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The change from Vippy, host by host, as docs/migrating-from-vippy.md has it: the last host
// that runs Vippy, which asks nobody and is heard by nobody, keeps all addresses while
// vippyd is started, drained and undrained on the others. Then it stops, and they are taken.
// At no time two have one.
func TestChangeFromVippy(t *testing.T) {
	kernel(t)
	tempdir(t)
	noLeak(t)
	daemon, ctl := build(t, ""), buildCtl(t)
	stage, err := OpenStage(3)
	if err != nil {
		t.Fatal(err)
	}
	vips := StageVIPs(4)
	ancestor, hosts := stage.Hosts[2], stage.Hosts[:2]
	var groups []any
	for _, vip := range vips {
		give(t, ancestor, vip, true)
		groups = append(groups, []any{map[string]any{"interface": Link, "ip": vip}}) // in Vippy's form
	}
	if _, err := stage.StartProbing(vips); err != nil {
		t.Fatal(err)
	}
	stage.Begin()

	asks := func(h *Host, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), ctl, append([]string{"-s", socketPath(h.Dir)}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	until := func(what string, so func() bool) {
		t.Helper()
		for !so() {
			if err := Pause(t.Context(), 10*time.Millisecond); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	var programs []*Program
	for _, h := range hosts {
		writeJSON(t, configPath(h.Dir), map[string]any{
			"secret": "a secret that only these hosts know", "nodes": []string{"node1", "node2", "node3"}, "version": 6, "mature": 1,
			"management": socketPath(h.Dir), "state_dir": h.Dir, "witness": []any{stage.ClientAddr()}, "vips": groups,
		})
		p, err := h.Start("log", daemon, "-c", configPath(h.Dir), "-n", h.Name)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, p)
		until(h.Name+" is drained", func() bool { return strings.Contains(asks(h, "drain"), "is drained") })
	}
	defer func() {
		for _, p := range programs {
			if err := p.Signal(unix.SIGTERM); err != nil {
				t.Error(err)
			}
			<-p.Ended()
		}
		if err := stage.Close(); err != nil {
			t.Error(err)
		}
	}()
	contested := func() bool {
		return !slices.ContainsFunc(hosts, func(h *Host) bool { return !strings.Contains(asks(h, "status"), "ALARM contested") })
	}
	until("the new ones hear each other", func() bool {
		return strings.Contains(asks(hosts[0], "peers"), "live") && strings.Contains(asks(hosts[1], "peers"), "live")
	})
	until("the new ones see that all is answered for", contested)
	for _, h := range hosts {
		until(h.Name+" takes part", func() bool { return strings.Contains(asks(h, "undrain"), "takes part again") })
	}
	// For longer than a switch's memory would be believed.
	time.Sleep(drilled.lifetime + 2*time.Second + drilled.stale)
	until("all is answered for still", contested)
	owned := func(by func(hosts []int) bool) bool {
		owners, err := stage.Owners()
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(vips, func(vip netip.Addr) bool { return !by(owners[vip]) })
	}
	if !owned(func(hosts []int) bool { return slices.Equal(hosts, []int{2}) }) {
		t.Error("before the last Vippy stopped, not all was its own")
	}
	for _, vip := range vips {
		give(t, ancestor, vip, false)
	}
	until("all is taken", func() bool {
		return owned(func(hosts []int) bool { return len(hosts) == 1 && hosts[0] != 2 })
	})
	sight, err := stage.End()
	if err != nil {
		t.Fatal(err)
	}
	if sight.Dual != 0 || sight.Apart != 0 {
		t.Errorf("two hosts had one address for %v, of which one was cut off for %v", sight.Dual, sight.Apart)
	}
}
