package check_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/child/childtest"
	"github.com/vippy-ha/vippy/plugin"
)

// A ballotBox is a host that only hears votes.
type ballotBox chan plugin.Vote

func (b ballotBox) Vote(votes ...plugin.Vote) {
	for _, v := range votes {
		b <- v
	}
}
func (b ballotBox) Events() <-chan plugin.Event                   { return nil }
func (b ballotBox) Status(context.Context) (plugin.Status, error) { return plugin.Status{}, nil }
func (b ballotBox) Log() *slog.Logger                             { return slog.New(slog.DiscardHandler) }

// run runs a check until the test ends, or until the returned function is called.
func run(t *testing.T, p plugin.Plugin) (votes ballotBox, stop func()) {
	t.Helper()
	if e, ok := p.(check.Exec); ok {
		e.User = strconv.Itoa(os.Geteuid()) // who may write to the test's folders
		p = e
	}
	votes = make(ballotBox, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, votes) }()
	stopped := false
	stop = func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-ended; err != nil {
				t.Errorf("the check ended with %v, want no error", err)
			}
		}
	}
	t.Cleanup(stop)
	return votes, stop
}

func sh(script string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", script, "check"}, args...)
}

func TestFirstVote(t *testing.T) {
	for _, test := range []struct {
		name string
		exec check.Exec
		want []plugin.Vote
	}{
		{"healthy", check.Exec{Command: []string{"true"}}, []plugin.Vote{{}}},
		{"failing", check.Exec{Command: []string{"false"}},
			[]plugin.Vote{{Bar: true, Reason: "exit status 1"}}},
		{"a penalty instead", check.Exec{Command: []string{"false"}, Common: check.Common{Penalty: 7}},
			[]plugin.Vote{{Penalty: 7, Reason: "exit status 1"}}},
		{"for groups", check.Exec{Command: []string{"false"}, Common: check.Common{Groups: []string{"web", "10.0.0.9"}}}, []plugin.Vote{
			{Group: "web", Bar: true, Reason: "exit status 1"},
			{Group: "10.0.0.9", Bar: true, Reason: "exit status 1"}}},
		{"the last line of stderr", check.Exec{Command: sh(`echo one >&2; printf 'no \033[1mdisk\n\n' >&2; echo out; exit 2`)},
			[]plugin.Vote{{Bar: true, Reason: "exit status 2: no [1mdisk"}}},
		{"stderr of a success", check.Exec{Command: sh(`echo fine >&2`)}, []plugin.Vote{{}}},
		{"a signal", check.Exec{Command: sh(`kill -TERM $$`)},
			[]plugin.Vote{{Bar: true, Reason: "signal: terminated"}}},
		{"no such program", check.Exec{Command: []string{"/nowhere/check"}},
			[]plugin.Vote{{Bar: true, Reason: `cannot start: there is no program /nowhere/check`}}},
		{"nothing on stdin", check.Exec{Command: []string{"cat"}}, []plugin.Vote{{}}},
		{"its environment", check.Exec{Command: sh(`pwd >&2; env | grep -c . >&2; echo "$VIPPY_CHECK" | grep -q ^web$`)}, []plugin.Vote{{}}},
		{"a warning of a Nagios plugin", check.Exec{Command: sh(`echo 'DISK WARNING | /=90%'; exit 1`), Nagios: true}, []plugin.Vote{{}}},
		{"trouble of a Nagios plugin", check.Exec{Command: sh(`echo 'DISK CRITICAL - 1% free | /=99%'; echo long text; echo hm >&2; exit 2`), Nagios: true},
			[]plugin.Vote{{Bar: true, Reason: "exit status 2: DISK CRITICAL - 1% free"}}},
		{"what a Nagios plugin doesn't know", check.Exec{Command: sh(`echo oops >&2; exit 3`), Nagios: true},
			[]plugin.Vote{{Bar: true, Reason: "exit status 3: oops"}}},
		{"Rise and Fall don't delay it", check.Exec{Command: []string{"false"}, Common: check.Common{Rise: 9, Fall: 9}},
			[]plugin.Vote{{Bar: true, Reason: "exit status 1"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.exec.Label, test.exec.Interval = "web", time.Hour
			votes, _ := run(t, test.exec)
			for _, want := range test.want {
				if got := <-votes; got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
	}
}

func TestRiseAndFall(t *testing.T) {
	dir := t.TempDir()
	// The results are scripted: the nth run does what the nth letter says.
	votes, stop := run(t, check.Exec{
		Common: check.Common{Label: "scripted", Interval: 5 * time.Millisecond, Timeout: time.Minute, Rise: 2, Fall: 3},
		Command: sh(`cd "$1"; echo run >>runs; n=$(wc -l <runs)
			case $(echo HFFHFFFHFHH | cut -c $n) in F) echo "at run $n" >&2; exit 1;; esac`, dir),
	})
	for _, want := range []plugin.Vote{
		{}, // run 1; two failures are not three
		{Bar: true, Reason: "exit status 1: at run 7"},
		{Bar: true, Reason: "exit status 1: at run 9"}, // no news but the reason
		{}, // runs 10 and 11
	} {
		if got := <-votes; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	stop()
	runs, err := os.ReadFile(filepath.Join(dir, "runs"))
	if n := strings.Count(string(runs), "run"); err != nil || n < 11 || len(votes) > 0 {
		t.Errorf("%d runs, %d further votes, %v; want 11 runs or more, and no vote without news", n, len(votes), err)
	}
}

// hang is a command that writes its own process id and that of a child to a file, and
// then hangs with it.
func hang(file string) []string {
	return sh(`sleep 1000 & echo $$ $! >"$1.new"; mv "$1.new" "$1"; echo waiting >&2; wait`, file)
}

func pids(t *testing.T, file string) (pids []int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func TestTimeoutKillsChildren(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pids")
	votes, _ := run(t, check.Exec{Common: check.Common{Label: "hanging", Interval: time.Hour, Timeout: 5 * time.Second}, Command: hang(file)})
	want := plugin.Vote{Bar: true, Reason: "not done within 5s: waiting"}
	if got := <-votes; got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, pid := range pids(t, file) {
		childtest.WantDead(t, pid)
	}
}

// awaitFile waits until the file is there.
func awaitFile(t *testing.T, file string) {
	t.Helper()
	for ctx := t.Context(); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(file); err == nil {
			return
		}
	}
}

func TestStopKillsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	votes, stop := run(t, check.Exec{Common: check.Common{Label: "hanging", Interval: time.Hour}, Command: hang(file)})
	awaitFile(t, file)
	stop()
	for _, pid := range pids(t, file) {
		childtest.WantDead(t, pid)
	}
	if len(votes) > 0 {
		t.Errorf("voted %+v on being stopped", <-votes)
	}
}

// What a successful command left in the background is killed too, and is not waited
// for though it holds stderr open.
func TestSuccessLeavesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	votes, _ := run(t, check.Exec{Common: check.Common{Label: "forking", Interval: time.Hour},
		Command: sh(`sleep 1000 & echo $! >"$1"`, file)})
	if got := <-votes; got != (plugin.Vote{}) {
		t.Errorf("got %+v, want healthy", got)
	}
	for _, pid := range pids(t, file) {
		childtest.WantDead(t, pid)
	}
}

// A process that fled from the group and holds stderr open holds up nothing.
func TestFugitive(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	votes, _ := run(t, check.Exec{Common: check.Common{Label: "daemonizing", Interval: time.Hour},
		Command: sh(`setsid sh -c 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 1000' x "$1" &
			while ! test -e "$1"; do sleep 0.01; done; echo sick >&2; exit 1`, file)})
	want := plugin.Vote{Bar: true, Reason: "exit status 1: sick"}
	if got := <-votes; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, pid := range pids(t, file) {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Errorf("end the fugitive: %v", err)
		}
	}
}

func TestFloodOfOutput(t *testing.T) {
	votes, _ := run(t, check.Exec{Common: check.Common{Label: "loud", Interval: time.Hour, Timeout: time.Minute}, Command: sh(`yes sick >&2`)})
	got := <-votes // its last line may be cut off anywhere
	if !got.Bar || !strings.HasPrefix("wrote more than 1 MiB: sick", got.Reason) || len(got.Reason) < len("wrote more than 1 MiB") {
		t.Errorf("got %+v, want a bar for what it wrote", got)
	}
}

func TestNeverOverlaps(t *testing.T) {
	dir := t.TempDir()
	votes, stop := run(t, check.Exec{Common: check.Common{Label: "slow", Interval: time.Millisecond, Timeout: time.Minute},
		Command: sh(`cd "$1" && mkdir running || exit 1; sleep 0.02; rmdir running; echo run >>runs
			if test $(wc -l <runs) -ge 10; then : >done; fi`, dir)})
	awaitFile(t, filepath.Join(dir, "done"))
	stop()
	if got := <-votes; got != (plugin.Vote{}) || len(votes) > 0 {
		t.Errorf("got %+v and %d more votes, want healthy and no more", got, len(votes))
	}
}

func TestValidate(t *testing.T) {
	good := check.Exec{Common: check.Common{Label: "web", Interval: time.Second}, Command: []string{"true"}}
	if err := good.Validate(); err != nil {
		t.Errorf("got error %v, want none", err)
	}
	bad := check.Exec{Common: check.Common{Label: "web", Timeout: -1, Rise: -1, Penalty: -1}}
	err := bad.Validate()
	for _, want := range []string{"check web: command", "interval", "timeout", "rise", "penalty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %s in it", err, want)
		}
	}
	if err := bad.Run(t.Context(), make(ballotBox)); err == nil {
		t.Error("a check with faults was run")
	}
}
