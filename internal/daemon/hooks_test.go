package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/internal/hook"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// What hooks are told is what a person would call so.
func TestWhatConcernsHooks(t *testing.T) {
	h := hooking{runner: hook.NewRunner(slog.New(slog.DiscardHandler)), taken: map[vipgroup.Key]bool{}}
	web, db := vipgroup.Group{Key: vipgroup.Key{1}}, vipgroup.Group{Key: vipgroup.Key{2}}
	for i, step := range []struct {
		kind  plugin.Kind
		group vipgroup.Group
		want  bool
	}{
		{plugin.NotEligible, vipgroup.Group{}, false}, // booting: it never was
		{plugin.Eligible, vipgroup.Group{}, true},
		{plugin.Taking, web, true},
		{plugin.Released, web, false}, // a claim that came to nothing
		{plugin.Taking, web, true},
		{plugin.Taking, db, true},
		{plugin.Taken, web, true},
		{plugin.Released, web, true},
		{plugin.Released, db, false},
		{plugin.Taking, web, true},
		{plugin.Taken, web, true},
		{plugin.Taking, web, true}, // an address of it is lost
		{plugin.Released, web, true},
		{plugin.Taking, web, true},
		{plugin.Released, web, false},
		{plugin.NotEligible, vipgroup.Group{}, true},
		{plugin.NotEligible, vipgroup.Group{}, false}, // for another reason
		{plugin.Eligible, vipgroup.Group{}, true},
		{plugin.Conflict, web, true},
		{plugin.StillOwner, web, true},
	} {
		if got := h.concerns(plugin.Event{Kind: step.kind, Group: step.group}); got != step.want {
			t.Errorf("step %d, %s of %v: %v", i, step.kind, step.group.Key, got)
		}
	}
	if len(h.taken) > 0 {
		t.Errorf("remembers %v", h.taken)
	}
}

// What hooks were told to have been taken they are told to be released, before whatever comes
// of a new claim, and once.
func TestHooksOfALostGroup(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	free := cluster.GroupStatus{Assigned: "a"}
	claimed := cluster.GroupStatus{Assigned: "a", Claiming: true, Waiting: "b to answer"}
	mine := cluster.GroupStatus{Assigned: "a", Owners: []string{"a"}, Held: true}
	lost := shot(plan, nil, mine) // for the moment, one of its addresses
	clear(lost.present)
	leaving := shot(plan, nil, mine)
	leaving.unwanted = map[vipgroup.Key]bool{plan.Groups[0].Key: true}
	of := func(g cluster.GroupStatus) *snapshot { return shot(plan, nil, g) }
	for name, tt := range map[string]struct {
		snapshots    []*snapshot
		story, hooks string
	}{
		"the new claim comes to nothing": {[]*snapshot{of(mine), of(claimed), of(free)}, "taking taken releasing released taking released", "taken released"},
		"the new claim succeeds":         {[]*snapshot{of(mine), of(claimed), of(mine)}, "taking taken releasing released taking taken", "taken released taken"},
		"let go and claimed anew":        {[]*snapshot{of(mine), leaving, of(claimed), of(claimed), of(free)}, "taking taken releasing released taking released", "taken released"},
		"it is not put back":             {[]*snapshot{of(mine), lost, of(free)}, "taking taken taking released", "taken released"},
		"it is put back":                 {[]*snapshot{of(mine), lost, of(mine)}, "taking taken taking taken", "taken taken"},
		"it is claimed, not put back":    {[]*snapshot{of(mine), lost, of(claimed), of(free)}, "taking taken taking released taking released", "taken released"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hooking{taken: map[vipgroup.Key]bool{}}
			var all, told []string
			s := story{log: slog.New(slog.DiscardHandler), emit: func(e plugin.Event) {
				if e.Group.Name == "" || e.Kind == plugin.Moved {
					return
				}
				all = append(all, string(e.Kind))
				if h.concerns(e) && (e.Kind == plugin.Taken || e.Kind == plugin.Released) {
					told = append(told, string(e.Kind))
				}
			}}
			for i, shot := range tt.snapshots {
				shot.now = time.Unix(int64(i), 0)
				s.tell(shot)
			}
			if got := strings.Join(all, " "); got != tt.story {
				t.Errorf("the story is %q, want %q", got, tt.story)
			}
			if got := strings.Join(told, " "); got != tt.hooks {
				t.Errorf("hooks were told %q, want %q", got, tt.hooks)
			}
		})
	}
}

// Whoever has a group after a conflict says so, once and only then; and who had it all the
// time got it from nobody.
func TestStoryOfAConflict(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	addr := plan.Groups[0].VIPs[0].Address.Addr()
	live := []cluster.PeerStatus{{Node: "b", State: cluster.Live, Eligible: true}}
	mine := cluster.GroupStatus{Assigned: "a", Owners: []string{"a"}, Held: true}
	both := cluster.GroupStatus{Assigned: "a", Owners: []string{"a", "b"}, Held: true}
	theirs := cluster.GroupStatus{Assigned: "b", Owners: []string{"b"}}
	bothThisLast := cluster.GroupStatus{Assigned: "a", Owners: []string{"b", "a"}, Held: true}
	third := cluster.GroupStatus{Assigned: "c", Owners: []string{"c"}}
	thirdToo := cluster.GroupStatus{Assigned: "c", Owners: []string{"b", "c"}}
	rival := func(node string, after time.Duration) *snapshot {
		s := shot(plan, []cluster.PeerStatus{{Node: "b", State: cluster.Live, Eligible: true, LastHeard: time.Unix(100, 0)}}, mine)
		s.status.Rivals = []cluster.Rival{{Addr: addr, Node: node, MAC: "02:00:00:00:00:09", Last: time.Unix(100, 0).Add(after)}}
		return s
	}
	calm := func() *snapshot { return shot(plan, live, mine) }
	for name, tt := range map[string]struct {
		snapshots []*snapshot
		want      []string
	}{
		"two owners until the other lets go":   {[]*snapshot{calm(), shot(plan, live, both), shot(plan, live, both), calm(), calm()}, []string{"still-owner g0: b no longer claims it"}},
		"the other is the first of the plan":   {[]*snapshot{calm(), shot(plan, live, bothThisLast), calm()}, []string{"still-owner g0: b no longer claims it"}},
		"until this one does":                  {[]*snapshot{calm(), shot(plan, live, both), shot(plan, live, theirs), calm()}, []string{"moved g0 from a to b: "}},
		"between others":                       {[]*snapshot{shot(plan, live, third), shot(plan, live, thirdToo), shot(plan, live, third)}, []string{"moved g0 from  to c: "}},
		"between others, and the other wins":   {[]*snapshot{shot(plan, live, third), shot(plan, live, thirdToo), shot(plan, live, theirs)}, []string{"moved g0 from  to c: ", "moved g0 from c to b: "}},
		"a foreign host":                       {[]*snapshot{calm(), rival("", 0), rival("", 0), calm(), calm()}, []string{"conflict g0", "still-owner g0: a host that is no node of the plan no longer claims it"}},
		"a node, until it says that it hasn't": {[]*snapshot{calm(), rival("b", time.Second), rival("b", -time.Second), calm()}, []string{"conflict g0", "still-owner g0: b no longer claims it"}},
		"none":                                 {[]*snapshot{calm(), calm()}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, events := tellAll(t, tt.snapshots...)
			got := slices.DeleteFunc(events, func(e string) bool {
				return !strings.HasPrefix(e, "still") && !strings.HasPrefix(e, "conflict") && !strings.HasPrefix(e, "moved")
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("told %v, want %v", got, tt.want)
			}
		})
	}
}

// From the config to the program: a node takes its groups and stops, and its hooks were told
// in order before the daemon was gone.
func TestHooksOfALife(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{dir: 0o777 | os.ModeSticky, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "out")
	command := `'env | grep -q battery && echo leaked >>` + out + `; echo "$VIPPY_EVENT $VIPPY_GROUP" >>` + out + `'`
	text := soloText + "hooks: {eligible: " + command + ", taken: " + command + ", released: " + command + ", stopping: " + command + "}\n"
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", text)
		time.Sleep(10 * time.Second)
		if err := n.end(); err != nil {
			t.Error(err)
		}
		if strings.Contains(n.log.String(), "hook failed") {
			t.Errorf("%s", n.log)
		}
	})
	told, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(told), "\n"), "\n")
	for _, group := range []string{"web", "db"} {
		taken, released := slices.Index(lines, "taken "+group), slices.Index(lines, "released "+group)
		if taken < 0 || released < taken {
			t.Errorf("%s: taken is line %d, released %d", group, taken, released)
		}
	}
	if !slices.Contains(lines, "eligible ") || !slices.Contains(lines, "stopping ") || len(lines) != 6 {
		t.Errorf("told:\n%s", told)
	}
}
