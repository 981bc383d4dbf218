package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/internal/child/childtest"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// me is a user that can write the test's folders.
func me() string { return strconv.Itoa(os.Geteuid()) }

func sh(name, script string, args ...string) plugin.Program {
	return plugin.Program{Label: name, User: me(), Command: append([]string{"/bin/sh", "-c", script, "sh"}, args...)}
}

// self is a program that is this test binary, which TestMain makes a plugin.
func self(t *testing.T, name string) plugin.Program {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return plugin.Program{Label: name, User: me(), Command: []string{path, "-plugin", name}}
}

// run runs plugins under a runner until the test ends, or until the function is called.
func run(t *testing.T, log *slog.Logger, plugins ...plugin.Plugin) (r *plugin.Runner, stop func()) {
	t.Helper()
	r = plugin.NewRunner(log, func() plugin.Status { return plugin.Status{Node: "web1", PlanVersion: 7} })
	if err := r.Set(plugins); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		t.Helper()
		if cancel(); !stopped {
			stopped = true
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func wantVotes(t *testing.T, r *plugin.Runner, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := text(<-r.Votes()); got != w {
			t.Errorf("heard %q, want %q", got, w)
		}
	}
}

func TestProgramVotes(t *testing.T) {
	t.Parallel()
	r, stop := run(t, nil, sh("disk", `
		read hello; echo "$hello" >&2
		echo '{"vote":"bar","reason":"no disk"}'; read event; echo
		echo '[{"vote":"penalty","penalty":5,"group":"web","reason":"slow"},{"vote":"ok"}]'
		while read line; do case $line in *'"stop"'*) exit 0;; esac; done`))
	wantVotes(t, r, "plugin disk: barred: no disk")
	r.Emit(plugin.Event{Kind: plugin.Eligible})
	wantVotes(t, r, "plugin disk [web]: penalty 5: slow", "plugin disk: healthy")
	for r.Reports()[0].Stderr == "" { // what it logs goes its own way
		time.Sleep(time.Millisecond)
	}
	got := r.Reports()[0]
	if !got.Running || got.PID == 0 || got.Restarts != 0 || got.Stderr != `{"event":"hello","protocol":1,"plugin":"disk"}` ||
		fmt.Sprint(got.Votes) != "[{web false 5 slow}]" || !got.Voted {
		t.Errorf("the report is %+v", got)
	}
	stop()
}

// A watcher votes on what it is told, so that a test sees that it was told.
type watcher struct{ name string }

func (w watcher) Name() string { return w.name }

func (w watcher) Run(ctx context.Context, host plugin.Host) error {
	host.Log().With("a", 1).Info("begins", "b", "two")
	s, err := host.Status(ctx)
	if err != nil {
		return err
	}
	host.Vote(plugin.Vote{Penalty: int(s.PlanVersion), Reason: s.Node})
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-host.Events():
			if e.Kind == plugin.NotEligible && e.Reason == "panic" {
				panic("at the disco")
			}
			host.Vote(plugin.Vote{Reason: "seen"}, plugin.Vote{Group: e.Group.Name, Bar: true,
				Reason: fmt.Sprint(e.Kind, " ", e.Group.Key, " ", e.Group.VIPs[0].Address, " ", e.Node, " ", e.Former, " ", e.Reason, " ", e.PlanVersion)})
		}
	}
}

// The same value is a plugin compiled in and one in a process of its own.
func TestSameValue(t *testing.T) {
	for name, p := range map[string]plugin.Plugin{"compiled in": watcher{"watcher"}, "a program": self(t, "watcher")} {
		t.Run(name, func(t *testing.T) {
			log := make(lines, 100)
			r, stop := run(t, slog.New(slog.NewTextHandler(log, nil)), p)
			wantVotes(t, r, "plugin watcher: penalty 7: web1")
			if line := <-log; !strings.Contains(line, "level=INFO msg=begins plugin=watcher a=1 b=two\n") {
				t.Errorf("logged %q", line)
			}
			g := vipgroup.Group{Name: "web", Key: vipgroup.KeyOf([]string{"10.0.0.9/24"}), VIPs: []vipgroup.VIP{{Address: netip.MustParsePrefix("10.0.0.9/24")}}}
			r.Emit(plugin.Event{Kind: plugin.Moved, Time: time.Now(), Group: g, Node: "web2", Former: "web3", Reason: "drained", PlanVersion: 8})
			wantVotes(t, r, "plugin watcher: healthy", "plugin watcher [web]: barred: moved "+g.Key.String()+" 10.0.0.9/24 web2 web3 drained 8")
			r.Emit(plugin.Event{Kind: plugin.NotEligible, Reason: "panic"})
			if got := text(<-r.Votes()); !strings.HasPrefix(got, "plugin watcher: barred: ") || !strings.HasSuffix(got, "panicked: at the disco") {
				t.Errorf("its end is %q", got)
			}
			stop()
		})
	}
}

func TestProgramEnds(t *testing.T) {
	t.Parallel()
	silent, costly, some := sh("x", "exit 3"), sh("x", "exit 3"), sh("x", "exit 3")
	silent.Silent, costly.Penalty, some.Groups = true, 9, []string{"web", "db"}
	hanging := sh("x", `sleep 1000; echo`)
	hanging.Timeout = 20 * time.Millisecond
	for name, test := range map[string]struct {
		program plugin.Program
		want    []string
	}{
		"exits":         {sh("x", "echo one >&2; echo two >&2; exit 3"), []string{"barred: ended: exit status 3: two"}},
		"is done":       {sh("x", `exit 0`), []string{"barred: ended: exit status 0"}},
		"is killed":     {sh("x", "kill -9 $$"), []string{"barred: ended: signal: killed"}},
		"closes stdout": {sh("x", "exec >&-; sleep 1000"), []string{"barred: ended: closed its stdout"}},
		"says nothing":  {hanging, []string{"barred: ended: said nothing for 20ms"}},
		"no program":    {plugin.Program{Label: "x", Command: []string{"/nowhere/x"}}, []string{`barred: ended: cannot start: there is no program /nowhere/x`}},
		"talks":         {sh("x", "echo hello; sleep 1000"), []string{`barred: ended: wrote "hello", which is no line of the protocol: expected an object, or a list of votes`}},
		"a wrong word":  {sh("x", `echo '{"vote":"no"}'; sleep 1000`), []string{`barred: ended: wrote "{\"vote\":\"no\"}", which is no line of the protocol: the vote "no": expected ok, bar or penalty`}},
		"a long line":   {sh("x", `head -c 2000000 /dev/zero | tr '\0' x; sleep 1000`), []string{"barred: ended: wrote a line of more than 1048576 bytes"}},
		"costs":         {costly, []string{"penalty 9: ended: exit status 3"}},
		"for groups":    {some, []string{"[web]: barred: ended: exit status 3", "[db]: barred: ended: exit status 3"}},
		"means nothing": {silent, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, stop := run(t, nil, test.program)
			for _, want := range test.want {
				if got := text(<-r.Votes()); strings.TrimPrefix(strings.TrimPrefix(got, "plugin x"), ": ") != want && got != "plugin x "+want {
					t.Errorf("heard %q, want %q", got, want)
				}
			}
			if test.want == nil {
				for len(r.Reports()) == 0 || r.Reports()[0].Failure == "" {
					time.Sleep(time.Millisecond)
				}
				if got := r.Reports()[0]; got.Failure != "ended: exit status 3" || len(got.Votes) > 0 {
					t.Errorf("the report is %+v", got)
				}
			}
			stop()
		})
	}
}

// A program that others could have changed is not run.
func TestProgramOfOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\necho '{\"vote\":\"ok\"}'\n"), 0o755), os.Chmod(path, 0o777)); err != nil {
		t.Fatal(err)
	}
	r, _ := run(t, nil, plugin.Program{Label: "x", Command: []string{path}})
	wantVotes(t, r, "plugin x: barred: ended: cannot start: "+path+" is not run: others can write "+path+" (mode 0777; chmod go-w)")
}

// What it said before it ended stands again once it runs again, and is counted.
func TestProgramRestarts(t *testing.T) {
	t.Parallel()
	r, _ := run(t, nil, sh("x", `if test -e "$1/again"; then echo '{"vote":"ok","group":"web"}'; exec cat >/dev/null; fi
		read hello; echo '{"vote":"penalty","penalty":3}'; read event; : >"$1/again"; echo oops >&2; exit 1`, t.TempDir()))
	wantVotes(t, r, "plugin x: penalty 3: ")
	r.Emit(plugin.Event{Kind: plugin.Eligible})
	wantVotes(t, r, "plugin x: barred: ended: exit status 1: oops",
		"plugin x [web]: healthy", "plugin x: penalty 3: ")
	got := r.Reports()[0]
	if !got.Running || got.Restarts != 1 || got.Failure != "ended: exit status 1: oops" || got.Stderr != "oops" {
		t.Errorf("the report is %+v", got)
	}
}

// On stop it is told, and ends by itself; one that doesn't is killed, with its children.
func TestProgramStops(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bye")
	r, stop := run(t, nil,
		sh("polite", `read hello; echo '{"vote":"bar","reason":"polite"}'; read line; cat; echo "$line" >"$1"`, file),
		sh("stubborn", `trap "" TERM INT HUP; sleep 1000 & echo "{\"vote\":\"bar\",\"reason\":\"$! $$\"}"; while :; do sleep 1000; done`))
	var pids []string
	for range 2 {
		b := <-r.Votes()
		if b.Source == "plugin stubborn" {
			pids = strings.Fields(b.Vote.Reason)
		}
	}
	stop()
	if got, err := os.ReadFile(file); string(got) != "{\"event\":\"stop\"}\n" {
		t.Errorf("the polite one was told %q (%v)", got, err)
	}
	if len(pids) != 2 {
		t.Fatalf("the stubborn one said %q", pids)
	}
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		childtest.WantDead(t, pid)
	}
}

// A flood is a Host that counts the votes and lines of stderr that it was told, and what of
// the log is worth telling.
type flood struct {
	slog.Handler
	read, told chan struct{}
}

func (f flood) Vote(votes ...plugin.Vote) {
	for range votes {
		f.read <- struct{}{}
	}
}
func (f flood) Events() <-chan plugin.Event                   { return nil }
func (f flood) Log() *slog.Logger                             { return slog.New(f) }
func (f flood) Status(context.Context) (plugin.Status, error) { return plugin.Status{}, nil }
func (f flood) Enabled(context.Context, slog.Level) bool      { return true }
func (f flood) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "stderr: ") {
		f.read <- struct{}{}
	}
	if r.Level >= slog.LevelInfo {
		f.told <- struct{}{}
	}
	return nil
}

// A flood, of votes, logs or errors, is read at once up to a bound and then at a pace: the one
// who floods waits.
func TestProgramFlood(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script string
		cost   int // of one that is counted, in lines: 1,000 are free, then there are 100 a second
		told   int // how many lines are logged as worth telling, and how many more a second
		rate   int
	}{
		"votes":                 {`exec yes '{"vote":"bar","reason":"flood"}'`, 1, 0, 0},
		"logs":                  {`exec yes '{"vote":"bar"}` + "\n" + `{"log":"flood"}'`, 2, 100, 10},
		"stderr":                {`exec yes flood >&2`, 1, 20, 1},
		"stderr without a line": {`yes | tr -d '\n' >&2`, 1 + 1<<20/4096, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := flood{read: make(chan struct{}, 1_000_000), told: make(chan struct{}, 1_000_000)}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			begin, ended := time.Now(), make(chan error, 1)
			go func() { ended <- sh("flood", test.script).Run(ctx, f) }()
			for range 1000 / test.cost {
				<-f.read
			}
			time.AfterFunc(300*time.Millisecond, cancel)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			seconds := time.Since(begin).Seconds()
			if n, most := len(f.read), int(100*seconds)/test.cost+1; n > most {
				t.Errorf("%d more were read once the free ones were, want at most %d", n, most)
			}
			if n, most := len(f.told), test.told+int(float64(test.rate)*seconds)+1; n > most || n < test.told {
				t.Errorf("%d were told, want %d to %d", n, test.told, most)
			}
		})
	}
}

// Who says something, and is kept waiting before that is heard, is not silent meanwhile. Each
// line is worth 256, so the fifth one waits longer than the program may say nothing.
func TestProgramWaitsForUs(t *testing.T) {
	t.Parallel()
	p := sh("long", `x=$(head -c 1048000 /dev/zero | tr '\0' x)
		for i in 1 2 3 4 5; do echo "{\"vote\":\"bar\",\"reason\":\"$x\"}"; done
		while echo '{"vote":"ok"}'; do sleep 0.1; done`)
	p.Timeout = 2 * time.Second
	r, stop := run(t, nil, p)
	for {
		b := <-r.Votes()
		if b.Ended {
			t.Errorf("it %s", b.Vote.Reason)
		}
		if b.Ended || b.Vote.Healthy() {
			break
		}
	}
	stop()
}

// An oracle is a Host with more to tell than a pipe holds.
type oracle struct{ flood }

func (oracle) Status(context.Context) (plugin.Status, error) {
	return plugin.Status{Reasons: []string{strings.Repeat("x", 1<<20)}}, nil
}

// Who asks and hangs before it has read the answer is found as silent as any other.
func TestProgramHangsWhenAnswered(t *testing.T) {
	t.Parallel()
	p := sh("asks", `echo '{"ask":"status"}'; exec sleep 1000`)
	p.Timeout = 20 * time.Millisecond
	if err := p.Run(t.Context(), oracle{}); err == nil || !strings.Contains(err.Error(), "said nothing for 20ms") {
		t.Errorf("it ended with %v", err)
	}
}

// Whoever doesn't listen keeps nobody waiting, and is stopped like others.
func TestProgramDeaf(t *testing.T) {
	t.Parallel()
	r, stop := run(t, nil, sh("deaf", `echo '{"vote":"bar"}'; exec sleep 1000`), watcher{"other"})
	for range 2 {
		<-r.Votes()
	}
	g := vipgroup.Group{Name: "web", VIPs: []vipgroup.VIP{{Address: netip.MustParsePrefix("10.0.0.9/24")}}}
	for range 10_000 {
		r.Emit(plugin.Event{Kind: plugin.Taken, Group: g, Reason: strings.Repeat("x", 100)})
	}
	if got := text(<-r.Votes()); got != "plugin other: healthy" {
		t.Errorf("beside one who is deaf, the other said %q", got)
	}
	stop()
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}
