package lab

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a fault must not move is noticed by the kernels' history, also when everything is
// back in its place at the end.
func TestKeptPeace(t *testing.T) {
	c := &cluster{interval: defaultInterval, stale: defaultStale, groups: []group{{name: "its", vips: vipsOf(layout([]string{""}, 1))}, {name: "other", vips: vipsOf(layout([]string{""}, 2))[1:2]}}}
	c.twin = &node{name: "twin", num: 9}
	its, other := c.groups[0].vips[0], c.groups[1].vips[0]
	victim := &node{name: "a", num: 1}
	before := map[string]string{"its": "a", "other": "b"}
	calm := []hold{{1, its, 0, forever}, {2, other, 0, forever}}
	away := []hold{{1, its, 0, 12}, {1, its, 13, forever}, {2, other, 0, forever}}
	given := []hold{{1, its, 0, 12}, {3, its, 13, forever}, {2, other, 0, forever}}
	blip := []hold{{1, its, 0, forever}, {2, other, 0, 12}, {2, other, 13, forever}}
	past := []hold{{1, its, 0, 5}, {1, its, 6, forever}, {2, other, 0, forever}}
	for _, tt := range []struct {
		fault   string
		history []hold
		want    string // a part of what is said, "" for nothing
	}{
		{"starve", calm, ""},
		{"starve", past, ""},
		{"starve", away, its.String()},
		{"starve", given, its.String()},
		{"contest", blip, other.String()},
		{"reload", blip, other.String()},
		{"bump", calm, ""},
		{"bump", away, its.String()},
		{"clash", given, its.String()},
		{"rekey", blip, other.String()},
		{"meddle", away, ""},
		{"meddle", given, ""},
		{"meddle", blip, other.String()},
		{"foreign-key", given, ""},
		{"foreign-key", away, "without the cluster's secret"},
		{"foreign-key", blip, other.String()},
		{"kill", given, ""},
		{"kill", blip, other.String()},
		{"kill-guard", away, its.String()},
		{"firewall", given, its.String()},
		{"return", blip, ""}, // what it has afterwards is its own too
		{"split", blip, ""},
		{"twin", away, its.String()},
		{"twin-idle", given, ""},
		{"twin-idle", []hold{{1, its, 0, 12}, {9, its, 13, 14}, {3, its, 14, forever}}, "second process"},
		{"all-peers-dead", blip, ""},
		{"all-peers-dead", away, its.String()},
	} {
		r := &Result{Fault: tt.fault, Before: before, After: before}
		if tt.fault == "return" {
			r.After = map[string]string{"its": "b", "other": "a"}
		}
		got := c.keptPeace(r, victim, tt.history, 10)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s with %v: %q, want %q", tt.fault, tt.history, got, tt.want)
		}
	}
}

// A stranger's announcements reach the client and turn it away, and the census knows who
// had the last word.
func TestContestReachesTheClient(t *testing.T) {
	c := bench(t)
	a, vip := c.nodes[0], c.vips[0]
	c.plumb(t, a, vip, true)
	c.served(t, vip, a)
	d := &driller{cluster: c}

	c.census.begin()
	if wrong := d.defended(a); !strings.Contains(wrong, "nobody heard") {
		t.Errorf("without a contest: %q", wrong)
	}
	if err := c.contest(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for c.census.lastWord(vip) == nil { // ends with the test's time at the latest
		if err := Pause(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if wrong := d.defended(a); !strings.Contains(wrong, stranger.String()) {
		t.Errorf("nobody defends, and it says %q", wrong)
	}
	near, err := c.client.inside.NeighList(c.client.link.Attrs().Index, 0)
	if err != nil {
		t.Fatal(err)
	}
	believes := false
	for _, n := range near {
		believes = believes || n.IP.Equal(vip.AsSlice()) && bytes.Equal(n.HardwareAddr, stranger)
	}
	if !believes {
		t.Errorf("the client does not believe the stranger: %v", near)
	}
}

// The meddler takes the last address of its victim, and none from who has none.
func TestMeddle(t *testing.T) {
	c := bench(t)
	a, b, vip := c.nodes[0], c.nodes[1], c.vips[0]
	c.plumb(t, a, vip, true)
	if err := c.meddle(b); err == nil {
		t.Error("it deleted an address where there is none")
	}
	if err := c.meddle(a); err != nil {
		t.Fatal(err)
	}
	if has, err := a.table(); err != nil || len(has) != 0 {
		t.Errorf("the address is still there: %v (%v)", has, err)
	}
}

// Faults after which nothing, or only the victim's own, may have moved go well on real
// daemons, and say what they did.
func TestDrillOfTroubledNodes(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	for _, wanted := range [][]string{{"meddle", "contest", "reload"}, {"bump", "clash", "rekey"}, {"freeze", "foreign-key"}, {"drain", "undrain", "move"}, {"one-way-in", "firewall-in", "twin"}} {
		t.Run(strings.Join(wanted, " "), func(t *testing.T) {
			noLeak(t)
			drillGoesWell(t, Options{Vippyd: path, Faults: wanted})
		})
	}
	if left := leftovers(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// One node against a majority must let go, and the majority takes what it had, also where
// one of the majority only votes; nobody has it twice.
func TestDrillOfAMajority(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	for _, nodes := range []int{3, 2} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			noLeak(t)
			drillGoesWell(t, Options{Vippyd: path, Nodes: nodes, Single: true, Faults: []string{"split"}})
		})
	}
}

func drillGoesWell(t *testing.T, o Options) {
	t.Helper()
	var out, diag bytes.Buffer
	o.JSON, o.Stdout, o.Stderr = true, &out, &diag
	ok, err := Run(t.Context(), o)
	if err != nil || !ok {
		t.Errorf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	if out.Len() == 0 {
		return
	}
	results, _ := lines(t, out.String())
	var got []string
	for _, r := range results {
		got = append(got, r.Fault)
		if r.DualMS != 0 || !r.HeldOnce {
			t.Errorf("bad result: %+v", r)
		}
		if moves := drilled.of(r.Fault).moves != nothing; moves != (r.MovedMS != nil) {
			t.Errorf("something moved: %v, want %v: %+v", r.MovedMS != nil, moves, r)
		}
	}
	if !slices.Equal(got, o.Faults) {
		t.Errorf("results of %v, want %v", got, o.Faults)
	}
}
