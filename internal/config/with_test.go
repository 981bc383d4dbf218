package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/vipgroup"
)

const withText = `
secret: correct horse battery staple
nodes: [a, b]
vips:
  - {name: web, addresses: [{interface: eth0, ip: 10.0.0.1/24}]}
  - {name: db, addresses: [{interface: eth0, ip: 10.0.0.2/24}], checks: pg}
checks:
  disk: {command: "true"}
  http: {command: "true", groups: [web]}
  pg: {command: "true"}
`

// TestWith: under another plan each check speaks for what it should, and never for more.
func TestWith(t *testing.T) {
	c, err := Parse("vippy.conf", []byte(withText))
	if err != nil {
		t.Fatal(err)
	}
	other := func(change func(*vipgroup.Plan)) vipgroup.Plan {
		p := c.Plan
		p.Groups, p.Version = slices.Clone(p.Groups), 9
		change(&p)
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	drop := func(p *vipgroup.Plan, name string) {
		p.Groups = slices.DeleteFunc(p.Groups, func(g vipgroup.Group) bool { return g.Name == name })
	}
	at := func(p *vipgroup.Plan, name string) *vipgroup.Group { return &p.Groups[p.Find(name)] }
	for _, tt := range []struct {
		name   string
		change func(*vipgroup.Plan)
		want   string // check: its groups
		notice string
	}{
		{"the same groups", func(*vipgroup.Plan) {}, "disk: ; http: web; pg: db", ""},
		{"one more speaks for a group", func(p *vipgroup.Plan) { at(p, "web").Checks = []string{"pg"} }, "disk: ; http: web; pg: db web", ""},
		{"a check's group is gone", func(p *vipgroup.Plan) { drop(p, "web") }, "disk: ; pg: db", `check "http": plan 9 has none of its groups`},
		{"the group that names a check is gone", func(p *vipgroup.Plan) { drop(p, "db") }, "disk: ; http: web", `check "pg": plan 9 has none of its groups`},
		{"a check that is not here", func(p *vipgroup.Plan) { at(p, "web").Checks = []string{"lua"} }, "disk: ; http: web; pg: db",
			`plan 9 wants check "lua" for "web", and vippy.conf has none of that name`},
	} {
		plan := other(tt.change)
		got := c.With(plan)
		var checks []string
		for _, k := range got.Checks {
			var groups []string
			for _, key := range k.Groups {
				groups = append(groups, plan.Groups[plan.Group(key)].Name)
			}
			slices.Sort(groups)
			checks = append(checks, k.Name+": "+strings.Join(groups, " "))
		}
		if text := strings.Join(checks, "; "); text != tt.want || strings.Join(got.Notices, "; ") != tt.notice || got.Plan.Version != 9 {
			t.Errorf("%s: got %q, notices %q; want %q, %q", tt.name, text, got.Notices, tt.want, tt.notice)
		}
	}
	if len(c.Checks) != 3 || c.Plan.Version != 0 {
		t.Error("the config itself was changed")
	}
}

// TestGroupsOfAnAddress: a check and a plugin may name a group by its address, written as
// people write it.
func TestGroupsOfAnAddress(t *testing.T) {
	c, err := Parse("f", []byte(`{ secret: x, nodes: [a], vips: [[{interface: eth0, ip: "FD00:0::5/64"}]],
  checks: {up: {command: "true", groups: ["FD00:0::5"]}}, plugins: [{command: /bin/true, groups: ["fd00::5/64"]}] }`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Checks[0].Groups; len(got) != 1 || got[0] != c.Plan.Groups[0].Key {
		t.Errorf("the check speaks for %v", got)
	}
}
