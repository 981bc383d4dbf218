package ctlsocket

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// full is a status in which every field says something.
func full() Status {
	drained := "drained"
	web := VIPGroup{
		Prefer:    []string{"node1", "node2"},
		Addresses: []Address{NewAddress(netip.MustParsePrefix("10.8.3.38/24"), "eth0")},
	}
	six := VIPGroup{Addresses: []Address{NewAddress(netip.MustParsePrefix("2001:db8::1/64"), "eth1")}}
	return Status{
		Identity: "node1",
		Stats: Stats{
			Net:          NetStats{Ignore: 3, SendAnnounce: 100, RecvAnnounce: 200},
			StateChanges: 2,
			Conflicts:    4,
			Refusals:     map[string]uint64{"bad seal": 2, "wrong cluster": 1},
		},
		Config: Config{Version: 5, VIPs: []VIPGroup{web, six}, Nodes: []string{"node1", "node2", "node3"}},
		State: State{Mature: true, InactiveReason: &drained, Ownership: map[string][]VIPGroup{
			"node1": {web}, "node2": nil, Unowned: {six},
		}},
		Plan: Plan{Version: 5, Digest: "c0ffee00c0ffee00c0ffee00c0ffee00", From: "node2", FileVersion: 4, Note: "the file has version 4, which is lower"},
		Groups: []Group{
			{
				Key: "00112233445566aa", Name: "web", Assigned: "node2", Owner: "node1",
				Owners: []string{"node1", "node2"}, Held: true, Reason: "prefers node1",
				Since: time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC),
				Addresses: []GroupAddress{{
					Address: netip.MustParsePrefix("10.8.3.38/24"), Interface: "eth0", Plumbed: true, ContestedBy: "52:54:00:12:34:56",
				}},
			},
			{
				Key: "00112233445566bb", Name: "2001:db8::1", Reason: "no eligible node",
				Addresses: []GroupAddress{{Address: netip.MustParsePrefix("2001:db8::1/64"), Interface: "eth1"}},
			},
			{Key: "00112233445566cc", Name: `a "leader"`, Assigned: "node2", Owner: "node2", Reason: "fewest groups"},
		},
		Peers: []Peer{
			{Node: "node2", State: PeerLive, Eligible: true, PlanVersion: 5, PlanDigest: "c0ffee00c0ffee00c0ffee00c0ffee00", LastHeardMS: 40},
			{Node: "node3", State: PeerAbsent, Reason: "not heard", LastHeardMS: NeverHeard},
		},
		Grant: Grant{Valid: true, RemainingMS: 950},
		Guard: Guard{PID: 4711, OK: true},
		Plugins: []Plugin{
			{Name: "disk", Program: []string{"/p/disk"}, Restarts: 3, Failure: "ended", Voted: true, Votes: []PluginVote{{Group: "web", Bar: true, Reason: "full"}}, Stderr: "oops"},
			{Name: "web", Running: true, PID: 7},
		},
		Alarms: []Alarm{{Name: AlarmTwoOwners, Since: time.Date(2026, 11, 21, 22, 1, 0, 0, time.UTC), Detail: "web: node1 and node2"}},
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got, -update rewrites it):\n%s", file, diff)
	}
}

// The names and types are what scripts rely on; a change of the file breaks them.
func TestStatusJSON(t *testing.T) {
	data, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	golden(t, "testdata/status.json", indented.Bytes())

	var back Status
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), back, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("what was read is not what was written (-want +got):\n%s", diff)
	}
}

// A status that knows nothing yet has empty lists, for scripts iterate over them; the
// one null is the ancestor's.
func TestEmptyStatusJSON(t *testing.T) {
	for _, s := range []Status{{}, {Groups: []Group{{}}, State: State{Ownership: map[string][]VIPGroup{"_": nil}}}} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(data), `"inactive_reason":null`, "", 1)
		if strings.Contains(text, "null") {
			t.Errorf("a null where a list is expected: %s", data)
		}
	}
}

// A script written for the ancestor reads these.
func TestAncestorsFields(t *testing.T) {
	data, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Identity string
		Stats    struct {
			Net map[string]float64
			SC  float64 `json:"state-changes"`
		}
		Config struct {
			Version float64
			VIPs    [][]any
			Nodes   []string
		}
		State struct {
			Mature, Active bool
			InactiveReason any `json:"inactive_reason"`
			Ownership      map[string][][]any
		}
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	v4 := map[string]any{
		"ip": "10.8.3.38", "netmask": "255.255.255.0", "broadcast": "10.8.3.255", "network": "10.8.3.0", "name": "eth0",
	}
	v6 := map[string]any{"ip": "2001:db8::1", "prefixlen": "64", "name": "eth1"}
	web, six := []any{"node1", "node2", v4}, []any{v6}
	for _, c := range []struct {
		what      string
		want, got any
	}{
		{"stats.net", map[string]float64{"ignore": 3, "send-announce": 100, "recv-announce": 200}, s.Stats.Net},
		{"state-changes", 2.0, s.Stats.SC},
		{"config.version", 5.0, s.Config.Version},
		{"config.vips", [][]any{web, six}, s.Config.VIPs},
		{"inactive_reason", "drained", s.State.InactiveReason},
		{"ownership", map[string][][]any{"node1": {web}, "node2": {}, "_": {six}}, s.State.Ownership},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestNewAddress(t *testing.T) {
	for _, c := range []struct{ prefix, netmask, broadcast, network, prefixlen string }{
		{"10.8.3.38/24", "255.255.255.0", "10.8.3.255", "10.8.3.0", ""},
		{"10.8.3.138/25", "255.255.255.128", "10.8.3.255", "10.8.3.128", ""},
		{"10.8.3.38/20", "255.255.240.0", "10.8.15.255", "10.8.0.0", ""},
		{"10.8.3.38/32", "255.255.255.255", "10.8.3.38", "10.8.3.38", ""},
		{"10.8.3.38/0", "0.0.0.0", "255.255.255.255", "0.0.0.0", ""},
		{"10.8.3.39/31", "255.255.255.254", "10.8.3.39", "10.8.3.38", ""},
		{"2001:db8::1/64", "", "", "", "64"},
		{"2001:db8::1/128", "", "", "", "128"},
	} {
		p := netip.MustParsePrefix(c.prefix)
		want := Address{IP: p.Addr().String(), Netmask: c.netmask, Broadcast: c.broadcast, Network: c.network, PrefixLen: c.prefixlen, Name: "eth0"}
		if diff := cmp.Diff(want, NewAddress(p, "eth0")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.prefix, diff)
		}
		classic := c.prefix
		if p.Addr().Is6() {
			classic = p.Addr().String()
		}
		if got := want.Classic(); got != classic {
			t.Errorf("%s in Vippy's text: %s, want %s", c.prefix, got, classic)
		}
	}
}

func TestVIPGroupRefusesOtherJSON(t *testing.T) {
	for _, text := range []string{`{}`, `"node1"`, `[1]`, `[["node1"]]`, `[{"ip": 1}]`} {
		var g VIPGroup
		if err := json.Unmarshal([]byte(text), &g); err == nil {
			t.Errorf("%s was read as %+v", text, g)
		}
	}
}

func TestMetrics(t *testing.T) {
	golden(t, "testdata/metrics.txt", []byte(full().metrics()))
}

func TestFind(t *testing.T) {
	s := full()
	// A name goes before an address that is spelled like it.
	s.Groups = append(s.Groups, Group{Key: "00112233445566dd", Name: "10.8.3.38/32"})
	for word, want := range map[string]string{
		"web":              "web",
		"00112233445566aa": "web",
		"10.8.3.38":        "web",
		"10.8.3.38/24":     "web",
		"10.8.3.38/32":     "10.8.3.38/32",
		"2001:DB8:0::1":    "2001:db8::1",
		"2001:DB8:0::1/64": "2001:db8::1",
		`a "leader"`:       `a "leader"`,
		"10.8.3.38/25":     "",
		"10.8.3.3":         "",
		"Web":              "",
		"":                 "",
		"invalid Prefix":   "",
	} {
		g, ok := s.Find(word)
		if g.Name != want || ok != (want != "") {
			t.Errorf("Find(%q) = %q, %v, want %q", word, g.Name, ok, want)
		}
	}
}

func TestExplain(t *testing.T) {
	e, ok := full().Explain("web")
	if !ok {
		t.Fatal("no explanation")
	}
	want := Explanation{
		Identity: "node1",
		Group:    full().Groups[0],
		Prefer:   []string{"node1", "node2"},
		Nodes: []Candidate{
			{Node: "node1", State: PeerLive, Reason: "drained"},
			{Node: "node2", State: PeerLive, Eligible: true, Groups: 2},
			{Node: "node3", State: PeerAbsent, Reason: "not heard"},
		},
	}
	if diff := cmp.Diff(want, e, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What an election prefers is told like that of any group, though it has no address to be
// found by.
func TestExplainElection(t *testing.T) {
	s := full()
	s.Config.VIPs = append(s.Config.VIPs, VIPGroup{Prefer: []string{"node3", "node2"}})
	if e, ok := s.Explain(`a "leader"`); !ok || !slices.Equal(e.Prefer, []string{"node3", "node2"}) {
		t.Errorf("it prefers %q (%v), want node3 and node2", e.Prefer, ok)
	}
}
