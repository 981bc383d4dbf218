package lab

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// A group is one VIP group of the lab.
type group struct {
	name   string
	prefer string
	vips   []netip.Addr
}

// layout names n groups: the first prefers the first node, the second has two addresses,
// the rest are plain.
func layout(nodes []string, n int) []group {
	out := make([]group, 0, n)
	vips := StageVIPs(n + 1)
	for i := range n {
		g := group{name: fmt.Sprintf("plain%d", i-1), vips: vips[:1]}
		switch i {
		case 0:
			g.name, g.prefer = "home", nodes[0]
		case 1:
			g.name, g.vips = "pair", vips[:2]
		}
		out, vips = append(out, g), vips[len(g.vips):]
	}
	return out
}

// homes makes every group of one VIP prefer a node: n of them the first one, and one each
// of the others.
func homes(nodes []string, n int) []group {
	var out []group
	for i, vip := range StageVIPs(n + len(nodes) - 1) {
		out = append(out, group{name: fmt.Sprintf("home%d", i), prefer: nodes[max(0, i-n+1)], vips: []netip.Addr{vip}})
	}
	return out
}

// vipsOf lists the addresses of groups.
func vipsOf(groups []group) []netip.Addr {
	var out []netip.Addr
	for _, g := range groups {
		out = append(out, g.vips...)
	}
	return out
}

// chatPort is the UDP port of the chat, vippyd's default.
const chatPort = 5007

// The files in a node's directory.
func configPath(dir string) string { return filepath.Join(dir, "vippy.conf") }
func socketPath(dir string) string { return filepath.Join(dir, "socket") }
func logPath(dir string) string    { return filepath.Join(dir, "log") }

// settings are what a fault may change in one node's config. Of a zero, vippyd's own
// default is in force.
type settings struct {
	secret string
	// former are secrets that are believed, too.
	former  []string
	version uint64
	// delay is a preempt_delay of the last group.
	delay           time.Duration
	interval, stale time.Duration
	mature          time.Duration
	// partition is what the plan says; voters, if any, are those of the plan.
	partition string
	voters    []string
	// peers are the hosts to which it talks by unicast; without any it uses multicast.
	peers []netip.Addr
	// notify is what the config says under that key.
	notify []any
	// service: a check watches the process that the lab runs as this node's service.
	service bool
	// hostile: it runs plugins that do all that they must not do.
	hostile bool
}

// chat is what the config says, "" for the default.
func (s settings) chat() string {
	if len(s.peers) > 0 {
		return "none"
	}
	return ""
}

// writeConfig writes what a node reads, for vippyd and for people: only what differs
// from the defaults is in it. The witness is the client: of two nodes, each must know
// whether silence means that the other is lost or that it is cut off itself. The file is
// replaced, so that nobody ever reads half of it.
func writeConfig(dir string, s settings, nodes []string, groups []group, witness netip.Addr) error {
	type address struct {
		Interface string `json:"interface"`
		IP        string `json:"ip"`
	}
	type vipGroup struct {
		Name      string    `json:"name"`
		Prefer    string    `json:"prefer,omitempty"`
		Delay     float64   `json:"preempt_delay,omitempty"`
		Addresses []address `json:"addresses"`
	}
	file := struct {
		Cluster       string       `json:"cluster"`
		Secrets       []string     `json:"secrets"`
		Version       uint64       `json:"version,omitempty"`
		Chat          string       `json:"chat,omitempty"`
		ChatInterface string       `json:"chat_interface"`
		Peers         []netip.Addr `json:"peers,omitempty"`
		Management    string       `json:"management"`
		StateDir      string       `json:"state_dir"`
		Interval      float64      `json:"interval,omitempty"`
		Stale         float64      `json:"stale,omitempty"`
		Mature        float64      `json:"mature,omitempty"`
		Partition     string       `json:"partition,omitempty"`
		Nodes         []string     `json:"nodes"`
		Voters        []string     `json:"voters,omitempty"`
		Witness       []netip.Addr `json:"witness"`
		Notify        []any        `json:"notify,omitempty"`
		VIPs          []vipGroup   `json:"vips"`
		Checks        checks       `json:"checks,omitempty"`
		Plugins       []program    `json:"plugins,omitempty"`
	}{
		Cluster:       "lab",
		Secrets:       append([]string{s.secret}, s.former...),
		Version:       s.version,
		Chat:          s.chat(),
		ChatInterface: linkName,
		Peers:         s.peers,
		Management:    socketPath(dir),
		StateDir:      filepath.Join(dir, "state"),
		Interval:      s.interval.Seconds(),
		Stale:         s.stale.Seconds(),
		Mature:        s.mature.Seconds(),
		Partition:     s.partition,
		Nodes:         nodes,
		Voters:        s.voters,
		Witness:       []netip.Addr{witness},
		Notify:        s.notify,
		Checks:        s.checks(dir),
		Plugins:       s.plugins(),
	}
	for i, g := range groups {
		vg := vipGroup{Name: g.name, Prefer: g.prefer}
		if i == len(groups)-1 {
			vg.Delay = s.delay.Seconds()
		}
		for _, v := range g.vips {
			vg.Addresses = append(vg.Addresses, address{linkName, netip.PrefixFrom(v, v.BitLen()).String()})
		}
		file.VIPs = append(file.VIPs, vg)
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(file.StateDir, 0o700); err != nil {
		return err
	}
	next := configPath(dir) + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(next, configPath(dir))
}

// notifyAll is the `notify` that names every host that there is or might be.
func notifyAll() []any {
	return []any{"arp-cache", map[string]string{"interface": linkName, "ip": subnet.String()}}
}

// newSecret returns a secret for one lab.
func newSecret() string { return rand.Text() }
