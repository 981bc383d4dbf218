package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/vippy-ha/vippy/ctlsocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is a limit that nothing is expected to need.
const long = time.Minute

// A stage is a runner at work, and a folder that hooks of any user can write.
type stage struct {
	*Runner
	t   *testing.T
	dir string
	log lines
	// finish lets what waits run to its end; kill ends what runs.
	finish, kill func()
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func play(t *testing.T, hooks ...Hook) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	for dir, mode := range map[string]os.FileMode{s.dir: 0o777 | os.ModeSticky, filepath.Dir(s.dir): 0o755} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	for i := range hooks {
		for j := range hooks[i].Command {
			hooks[i].Command[j] = strings.ReplaceAll(hooks[i].Command[j], "DIR", s.dir)
		}
		if hooks[i].Timeout == 0 {
			hooks[i].Timeout = long
		}
	}
	s.Runner = NewRunner(slog.New(slog.NewTextHandler(&s.log, nil)))
	s.Set(hooks)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	s.finish = func() { s.Finish(); <-done }
	s.kill = func() { cancel(); <-done }
	t.Cleanup(s.kill)
	return s
}

func sh(script string) []string { return []string{"/bin/sh", "-uc", script} }

// file returns what hooks wrote.
func (s *stage) file(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatalf("%v\n%s", err, &s.log)
	}
	return string(text)
}

func event(kind, group string, seq uint64) Event {
	return Event{Identity: "a", Cluster: "vippy", Event: ctlsocket.Event{Kind: kind, Group: group, Key: group, Seq: seq}}
}

// The program learns the same from its environment and from its input, and gets nothing else.
func TestWhatAHookIsTold(t *testing.T) {
	t.Setenv("SECRET", "swordfish")
	s := play(t, Hook{Event: "taken", Command: sh("tr '\\0' '\\n' </proc/self/environ >DIR/env; cat >DIR/document; pwd >DIR/pwd")})
	e := Event{Identity: "node1", Cluster: "vippy", Interfaces: []string{"eth0", "eth1"}, Event: ctlsocket.Event{
		Seq: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC), Kind: "taken", Group: "web\x00", Key: "0123456789abcdef",
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8::1/128")},
		Reason:    "b is\nsilent", Former: "b", PlanVersion: 3}}
	s.Emit(e)
	s.finish()
	env := strings.Split(strings.TrimSpace(s.file("env")), "\n")
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "PWD=") }) // the shell's own
	want := []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C",
		"VIPPY_EVENT=taken", "VIPPY_IDENTITY=node1", "VIPPY_CLUSTER=vippy", "VIPPY_GROUP=web", "VIPPY_KEY=0123456789abcdef",
		"VIPPY_ADDRESSES=10.0.0.1/24 2001:db8::1/128", "VIPPY_INTERFACES=eth0 eth1", "VIPPY_NODE=", "VIPPY_FORMER=b", "VIPPY_REASON=b is silent",
		"VIPPY_SEQ=7", "VIPPY_TIME=2026-01-02T03:04:05.0000006Z", "VIPPY_PLAN_VERSION=3", "VIPPY_LOST=0",
	}
	slices.Sort(env)
	slices.Sort(want)
	if d := cmp.Diff(want, env); d != "" {
		t.Errorf("environment (-want +got):\n%s", d)
	}
	var got Event
	if err := json.Unmarshal([]byte(s.file("document")), &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(e, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("document (-want +got):\n%s", d)
	}
	if n := strings.Count(s.file("document"), "\n"); n != 1 {
		t.Errorf("the document has %d lines", n)
	}
	if s.log.String() != "" {
		t.Errorf("logged:\n%s", &s.log)
	}
}

// Hooks of one group run in the order of its events, whatever each of them takes.
func TestOrderWithinAGroup(t *testing.T) {
	write := `echo "$VIPPY_GROUP $VIPPY_EVENT $VIPPY_SEQ" >>DIR/$VIPPY_GROUP`
	s := play(t, Hook{Event: "taken", Command: sh("sleep 0.1; " + write)}, Hook{Event: "released", Command: sh(write)})
	for i := range uint64(3) {
		for _, g := range []string{"x", "y"} {
			s.Emit(event("taken", g, 2*i+1))
			s.Emit(event("released", g, 2*i+2))
		}
	}
	s.Emit(event("moved", "x", 9)) // nobody asked for it
	s.finish()
	for _, g := range []string{"x", "y"} {
		want := ""
		for i := range 3 {
			want += fmt.Sprintf("%s taken %d\n%s released %d\n", g, 2*i+1, g, 2*i+2)
		}
		if got := s.file(g); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// While one group's hook takes its time, those of others run; but only so many at once, and
// those of the node go first.
func TestGroupsRunSideBySide(t *testing.T) {
	s := play(t,
		Hook{Event: "taken", Command: sh(`echo $$ >DIR/began-$VIPPY_GROUP; while [ ! -e DIR/go ]; do sleep 0.01; done; echo "$VIPPY_GROUP" >>DIR/ended`)},
		Hook{Event: "stopping", Command: sh("echo stopping >>DIR/ended")})
	for i := range 3 * atOnce {
		s.Emit(event("taken", fmt.Sprint(i), uint64(i)))
	}
	began := func() int {
		files, err := filepath.Glob(filepath.Join(s.dir, "began-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for began() < atOnce {
		time.Sleep(time.Millisecond)
	}
	if s.Emit(event("stopping", "", 99)); !s.Busy() {
		t.Error("not busy")
	}
	s.mu.Lock()
	if first := s.ready[0]; !first.node {
		t.Errorf("the next to run is a group's: %v", first.events)
	}
	s.mu.Unlock()
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s.finish()
	if s.Busy() {
		t.Error("busy after the end")
	}
	ended := strings.Fields(s.file("ended"))
	if len(ended) != 3*atOnce+1 {
		t.Errorf("%d hooks ended: %v", len(ended), ended)
	}
	if !slices.Contains(ended, "stopping") {
		t.Errorf("stopping is not among %v", ended)
	}
}

func TestAtMostSoManyAtOnce(t *testing.T) {
	s := play(t, Hook{Event: "taken", Command: sh(`mkdir DIR/in-$$; ls -d DIR/in-* | wc -l >>DIR/count; sleep 0.05; rmdir DIR/in-$$`)})
	for i := range 4 * atOnce {
		s.Emit(event("taken", fmt.Sprint(i), 1))
	}
	s.finish()
	for _, n := range strings.Fields(s.file("count")) {
		var k int
		if fmt.Sscan(n, &k); k > atOnce {
			t.Errorf("%d at once", k)
		}
	}
}

// A hook that hangs is ended, with a line in the log, and the next one runs. Of what comes
// meanwhile only the newest are kept, and the next one is told how many were not.
func TestAHookThatHangs(t *testing.T) {
	s := play(t,
		Hook{Event: "taken", Command: sh("sleep 1000 & sleep 1000"), Timeout: 500 * time.Millisecond},
		Hook{Event: "released", Command: sh(`echo "$VIPPY_SEQ $VIPPY_LOST" >>DIR/out`)})
	s.Emit(event("taken", "web", 1))
	for s.pending("web") > 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range uint64(waiting + 5) {
		s.Emit(event("released", "web", 2+i))
	}
	s.finish()
	got := strings.Fields(s.file("out"))
	if len(got) != 2*waiting || got[0] != "7" || got[1] != "5" || got[2] != "8" || got[3] != "0" {
		t.Errorf("told (sequence, lost): %v", got)
	}
	if log := s.log.String(); strings.Count(log, "not done within 500ms") != 1 || !strings.Contains(log, "group=web") {
		t.Errorf("logged:\n%s", log)
	}
}

// pending is how many events of a group wait.
func (r *Runner) pending(key string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queues[key].events)
}

// Failures of one kind are told once in a while, and change nothing else.
func TestAHookThatFails(t *testing.T) {
	s := play(t, Hook{Event: "taken", Command: sh(`echo "no route to $VIPPY_GROUP" >&2; exit 3`)}, Hook{Event: "moved", Command: []string{"/nowhere/hook"}})
	for i := range 20 {
		s.Emit(event("taken", fmt.Sprint(i), 1))
	}
	s.Emit(event("moved", "x", 2))
	s.finish()
	log := s.log.String()
	if strings.Count(log, "exit status 3: no route to") != 1 || strings.Count(log, "hook failed") != 2 ||
		strings.Count(log, "a hook can't run as things are") != 1 || !strings.Contains(log, "hook moved") {
		t.Errorf("logged:\n%s", log)
	}
}

// A reload changes what runs from then on.
func TestSet(t *testing.T) {
	s := play(t, Hook{Event: "taken", Command: sh(`echo begun >DIR/begun; while [ ! -e DIR/go ]; do sleep 0.01; done; echo "old $VIPPY_SEQ" >>DIR/out`)})
	s.Emit(event("taken", "web", 1))
	s.Emit(event("taken", "web", 2))
	for {
		if _, err := os.Stat(filepath.Join(s.dir, "begun")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	s.Emit(event("released", "web", 3)) // nobody asked for it then
	s.Set([]Hook{{Event: "taken", Command: sh(`echo "new $VIPPY_SEQ" >>` + s.dir + "/out"), Timeout: long}})
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	s.finish()
	if got := s.file("out"); got != "old 1\nnew 2\n" {
		t.Errorf("got %q", got)
	}
}

// At the end nothing is started, and what runs is killed.
func TestKill(t *testing.T) {
	s := play(t, Hook{Event: "taken", Command: sh("echo begun >DIR/begun-$VIPPY_GROUP; sleep 1000")})
	for i := range 2 * atOnce {
		s.Emit(event("taken", fmt.Sprint(i), 1))
	}
	s.kill()
	s.Emit(event("taken", "late", 1))
	files, _ := filepath.Glob(filepath.Join(s.dir, "begun-*"))
	if len(files) > atOnce {
		t.Errorf("%d were started", len(files))
	}
}
