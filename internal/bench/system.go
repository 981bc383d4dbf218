package bench

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"crypto/rand"

	"github.com/vippy-ha/vippy/internal/lab"
)

// A System is a program that keeps addresses on one host, with its times.
type System string

// The systems that are compared, each row in this order.
const (
	KeepalivedSlow System = "keepalived 1 s"
	KeepalivedFast System = "keepalived 0.1 s"
	VippyDefault   System = "vippy"
	VippyFast      System = "vippy 0.02 s"
)

// Systems are all of them.
var Systems = []System{KeepalivedSlow, KeepalivedFast, VippyDefault, VippyFast}

// keepalived says whether the system is keepalived.
func (s System) keepalived() bool { return s == KeepalivedSlow || s == KeepalivedFast }

// about says how the system is set, for the page.
func (s System) about() string {
	switch s {
	case KeepalivedSlow:
		return "keepalived, `advert_int 1`, its default"
	case KeepalivedFast:
		return "keepalived, `advert_int 0.1`"
	case VippyDefault:
		return "vippy at its defaults (`interval` 0.1, `stale` 0.5, `lifetime` 1)"
	case VippyFast:
		return "vippy, `interval` 0.02 and `stale` 0.15"
	}
	return string(s)
}

// A layout is which addresses belong together.
type layout [][]netip.Addr

// single puts each of n addresses into a group of its own, bunch all into one.
func single(n int) layout {
	var out layout
	for _, vip := range lab.StageVIPs(n) {
		out = append(out, []netip.Addr{vip})
	}
	return out
}

func bunch(n int) layout { return layout{lab.StageVIPs(n)} }

func (l layout) vips() (out []netip.Addr) {
	for _, g := range l {
		out = append(out, g...)
	}
	return out
}

// programs are where the two programs are; that of keepalived is empty where it is not
// installed.
type programs struct{ vippyd, keepalived string }

// find looks for keepalived, also where only root's PATH leads.
func find(vippyd string) programs {
	p := programs{vippyd: vippyd}
	for _, name := range []string{"keepalived", "/usr/sbin/keepalived", "/usr/local/sbin/keepalived"} {
		if path, err := exec.LookPath(name); err == nil {
			p.keepalived = path
			break
		}
	}
	return p
}

// A setup is what the hosts of one cluster have in common.
type setup struct {
	system System
	programs
	layout layout
	hosts  []*lab.Host
	client netip.Addr
	secret string
}

// command writes the files of the host at a place and returns what to start there.
func (s *setup) command(place int) (path string, args []string, err error) {
	dir := s.hosts[place].Dir
	if s.system.keepalived() {
		file := filepath.Join(dir, "keepalived.conf")
		pid, worker := filepath.Join(dir, "pid"), filepath.Join(dir, "vrrp.pid")
		// One that was killed left them, and they may name what is a zombie still.
		os.Remove(pid)
		os.Remove(worker)
		err := os.WriteFile(file, []byte(s.keepalivedConfig(place)), 0o600)
		return s.keepalived, []string{"-n", "-l", "-P", "-f", file, "-p", pid, "-r", worker}, err
	}
	file := filepath.Join(dir, "vippy.conf")
	text, err := s.vippyConfig(dir)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	return s.vippyd, []string{"-c", file, "-n", s.hosts[place].Name}, err
}

// priorities of keepalived's hosts, as in the samples that come with it: the first host is
// the owner wherever it can be. Each step delays its successor by 50/256 of advert_int.
var priorities = []int{150, 100, 50}

// mostInAdvert is how many addresses one advertisement carries; keepalived wants the rest
// as virtual_ipaddress_excluded.
const mostInAdvert = 20

// keepalivedConfig is VRRPv3, which knows intervals below a second, and the defaults
// otherwise.
func (s *setup) keepalivedConfig(place int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "global_defs {\n  router_id %s\n  vrrp_version 3\n}\n", s.hosts[place].Name)
	state, interval := "BACKUP", "1"
	if place == 0 {
		state = "MASTER"
	}
	if s.system == KeepalivedFast {
		interval = "0.1"
	}
	for i, vips := range s.layout {
		fmt.Fprintf(&out, "vrrp_instance group%d {\n  state %s\n  interface %s\n  virtual_router_id %d\n  priority %d\n  advert_int %s\n",
			i+1, state, lab.Link, i+1, priorities[place], interval)
		list := func(name string, vips []netip.Addr) {
			fmt.Fprintf(&out, "  %s {\n", name)
			for _, vip := range vips {
				fmt.Fprintf(&out, "    %v/32 dev %s\n", vip, lab.Link)
			}
			out.WriteString("  }\n")
		}
		carried := min(len(vips), mostInAdvert)
		list("virtual_ipaddress", vips[:carried])
		if carried < len(vips) {
			list("virtual_ipaddress_excluded", vips[carried:])
		}
		out.WriteString("}\n")
	}
	return out.String()
}

// vippyConfig has the same preferences: the first host, then the second, then the third.
func (s *setup) vippyConfig(dir string) ([]byte, error) {
	type address struct {
		Interface string `json:"interface"`
		IP        string `json:"ip"`
	}
	type group struct {
		Name      string    `json:"name"`
		Prefer    []string  `json:"prefer"`
		Addresses []address `json:"addresses"`
	}
	var names []string
	for _, h := range s.hosts {
		names = append(names, h.Name)
	}
	file := struct {
		Secret        string   `json:"secret"`
		ChatInterface string   `json:"chat_interface"`
		Management    string   `json:"management"`
		StateDir      string   `json:"state_dir"`
		Interval      float64  `json:"interval,omitempty"`
		Stale         float64  `json:"stale,omitempty"`
		Nodes         []string `json:"nodes"`
		Witness       []string `json:"witness"`
		VIPs          []group  `json:"vips"`
	}{
		Secret:        s.secret,
		ChatInterface: lab.Link,
		Management:    filepath.Join(dir, "socket"),
		StateDir:      filepath.Join(dir, "state"),
		Nodes:         names,
		Witness:       []string{s.client.String()},
	}
	if s.system == VippyFast {
		file.Interval, file.Stale = 0.02, 0.15
	}
	for i, vips := range s.layout {
		g := group{Name: fmt.Sprintf("group%d", i+1), Prefer: names}
		for _, vip := range vips {
			g.Addresses = append(g.Addresses, address{lab.Link, vip.String() + "/32"})
		}
		file.VIPs = append(file.VIPs, g)
	}
	if err := os.MkdirAll(file.StateDir, 0o700); err != nil {
		return nil, err
	}
	return json.MarshalIndent(file, "", "  ")
}

func newSecret() string { return rand.Text() }
