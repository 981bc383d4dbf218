package vipgroup_test

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/vipgroup"
)

// vip parses "address/bits" or "address/bits@interface".
func vip(s string) vipgroup.VIP {
	addr, link, _ := strings.Cut(s, "@")
	return vipgroup.VIP{Address: netip.MustParsePrefix(addr), Interface: link}
}

func vips(ss ...string) []vipgroup.VIP {
	var out []vipgroup.VIP
	for _, s := range ss {
		out = append(out, vip(s))
	}
	return out
}

// fullPlan uses every field that travels.
func fullPlan(t *testing.T) vipgroup.Plan {
	return mustPlan(t, vipgroup.Plan{
		Version: 7, Nodes: []string{"c", "a", "b"}, Voters: []string{"a", "b"},
		Partition: vipgroup.Single, Rebalance: 10 * time.Second,
		Groups: []vipgroup.Group{
			{Name: "web", VIPs: vips("10.1.2.9/24@eth0", "10.1.2.4/32@eth1"), Prefer: []string{"b", "a"}, Preempt: true, PreemptDelay: 12 * time.Second},
			{VIPs: vips("10.1.2.5/32@eth0"), Partition: vipgroup.Available, Checks: []string{"pg"}},
			{Name: "leader", Election: true, Preempt: true},
		},
	})
}

func TestKey(t *testing.T) {
	p := fullPlan(t)
	tests := map[string]string{ // group: what its key is the hash of
		"web":         "10.1.2.4\n10.1.2.9",
		"10.1.2.5/32": "10.1.2.5",
		"leader":      "name:leader",
	}
	for group, resources := range tests {
		sum := sha256.Sum256([]byte(resources))
		want := hex.EncodeToString(sum[:8])
		if got := p.Groups[p.Find(group)].Key.String(); got != want {
			t.Errorf("key of %q is %s, want %s", group, got, want)
		}
	}
	if !slices.IsSortedFunc(p.Groups, func(a, b vipgroup.Group) int { return a.Key.Compare(b.Key) }) {
		t.Error("the groups are not sorted by key")
	}
	for i, g := range p.Groups {
		if p.Group(g.Key) != i {
			t.Errorf("Group(%s) = %d, want %d", g.Key, p.Group(g.Key), i)
		}
	}
	if got := p.Group(vipgroup.Key{1}); got != -1 {
		t.Errorf("Group of an unknown key = %d, want -1", got)
	}
}

// TestDigest: nodes whose plans differ only in local facts or in the order of the config
// agree; any other difference is one.
func TestDigest(t *testing.T) {
	base := fullPlan(t)
	change := func(f func(p *vipgroup.Plan)) vipgroup.Plan {
		p := base
		p.Nodes, p.Voters, p.Groups = slices.Clone(p.Nodes), slices.Clone(p.Voters), slices.Clone(p.Groups)
		for i := range p.Groups {
			p.Groups[i].VIPs = slices.Clone(p.Groups[i].VIPs)
		}
		f(&p)
		return mustPlan(t, p)
	}
	web, leader := base.Find("web"), base.Find("leader")
	same := map[string]func(p *vipgroup.Plan){
		"nothing":         func(p *vipgroup.Plan) {},
		"interface":       func(p *vipgroup.Plan) { p.Groups[web].VIPs[0].Interface = "bond0" },
		"no interface":    func(p *vipgroup.Plan) { p.Groups[web].VIPs[1].Interface = "" },
		"order of groups": func(p *vipgroup.Plan) { slices.Reverse(p.Groups) },
		"order of VIPs":   func(p *vipgroup.Plan) { slices.Reverse(p.Groups[web].VIPs) },
	}
	for name, f := range same {
		if got := change(f).Digest(); got != base.Digest() {
			t.Errorf("%s changes the digest", name)
		}
	}
	other := map[string]func(p *vipgroup.Plan){
		"version":        func(p *vipgroup.Plan) { p.Version++ },
		"order of nodes": func(p *vipgroup.Plan) { slices.Reverse(p.Nodes) },
		"voters":         func(p *vipgroup.Plan) { p.Voters = nil },
		"partition":      func(p *vipgroup.Plan) { p.Partition = vipgroup.Available },
		"rebalance":      func(p *vipgroup.Plan) { p.Rebalance = 0 },
		"a group less":   func(p *vipgroup.Plan) { p.Groups = p.Groups[1:] },
		"group name":     func(p *vipgroup.Plan) { p.Groups[web].Name = "www" },
		"election":       func(p *vipgroup.Plan) { p.Groups[leader].Name = "boss" },
		"address":        func(p *vipgroup.Plan) { p.Groups[web].VIPs[0] = vip("10.1.2.3/32") },
		"prefix length":  func(p *vipgroup.Plan) { p.Groups[web].VIPs[0] = vip("10.1.2.4/24") },
		"preference":     func(p *vipgroup.Plan) { p.Groups[web].Prefer = []string{"a", "b"} },
		"preempt":        func(p *vipgroup.Plan) { p.Groups[web].Preempt = false },
		"preempt delay":  func(p *vipgroup.Plan) { p.Groups[web].PreemptDelay++ },
		"group policy":   func(p *vipgroup.Plan) { p.Groups[web].Partition = vipgroup.Available },
		"checks":         func(p *vipgroup.Plan) { p.Groups[web].Checks = []string{"http"} },
	}
	seen := map[vipgroup.Digest]string{base.Digest(): "nothing"}
	for name, f := range other {
		d := change(f).Digest()
		if as, dup := seen[d]; dup {
			t.Errorf("changing %s gives the digest of changing %s", name, as)
		}
		seen[d] = name
	}
}

// TestPlanLeavesItsInputAlone: a caller's slices are neither sorted nor filled in.
func TestPlanLeavesItsInputAlone(t *testing.T) {
	in := vipgroup.Plan{Nodes: []string{"b", "a"}, Groups: []vipgroup.Group{
		{VIPs: vips("10.0.0.9/32", "10.0.0.1/32")}, {VIPs: vips("10.0.0.2/32")}, {VIPs: vips("10.0.0.3/32")},
	}}
	mustPlan(t, in)
	want := vipgroup.Plan{Nodes: []string{"b", "a"}, Groups: []vipgroup.Group{
		{VIPs: vips("10.0.0.9/32", "10.0.0.1/32")}, {VIPs: vips("10.0.0.2/32")}, {VIPs: vips("10.0.0.3/32")},
	}}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("NewPlan changed its argument to %+v", in)
	}
}

func TestEncodeDecode(t *testing.T) {
	p := fullPlan(t)
	got, err := vipgroup.Decode(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Groups { // the interface names stay at home
		for j := range p.Groups[i].VIPs {
			p.Groups[i].VIPs[j].Interface = ""
		}
	}
	if !reflect.DeepEqual(got, p) {
		t.Errorf("decoded\n%+v, want\n%+v", got, p)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		got, err := vipgroup.Decode(p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest() != p.Digest() || string(got.Encode()) != string(p.Encode()) {
			t.Fatalf("decoded to another plan: %s, want %s", got.Encode(), p.Encode())
		}
	})
}

// FuzzDecode: a plan from a peer is refused or sound, and then encodes to itself.
func FuzzDecode(f *testing.F) {
	p := vipgroup.Plan{Nodes: []string{"a", "b"}, Groups: []vipgroup.Group{{VIPs: vips("10.0.0.1/32"), Prefer: []string{"b"}}, {Name: "leader"}}}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Encode())
	f.Add([]byte(`{"nodes":["a"],"groups":[{"name":"x","addresses":[""]}]}`))
	f.Add([]byte(`{"nodes":["a","a"]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := vipgroup.Decode(data)
		if err != nil {
			return
		}
		q, err := vipgroup.Decode(p.Encode())
		if err != nil {
			t.Fatalf("Decode refuses what Encode wrote: %v", err)
		}
		if q.Digest() != p.Digest() {
			t.Fatalf("decoded to another plan: %s, want %s", q.Encode(), p.Encode())
		}
		for i, d := range vipgroup.Assign(p, all(p)) {
			if d.Owner < 0 {
				t.Fatalf("group %d has no owner: %s", i, d.Reason)
			}
		}
	})
}

func TestPlanFaults(t *testing.T) {
	ab := []string{"a", "b"}
	one := func(g vipgroup.Group) []vipgroup.Group { return []vipgroup.Group{g} }
	many := make([]vipgroup.Group, vipgroup.MaxGroups+1)
	for i := range many {
		many[i].VIPs = []vipgroup.VIP{{Address: address(i)}}
	}
	tests := []struct {
		name string
		plan vipgroup.Plan
		want []string // parts of the error
	}{
		{"no nodes", vipgroup.Plan{}, []string{"at least one node"}},
		{"too many nodes", vipgroup.Plan{Nodes: nodeNames(33)}, []string{"33 nodes, at most 32"}},
		{"too many groups", vipgroup.Plan{Nodes: ab, Groups: many}, []string{"1001 groups, at most 1000"}},
		{"empty node", vipgroup.Plan{Nodes: []string{"a", ""}}, []string{"nodes[1]: a node needs a name"}},
		{"node with a space", vipgroup.Plan{Nodes: []string{"a b"}}, []string{`nodes[0]: "a b" holds a space`}},
		{"long node", vipgroup.Plan{Nodes: []string{strings.Repeat("x", 64)}}, []string{"longer than 63 bytes"}},
		{"node twice", vipgroup.Plan{Nodes: []string{"a", "b", "a"}}, []string{`nodes[2]: "a" is listed twice`}},
		{"voter named twice", vipgroup.Plan{Nodes: ab, Voters: []string{"c", "c"}}, []string{`voters[1]: "c" is listed twice`}},
		{"voter without a name", vipgroup.Plan{Nodes: ab, Voters: []string{""}}, []string{`voters[0]: a node needs a name`}},
		{"too many members", vipgroup.Plan{Nodes: nodeNames(32), Voters: []string{"z"}}, []string{`voters: 33 nodes and voters together, at most 32`}},
		{"preferred voter", vipgroup.Plan{Nodes: ab, Voters: []string{"c"}, Groups: []vipgroup.Group{{Name: "g", Prefer: []string{"c"}}}}, []string{`preferred node "c" is not one of the nodes`}},
		{"unknown preference", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", Prefer: []string{"c"}})},
			[]string{`vips[0]: preferred node "c" is not one of the nodes`}},
		{"no name", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{})}, []string{"vips[0]", "needs a name"}},
		{"name twice", vipgroup.Plan{Nodes: ab, Groups: []vipgroup.Group{{Name: "x", VIPs: vips("10.0.0.1/32")}, {Name: "x", VIPs: vips("10.0.0.2/32")}}},
			[]string{`vips[1]: the name "x" is used twice`}},
		{"address in two groups", vipgroup.Plan{Nodes: ab, Groups: []vipgroup.Group{{Name: "x", VIPs: vips("10.0.0.1/32")}, {Name: "y", VIPs: vips("10.0.0.1/24")}}},
			[]string{`vips[1]: 10.0.0.1 is already in group "x"`}},
		{"address twice in a group", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", VIPs: vips("10.0.0.1/32", "10.0.0.1/24")})},
			[]string{`vips[0]: 10.0.0.1 is already in group "x"`}},
		{"no address", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", VIPs: []vipgroup.VIP{{}}})},
			[]string{"vips[0][0]: not an address"}},
		{"prefix too long", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{VIPs: []vipgroup.VIP{vip("10.0.0.1/32"), {Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 33)}}})},
			[]string{"vips[0][1]: not an address"}},
		{"IPv4 in IPv6", vipgroup.Plan{Nodes: ab, Groups: []vipgroup.Group{{VIPs: vips("10.0.0.1/32")}, {VIPs: vips("::ffff:10.0.0.1/128")}}},
			[]string{"vips[1][0]: ::ffff:10.0.0.1/128 is an IPv4 address in IPv6 clothes: write 10.0.0.1"}},
		{"unknown partition", vipgroup.Plan{Nodes: ab, Partition: "both"}, []string{`partition: "both" is neither "available" nor "single"`}},
		{"unknown partition of a group", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", Partition: "Single"})},
			[]string{`vips[0]: partition: "Single" is neither`}},
		{"negative pause", vipgroup.Plan{Nodes: ab, Rebalance: -time.Second}, []string{"rebalance: -1s is not between 0 and 24h"}},
		{"huge pause", vipgroup.Plan{Nodes: ab, Rebalance: vipgroup.MaxPause + 1}, []string{"rebalance: 24h0m0.000000001s is not"}},
		{"negative delay", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", PreemptDelay: -1})}, []string{"vips[0]: preempt_delay: -1ns is not"}},
		{"huge delay", vipgroup.Plan{Nodes: ab, Groups: one(vipgroup.Group{Name: "x", PreemptDelay: math.MaxInt64})}, []string{"vips[0]: preempt_delay: 2562047h"}},
		{"several at once", vipgroup.Plan{Nodes: []string{"a", "a"}, Voters: []string{"z z"}}, []string{"listed twice", `"z z" holds a space`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vipgroup.NewPlan(tt.plan)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// TestDecodeFaults: bytes from a peer that are no plan, or a plan and more.
func TestDecodeFaults(t *testing.T) {
	good := string(fullPlan(t).Encode())
	for name, tt := range map[string]struct{ data, want string }{
		"nothing":           {"", "EOF"},
		"half":              {good[:len(good)/2], "unexpected EOF"},
		"two":               {good + good, "bytes follow its end"},
		"a line end":        {good + "\n", "1 bytes follow its end"},
		"rubbish after":     {good + "\x00", "1 bytes follow its end"},
		"empty address":     {`{"nodes":["a"],"groups":[{"name":"x","addresses":[""]}]}`, "not an address"},
		"no prefix length":  {`{"nodes":["a"],"groups":[{"name":"x","addresses":["10.0.0.1"]}]}`, "10.0.0.1"},
		"IPv4 in IPv6":      {`{"nodes":["a"],"groups":[{"addresses":["::ffff:10.0.0.1/128"]}]}`, "in IPv6 clothes"},
		"unknown partition": {`{"nodes":["a"],"partition":"x"}`, `"x" is neither`},
		"long delay":        {`{"nodes":["a"],"groups":[{"name":"x","preempt_delay_ns":9000000000000000000}]}`, "preempt_delay"},
	} {
		_, err := vipgroup.Decode([]byte(tt.data))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", name, err, tt.want)
		}
	}
}

func TestFind(t *testing.T) {
	p := fullPlan(t)
	web := p.Find("web")
	if web < 0 || p.Groups[web].Name != "web" {
		t.Fatalf("Find by name = %d", web)
	}
	for _, word := range []string{p.Groups[web].Key.String(), "10.1.2.4", "10.1.2.9", "10.1.2.9/24", "10.1.2.9/32"} {
		if got := p.Find(word); got != web {
			t.Errorf("Find(%q) = %d, want %d", word, got, web)
		}
	}
	for _, word := range []string{"", "10.1.2.9/25", "10.1.2", "nothing"} {
		if got := p.Find(word); got != -1 {
			t.Errorf("Find(%q) = %d, want -1", word, got)
		}
	}
}

// TestFindComparesAddresses: however an address is written, as in a config; a name goes
// before another group's address.
func TestFindComparesAddresses(t *testing.T) {
	six := vipgroup.Group{Name: "six", VIPs: []vipgroup.VIP{{Address: netip.MustParsePrefix("fd00::5/64")}}}
	named := vipgroup.Group{Name: "fd00:0::5", VIPs: []vipgroup.VIP{{Address: netip.MustParsePrefix("10.0.0.1/24")}}}
	p, err := vipgroup.NewPlan(vipgroup.Plan{Nodes: []string{"a"}, Groups: []vipgroup.Group{six, named}})
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]string{
		"fd00::5": "six", "FD00:0::5": "six", "FD00:0::5/64": "six", "fd00::5/65": "", "fd00::5%eth0": "", "fd00:0::5": named.Name, "10.0.0.1/24": named.Name,
		strings.ToUpper(vipgroup.KeyOf(six.Resources()).String()): "six",
	} {
		got := ""
		if i := p.Find(word); i >= 0 {
			got = p.Groups[i].Name
		}
		if got != want {
			t.Errorf("Find(%q) is %q, want %q", word, got, want)
		}
	}
}

// TestFindLooksUp: a word costs the same whatever the size of the plan, be it one that no
// group goes by: a plugin may vote on thousands of these.
func TestFindLooksUp(t *testing.T) {
	small, large := simplePlan(t, 2, 1), simplePlan(t, 2, vipgroup.MaxGroups)
	for _, word := range []string{"nothing", "10.255.255.1", "10.255.255.1/24", "fd00::1", "0123456789abcdef"} {
		allocs := func(p vipgroup.Plan) float64 { return testing.AllocsPerRun(10, func() { p.Find(word) }) }
		if few, many := allocs(small), allocs(large); many > few {
			t.Errorf("Find(%q) allocates %v times in a plan of 1000 groups, %v in one of one group", word, many, few)
		}
	}
}

// TestRank: for each group the ranks of the nodes are 0 to n-1, each once, in the order
// of the config from some place on; strangers come last.
func TestRank(t *testing.T) {
	firsts := map[string]int{}
	p := simplePlan(t, 5, 200)
	for _, g := range p.Groups {
		byRank := make([]string, len(p.Nodes))
		for _, n := range p.Nodes {
			byRank[p.Rank(g.Key, n)] = n
		}
		start := p.Node(byRank[0])
		if want := slices.Concat(p.Nodes[start:], p.Nodes[:start]); !slices.Equal(byRank, want) {
			t.Fatalf("ranks of %s: %v, want %v", g.Key, byRank, want)
		}
		firsts[byRank[0]]++
		if !p.Better(g.Key, byRank[0], byRank[1]) || p.Better(g.Key, byRank[1], byRank[0]) {
			t.Errorf("Better disagrees with Rank for %s", g.Key)
		}
		if p.Better(g.Key, "stranger", byRank[4]) || !p.Better(g.Key, byRank[4], "stranger") {
			t.Errorf("a stranger ranks before a node of the plan for %s", g.Key)
		}
	}
	if len(firsts) != len(p.Nodes) {
		t.Errorf("over 200 groups only %v were first", firsts)
	}
}
