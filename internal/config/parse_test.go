package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vippy-ha/vippy/vipgroup"
)

// minimal is the smallest file; the tests put lines behind it.
const minimal = `secret: a secret text that is long enough
nodes: [node1, node2, node3]
vips: [ [ { interface: eth0, ip: 10.8.3.195/24 } ] ]
`

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("vippy.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDefaults holds the defaults to the letters of docs/reference.md.
func TestDefaults(t *testing.T) {
	c := mustParse(t, minimal)
	want := &Config{
		Path: "vippy.conf", Hash: c.Hash, Plan: c.Plan, Secrets: c.Secrets,
		Chat: netip.MustParseAddrPort("224.0.0.254:5007"), Cluster: "vippy",
		Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond, Mature: 5 * time.Second, Lifetime: time.Second,
		ArpCache: 15 * time.Second, NotifyRate: 1000,
		Management: "/var/run/vippy.socket", StateDir: "/var/lib/vippy",
		Logging: Logging{Driver: "console", Facility: "local7", Mask: defaultMask()},
		Reload:  Manual, WhenAllFail: Keep,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if got := string(c.Secrets[0].Reveal()); got != "a secret text that is long enough" {
		t.Errorf("the secret is %q", got)
	}
	if c.Plan.Version != 0 || c.Plan.Partition != vipgroup.Available || c.Plan.Rebalance != 0 {
		t.Errorf("the plan is %+v", c.Plan)
	}
}

func TestVippyReadme(t *testing.T) {
	data, err := os.ReadFile("testdata/vippy-readme.conf")
	if err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, string(data))
	if got := len(want.Plan.Groups); got != 3 {
		t.Errorf("%d groups, want 3", got)
	}
	pair := want.Plan.Groups[want.Plan.Find("10.8.3.196")]
	if pair.Name != "10.8.99.149/24" || len(pair.VIPs) != 2 || pair.VIPs[0].Interface != "e1000g0" {
		t.Errorf("the group of two is %+v", pair)
	}
	if got := want.Plan.Groups[want.Plan.Find("10.8.99.147")].Prefer; !cmp.Equal(got, []string{"node2"}) {
		t.Errorf("10.8.99.147 prefers %v", got)
	}
	if want.Interval != 500*time.Millisecond || want.Stale != 5*time.Second || want.ArpCache != 90*time.Second || want.Plan.Version != 5 {
		t.Errorf("got %+v", want)
	}
	wantNotify := []Notify{{ArpCache: true},
		{Interface: "e1000g0", Network: netip.MustParsePrefix("10.8.99.0/24")},
		{Interface: "e1000g0", Network: netip.MustParsePrefix("10.8.3.0/29")}}
	if !reflect.DeepEqual(want.Notify, wantNotify) {
		t.Errorf("notify is %v", want.Notify)
	}

	// The same file as other editors write it.
	for name, text := range map[string]string{
		"tabs":     strings.ReplaceAll(string(data), "    ", "\t"),
		"CR LF":    strings.ReplaceAll(string(data), "\n", "\r\n"),
		"BOM":      "\ufeff" + string(data),
		"JSON":     strings.ReplaceAll(string(data), "'", `"`),
		"one line": strings.ReplaceAll(string(data), "\n", " "),
	} {
		got := mustParse(t, text)
		if got.Plan.Digest() != want.Plan.Digest() || got.Interval != want.Interval || !cmp.Equal(got.Logging, want.Logging) {
			t.Errorf("%s: another config", name)
		}
	}
}

// TestGroups has one case per way to write a group.
func TestGroups(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`[ { interface: eth0, ip: 10.8.3.1/24 } ]`, `10.8.3.1/24 [10.8.3.1/24 on eth0] preempt`},
		{`[ { interface: eth0, ip: 10.8.3.1 } ]`, `10.8.3.1 [10.8.3.1/32 on eth0] preempt`},
		{`[ { interface: eth0, ip: "2001:DB8::1" } ]`, `2001:DB8::1 [2001:db8::1/128 on eth0] preempt`},
		{`[ { interface: eth0, ip: 2001:db8::1/64 } ]`, `2001:db8::1/64 [2001:db8::1/64 on eth0] preempt`},
		{`[ { interface: eth0, ip: 10.8.3.9/24 }, { interface: eth1, ip: 10.8.3.1/24 } ]`, `10.8.3.9/24 [10.8.3.1/24 on eth1 10.8.3.9/24 on eth0] preempt`},
		{`[ node2, 'node1', { interface: eth0, ip: 10.8.3.1/31 } ]`, `10.8.3.1/31 [10.8.3.1/31 on eth0] prefers node2 node1 preempt`},
		{`{ name: web, addresses: [ { interface: eth0, ip: 10.8.3.1/24 } ] }`, `web [10.8.3.1/24 on eth0] preempt`},
		{`{ addresses: [ { interface: eth0, ip: 10.8.3.1/24 } ], prefer: node3 }`, `10.8.3.1/24 [10.8.3.1/24 on eth0] prefers node3 preempt`},
		{`{ addresses: [ { interface: eth0, ip: 10.8.3.1/24 } ], prefer: [node3], preempt: false, partition: single }`, `10.8.3.1/24 [10.8.3.1/24 on eth0] prefers node3 single`},
		{`{ addresses: [ { interface: eth0, ip: 10.8.3.1/24 } ], prefer: [node3], preempt_delay: "1.5" }`, `10.8.3.1/24 [10.8.3.1/24 on eth0] prefers node3 preempt after 1.5s`},
		{`{ name: cron }`, `cron [] election preempt`},
		{`{ name: cron, addresses: [] }`, `cron [] election preempt`},
		{`{ name: cron, plumb: false, addresses: [ { interface: eth0, ip: 10.8.3.1/24 } ] }`, `cron [] election preempt`},
	} {
		cfg, err := Parse("f", []byte("{ secret: a secret text of length, nodes: [node1, node2, node3], vips: [ "+c.text+" ] }"))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := groupLine(cfg.Plan.Groups[0]); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// groupLine writes a group as a person would.
func groupLine(g vipgroup.Group) string {
	vips := make([]string, len(g.VIPs))
	for i, v := range g.VIPs {
		vips[i] = v.String()
	}
	line := g.Name + " [" + strings.Join(vips, " ") + "]"
	if g.Election {
		line += " election"
	}
	if len(g.Prefer) > 0 {
		line += " prefers " + strings.Join(g.Prefer, " ")
	}
	if g.Preempt {
		line += " preempt"
	}
	if g.PreemptDelay > 0 {
		line += " after " + g.PreemptDelay.String()
	}
	if g.Partition != "" {
		line += " " + string(g.Partition)
	}
	return line
}

// TestValues has keys whose values come in several forms.
func TestValues(t *testing.T) {
	c := mustParse(t, minimal+`
chat: "239.1.2.3:65535"
chat_interface: [eth0, 10.8.3.2]
peers: [10.8.3.2, "10.8.3.3:6000"]
witness: 10.8.3.254
interval: "0.02"
stale: 0.15
mature: 0
lifetime: 2
rebalance: auto
rebalance_pause: 3
logging: { driver: syslog, mask: { debug: true } }
plugins: [/opt/a]
hooks: { taken: [a, b], moved: "c d", stopping: { command: [e], timeout: 2, user: vippy } }
reload: auto
checks:
  one: { command: [/bin/true], on_fail: penalty 7, groups: 10.8.3.195 }
  two: { command: "true | false" }
`)
	if want := []netip.AddrPort{netip.MustParseAddrPort("10.8.3.2:65535"), netip.MustParseAddrPort("10.8.3.3:6000")}; !reflect.DeepEqual(c.Peers, want) {
		t.Errorf("peers are %v, want %v", c.Peers, want)
	}
	for _, form := range []struct{ chat, want string }{{"none", "0.0.0.0:5007"}, {"none:6000", "0.0.0.0:6000"}} {
		c := mustParse(t, minimal+"peers: [10.8.3.2, \"10.8.3.3:7000\"]\nchat: "+form.chat)
		if c.Chat.String() != form.want || c.Peers[0].Port() != c.Chat.Port() || c.Peers[1].Port() != 7000 {
			t.Errorf("chat: %s is %v with peers %v", form.chat, c.Chat, c.Peers)
		}
	}
	if !cmp.Equal(c.ChatInterfaces, []string{"eth0", "10.8.3.2"}) || len(c.Witness) != 1 {
		t.Errorf("chat_interface %v, witness %v", c.ChatInterfaces, c.Witness)
	}
	if c.Interval != 20*time.Millisecond || c.Stale != 150*time.Millisecond || c.Mature != 0 || c.Lifetime != 2*time.Second || c.Plan.Rebalance != 3*time.Second {
		t.Errorf("times are %v %v %v %v %v", c.Interval, c.Stale, c.Mature, c.Lifetime, c.Plan.Rebalance)
	}
	if c.Logging.Driver != "syslog" || c.Logging.Mask[Err] || !c.Logging.Mask[Debug] {
		t.Errorf("logging is %v", c.Logging)
	}
	key := c.Plan.Groups[0].Key
	if diff := cmp.Diff([]Check{
		{Name: "one", Command: []string{"/bin/true"}, Interval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 2, Penalty: 7, Groups: []vipgroup.Key{key}, Named: []string{"10.8.3.195"}},
		{Name: "two", Command: []string{"/bin/sh", "-c", "true | false"}, Interval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 2, Bar: true},
	}, c.Checks); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Hook{
		{"taken", []string{"a", "b"}, 10 * time.Second, ""},
		{"moved", []string{"/bin/sh", "-c", "c d"}, 10 * time.Second, ""},
		{"stopping", []string{"e"}, 2 * time.Second, "vippy"},
	}, c.Hooks); diff != "" {
		t.Error(diff)
	}
}

// TestNotices: what is accepted and yet worth a word.
func TestNotices(t *testing.T) {
	for _, c := range []struct{ lines, want string }{
		{"", ""},
		{"notify: [ { interface: eth0, ip: 10.0.0.0/8 } ]", "notify[0].ip: of 10.0.0.0/8 at most 65536 hosts that nobody knows are asked for at a time"},
		{"partition: single\nvoters: [node1, witness]", `voters: "witness" is not one of nodes: a vippyd of that name votes and holds nothing` + "\n" +
			"partition: with two voters, single serves nothing as soon as one is lost: name a third in voters, such as a vippyd elsewhere that is not one of nodes"},
		{"partition: single\nvoters: [node1, node3, nide2]", `voters: "nide2" is not one of nodes: a vippyd of that name votes and holds nothing; did you mean "node2"?`},
		{"partition: single\nvoters: [node1, node2, node3, w]", `voters: "w" is not one of nodes: a vippyd of that name votes and holds nothing` + "\n" +
			"partition: a majority of 4 voters is 3, so they bear the loss of no more than 3 do: add one, or leave one out"},
		{"voters: [node1, node2, node3]", "voters: without effect, for no group has partition: single"},
		{"vips: [[{interface: eth0, ip: 10.8.3.1/24}], [{interface: eth0, ip: 10.8.4.1/24}, {interface: eth0, ip: 10.8.9.9/16}, {interface: eth0, ip: 10.8.3.2/32}]]",
			"vips[0][0].ip: 10.8.3.1/24 and 10.8.9.9/16 (vips[1][1].ip) are of one network and differ in its length: give both the one that the hosts' own addresses have there\n" +
				"vips[1][0].ip: 10.8.4.1/24 and 10.8.9.9/16 (vips[1][1].ip) are of one network and differ in its length: give both the one that the hosts' own addresses have there"},
		{"witness: [10.8.3.2, 10.8.3.195]", "witness: 10.8.3.195 is one of vips, which may be on this host itself, and so says nothing: name a host that always answers"},
		{"interval: 0.15", "interval: 0.15 s shortened to 0.1 s, a fifth of stale"},
		{"interval: 1\nstale: 3.2", "interval: 1 s shortened to 0.64 s, a fifth of stale"},
	} {
		text := minimal + c.lines
		if strings.HasPrefix(c.lines, "vips") {
			text = strings.Replace(minimal, "vips", c.lines+"\n#", 1)
		}
		if got := strings.Join(mustParse(t, text).Notices, "\n"); got != c.want {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
	if got := mustParse(t, "secret: short\nnodes: [a]\nvips: []").Notices; len(got) != 1 || !strings.Contains(got[0], "shorter than 16") {
		t.Errorf("a short secret: %q", got)
	}
}

// TestExamples parses every example; what it has to say must be nothing, or be expected.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.conf")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse(filepath.Base(file), data)
		if err != nil {
			t.Error(err)
			continue
		}
		if filepath.Base(file) != "reference.conf" && (len(c.Notices) != 1 || !strings.HasPrefix(c.Notices[0], "secret: this is the text of the examples, ")) {
			t.Errorf("%s: %v", file, c.Notices)
		}
	}
}

// TestFaultsAreAnError: callers find the faults behind any wrapping.
func TestFaultsAreAnError(t *testing.T) {
	_, err := Parse("f", []byte("{}"))
	if got := AsFaults(err); len(got) != 3 {
		t.Errorf("an empty object has %d faults, want 3:\n%v", len(got), err)
	}
	if AsFaults(errors.New("other")) != nil {
		t.Error("another error has faults")
	}
}
