package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// tellAll tells a story of snapshots and returns its lines and events.
func tellAll(t *testing.T, snapshots ...*snapshot) (lines, events []string) {
	t.Helper()
	var log logged
	s := story{
		log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key != slog.MessageKey {
				return slog.Attr{}
			}
			return a
		}})),
		emit: func(e plugin.Event) {
			text := string(e.Kind)
			if e.Group.Name != "" {
				text += " " + e.Group.Name
			}
			if e.Node != "" || e.Former != "" {
				text += " from " + e.Former + " to " + e.Node
			}
			if e.Kind == plugin.Moved || e.Kind == plugin.Peer || e.Kind == plugin.StillOwner {
				text += ": " + e.Reason
			}
			events = append(events, text)
		},
	}
	for i, shot := range snapshots {
		shot.now = time.Unix(int64(i), 0)
		s.tell(shot)
	}
	for line := range strings.Lines(log.String()) {
		lines = append(lines, strings.Trim(strings.TrimPrefix(strings.TrimSpace(line), "msg="), `"`))
	}
	return lines, events
}

// shot is a snapshot of node a, whose groups are as given.
func shot(p vipgroup.Plan, peers []cluster.PeerStatus, groups ...cluster.GroupStatus) *snapshot {
	s := &snapshot{status: cluster.Status{Name: "a", Plan: p, Mature: true, Eligible: true, Peers: peers, Groups: groups}, present: map[netip.Addr]bool{}, ruling: ruling{File: &config.Config{Plan: p}}}
	for i, g := range groups {
		if g.Held {
			for _, v := range p.Groups[i].VIPs {
				s.present[v.Address.Addr()] = true
			}
		}
	}
	return s
}

func TestStory(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	live := []cluster.PeerStatus{{Node: "b", State: cluster.Live, Eligible: true}}
	silent := []cluster.PeerStatus{{Node: "b", State: cluster.Absent}}
	left := []cluster.PeerStatus{{Node: "b", State: cluster.Absent, Farewell: true}}
	theirs := cluster.GroupStatus{Assigned: "b", Reason: "already there", Owners: []string{"b"}}
	free := cluster.GroupStatus{Assigned: "a", Reason: "evens the load"}
	claimed := cluster.GroupStatus{Assigned: "a", Reason: "evens the load", Claiming: true, Waiting: "b to answer"}
	mine := cluster.GroupStatus{Assigned: "a", Reason: "already there", Owners: []string{"a"}, Held: true}
	wanted := cluster.GroupStatus{Assigned: "b", Reason: "preferred node", Owners: []string{"a"}, Held: true}
	barred := shot(plan, live, free)
	key := plan.Groups[0].Key
	barred.votes = []cluster.Vote{{Source: "link", Group: &key, Bar: true, Reason: "eth0 is down"}}

	tests := []struct {
		name          string
		snapshots     []*snapshot
		lines, events []string // what must be there, in order, among others
	}{
		{"a silent owner", []*snapshot{shot(plan, live, theirs), shot(plan, silent, free), shot(plan, silent, claimed), shot(plan, silent, mine)},
			[]string{"b took g0 (10.0.0.1/32)", "b is silent", "took g0 (10.0.0.1/32): b is silent (evens the load)"},
			[]string{"peer from  to b: is heard, and hears this node", "moved g0 from  to b: already there", "peer from  to b: is silent",
				"moved g0 from b to : b is silent", "taking g0", "taken g0"}},
		{"between others", []*snapshot{shot(plan, live, mine), shot(plan, live, theirs), shot(plan, silent, free), shot(plan, live, theirs), shot(plan, live, theirs)},
			nil, []string{"released g0", "moved g0 from a to b: already there", "moved g0 from b to : b is silent", "moved g0 from b to b: already there"}},
		{"all between two looks", []*snapshot{shot(plan, live, theirs), shot(plan, left, mine)},
			[]string{"b left", "took g0 (10.0.0.1/32): b left"},
			[]string{"taking g0", "taken g0"}},
		{"handed over", []*snapshot{shot(plan, live, mine), shot(plan, live, wanted), shot(plan, live, theirs)},
			[]string{"took g0 (10.0.0.1/32): nobody had it", "released g0 (10.0.0.1/32): b has it"},
			[]string{"taken g0", "releasing g0", "released g0"}},
		{"a claim that comes to nothing", []*snapshot{shot(plan, live, free), shot(plan, live, claimed), shot(plan, live, theirs)},
			[]string{"b took g0"}, []string{"taking g0", "released g0"}},
		{"a long wait is told once", []*snapshot{shot(plan, live, claimed), shot(plan, live, claimed), shot(plan, live, claimed), shot(plan, live, claimed)},
			[]string{"waiting to take g0 (10.0.0.1/32): b to answer"}, []string{"taking g0"}},
		{"a vote", []*snapshot{shot(plan, live, free), barred, shot(plan, live, free)},
			[]string{"this node can't have g0 (10.0.0.1/32): link: eth0 is down", "this node may have again g0"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, events := tellAll(t, tt.snapshots...)
			assertOrder(t, "line", lines, tt.lines)
			assertOrder(t, "event", events, tt.events)
			if again := slices.Compact(slices.Clone(lines)); len(again) != len(lines) {
				t.Errorf("a line was told twice:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

func placeAfter(all []string, want string, from int) int {
	for i := from; i < len(all); i++ {
		if strings.Contains(all[i], want) {
			return i + 1
		}
	}
	return -1
}

func assertOrder(t *testing.T, what string, all, want []string) {
	t.Helper()
	at := 0
	for _, w := range want {
		if at = placeAfter(all, w, at); at < 0 {
			t.Errorf("no %s %q where it should be:\n%s", what, w, strings.Join(all, "\n"))
			return
		}
	}
}

// Many groups of one fate make one line.
func TestStoryGathers(t *testing.T) {
	var addrs []string
	for i := range 50 {
		addrs = append(addrs, fmt.Sprintf("10.0.1.%d", i+1))
	}
	plan := testPlan(t, 1, addrs...)
	free, mine := make([]cluster.GroupStatus, 50), make([]cluster.GroupStatus, 50)
	for i := range mine {
		mine[i] = cluster.GroupStatus{Assigned: "a", Held: true, Owners: []string{"a"}}
	}
	lines, events := tellAll(t, shot(plan, nil, free...), shot(plan, nil, mine...))
	told := slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, "took") })
	if len(told) != 1 || !strings.Contains(told[0], "took 50 groups (") {
		t.Errorf("told:\n%s", strings.Join(told, "\n"))
	}
	taken := slices.DeleteFunc(events, func(e string) bool { return !strings.HasPrefix(e, "taken") })
	if len(taken) != 50 {
		t.Errorf("%d groups were told to plugins as taken, want 50", len(taken))
	}
}

func TestAlarmsAreToldWhenTheyBeginAndEnd(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	quiet, loud := shot(plan, nil, cluster.GroupStatus{}), shot(plan, nil, cluster.GroupStatus{})
	loud.status.Alarms = []cluster.Alarm{{Name: "deaf", Detail: "b hears nobody"}}
	lines, _ := tellAll(t, quiet, loud, loud, shot(plan, nil, cluster.GroupStatus{}))
	assertOrder(t, "line", lines, []string{"alarm: b hears nobody", "alarm over: b hears nobody"})
	if n := strings.Count(strings.Join(lines, "\n"), "alarm: b"); n != 1 {
		t.Errorf("the alarm was told %d times", n)
	}
}

// TestKinds: each kind of event is in the reference.
func TestKinds(t *testing.T) {
	data, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## Events\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, k := range []plugin.Kind{plugin.Taking, plugin.Taken, plugin.Releasing, plugin.Released, plugin.Conflict, plugin.StillOwner, plugin.Moved,
		plugin.Eligible, plugin.NotEligible, plugin.Peer, plugin.Alarm, plugin.AlarmOver, plugin.PlanChanged, plugin.Stopping} {
		if !strings.Contains(table, "`"+string(k)+"`") {
			t.Errorf("docs/reference.md has no event %s", k)
		}
	}
}
