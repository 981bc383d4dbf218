package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// A script is a plugin whose Run is given.
type script struct {
	name string
	run  func(ctx context.Context, host plugin.Host) error
}

func (s script) Name() string                                    { return s.name }
func (s script) Run(ctx context.Context, host plugin.Host) error { return s.run(ctx, host) }

// A stage runs a Runner inside a synctest bubble.
type stage struct {
	t *testing.T
	*plugin.Runner
	stop func()
}

func newStage(t *testing.T, plugins ...plugin.Plugin) *stage {
	t.Helper()
	s := &stage{t: t, Runner: plugin.NewRunner(nil, nil)}
	s.set(plugins...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	s.stop = func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got error %v from the runner, want none", err)
		}
	}
	return s
}

func (s *stage) set(plugins ...plugin.Plugin) {
	s.t.Helper()
	if err := s.Set(plugins); err != nil {
		s.t.Fatal(err)
	}
}

// want receives what is to be heard now, to the last vote.
func (s *stage) want(want ...string) {
	s.t.Helper()
	var got []string
	for synctest.Wait(); ; synctest.Wait() {
		select {
		case b := <-s.Votes():
			got = append(got, text(b))
			continue
		default:
		}
		break
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		s.t.Errorf("heard %q\nwant  %q", got, want)
	}
}

// text renders a ballot as "source [group]: opinion".
func text(b plugin.Ballot) string {
	out := b.Source
	if b.Vote.Group != "" {
		out += " [" + b.Vote.Group + "]"
	}
	switch {
	case b.Vote.Bar:
		return out + ": barred: " + b.Vote.Reason
	case b.Vote.Penalty > 0:
		return fmt.Sprintf("%s: penalty %d: %s", out, b.Vote.Penalty, b.Vote.Reason)
	}
	return out + ": healthy"
}

func TestVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{})
		s := newStage(t, script{"check", func(ctx context.Context, host plugin.Host) error {
			<-turn
			host.Vote(plugin.Vote{Bar: true, Reason: "no disk"})
			<-turn
			host.Vote(plugin.Vote{Bar: true, Reason: "no disk"}) // no news
			host.Vote(plugin.Vote{Group: "web", Penalty: 5, Reason: "slow"}, plugin.Vote{Group: "db"})
			<-turn
			host.Vote(plugin.Vote{Reason: "all is well"}, plugin.Vote{Group: "web", Penalty: -1})
			<-ctx.Done()
			return ctx.Err()
		}})
		s.want()
		turn <- struct{}{}
		s.want("plugin check: barred: no disk")
		turn <- struct{}{}
		s.want("plugin check [web]: penalty 5: slow", "plugin check [db]: healthy")
		turn <- struct{}{}
		s.want("plugin check: healthy", "plugin check [web]: healthy")
		s.stop()
		s.want() // the end of all is no opinion
	})
}

// A plugin that votes faster than the daemon listens costs nothing but its own haste:
// the last vote counts, and others come between.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		flood := func(ctx context.Context, host plugin.Host) error {
			for i := range n {
				host.Vote(plugin.Vote{Penalty: i + 1}, plugin.Vote{Group: "web", Penalty: i + 1})
			}
			<-ctx.Done()
			return nil
		}
		s := newStage(t, script{"flood", flood}, script{"quiet", func(ctx context.Context, host plugin.Host) error {
			host.Vote(plugin.Vote{Bar: true, Reason: "once"})
			<-ctx.Done()
			return nil
		}})
		synctest.Wait()
		last := map[string]string{}
		for range 3 { // two subjects of the one, one of the other: no more is kept
			b := <-s.Votes()
			last[b.Source+b.Vote.Group] = text(b)
		}
		s.want()
		for who, want := range map[string]string{
			"plugin flood":    fmt.Sprintf("plugin flood: penalty %d: ", n),
			"plugin floodweb": fmt.Sprintf("plugin flood [web]: penalty %d: ", n),
			"plugin quiet":    "plugin quiet: barred: once",
		} {
			if last[who] != want {
				t.Errorf("got %q, want %q", last[who], want)
			}
		}
		s.stop()
	})
}

func TestTooManySubjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, script{"flood", func(ctx context.Context, host plugin.Host) error {
			for i := range 10_000 {
				host.Vote(plugin.Vote{Group: fmt.Sprint("g", i), Bar: true})
			}
			host.Vote(plugin.Vote{Group: "g0"}) // known, so it may change
			<-ctx.Done()
			return nil
		}})
		heard := 0
		for synctest.Wait(); ; synctest.Wait() {
			select {
			case b := <-s.Votes():
				heard++
				if b.Vote.Group == "g0" && b.Vote.Bar {
					t.Error("g0 was not withdrawn")
				}
				continue
			default:
			}
			break
		}
		if heard != 4000 {
			t.Errorf("heard of %d groups, want 4000", heard)
		}
		s.stop()
	})
}

func TestEnd(t *testing.T) {
	ends := map[string]struct {
		run  func() error
		want string
	}{
		"returns":         {func() error { return nil }, "ended"},
		"fails":           {func() error { return errors.New("no such file") }, "ended: no such file"},
		"panics":          {func() error { panic("index out of range") }, "panicked: index out of range"},
		"panics with nil": {func() error { panic(nil) }, "panicked: "},
		"exits":           {func() error { runtime.Goexit(); return nil }, "ended its goroutine"},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				starts := 0
				s := newStage(t, script{"tcpcheck", func(ctx context.Context, host plugin.Host) error {
					if starts++; starts == 1 {
						return end.run()
					}
					host.Vote(plugin.Vote{Group: "web"})
					<-ctx.Done()
					return nil
				}})
				synctest.Wait()
				b := <-s.Votes()
				if got := text(b); !strings.HasPrefix(got, "plugin tcpcheck: barred: "+end.want) {
					t.Errorf("heard %q, want it to begin with %q", got, "plugin tcpcheck: barred: "+end.want)
				}
				time.Sleep(2 * time.Second) // it starts again, and votes: that undoes the bar
				s.want("plugin tcpcheck [web]: healthy", "plugin tcpcheck: healthy")
				s.stop()
			})
		})
	}
}

// What a plugin thought of the node before it ended stands again after its return.
func TestEndCoversOwnVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		s := newStage(t, script{"check", func(ctx context.Context, host plugin.Host) error {
			if starts++; starts == 1 {
				host.Vote(plugin.Vote{Penalty: 7, Reason: "slow"})
				time.Sleep(time.Millisecond)
				return nil
			}
			<-ctx.Done()
			host.Vote(plugin.Vote{Bar: true, Reason: "leaving"}) // too late to be heard
			return nil
		}})
		s.want("plugin check: penalty 7: slow")
		time.Sleep(10 * time.Millisecond)
		s.want("plugin check: barred: ended")
		time.Sleep(1500 * time.Millisecond)
		s.want() // it runs, but has yet to prove it
		time.Sleep(time.Second)
		s.want("plugin check: penalty 7: slow")
		s.stop()
		s.want()
	})
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var starts []time.Duration
		s := newStage(t, script{"flapping", func(ctx context.Context, host plugin.Host) error {
			starts = append(starts, time.Since(begin))
			if len(starts) == 9 {
				time.Sleep(time.Hour) // long enough to be forgiven
			}
			return errors.New("again")
		}})
		time.Sleep(2 * time.Hour)
		s.stop()
		var got []float64
		for i := range starts[1:11] {
			got = append(got, (starts[i+1] - starts[i]).Seconds())
		}
		want := "[1 2 4 8 16 32 60 60 3601 2]"
		if fmt.Sprint(got) != want {
			t.Errorf("seconds between starts: %v, want %v", got, want)
		}
	})
}

func voter(name string, votes ...plugin.Vote) script {
	return script{name, func(ctx context.Context, host plugin.Host) error {
		host.Vote(votes...)
		<-ctx.Done()
		return nil
	}}
}

// A setting is a plugin that is comparable by what was configured.
type setting struct {
	name    string
	reason  string
	groups  []string
	started *int // the same for all of one test
}

func (s setting) Name() string { return s.name }

func (s setting) Run(ctx context.Context, host plugin.Host) error {
	*s.started++
	var votes []plugin.Vote
	for _, g := range s.groups {
		votes = append(votes, plugin.Vote{Group: g, Bar: true, Reason: s.reason})
	}
	host.Vote(votes...)
	<-ctx.Done()
	return nil
}

func TestSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := 0
		check := func(reason string, groups ...string) setting {
			return setting{"check", reason, groups, &started}
		}
		other := voter("other", plugin.Vote{Bar: true, Reason: "no"})
		s := newStage(t, check("sick", "a", "b"), other)
		s.want2("plugin check [a]: barred: sick", "plugin check [b]: barred: sick", "plugin other: barred: no")

		s.set(check("sick", "a", "b"))
		s.want("plugin other: healthy")
		if started != 1 {
			t.Errorf("the unchanged plugin was started %d times, want once", started)
		}
		s.set(check("ill", "b", "c"))
		s.want("plugin check [a]: healthy", "plugin check [b]: barred: ill", "plugin check [c]: barred: ill")
		s.set()
		s.want("plugin check [b]: healthy", "plugin check [c]: healthy")
		s.set(check("ill", "b"))
		s.want("plugin check [b]: barred: ill")
		s.set(script{"check", func(ctx context.Context, host plugin.Host) error {
			host.Vote(plugin.Vote{Group: "a", Bar: true, Reason: "first"})
			host.Vote(plugin.Vote{Group: "c", Bar: true, Reason: "second"}) // leaves the first alone
			<-ctx.Done()
			return nil
		}})
		s.want("plugin check [b]: healthy", "plugin check [a]: barred: first", "plugin check [c]: barred: second")
		s.stop()
	})
}

// want2 is want where plugins that run side by side may vote in any order.
func (s *stage) want2(want ...string) {
	s.t.Helper()
	synctest.Wait()
	missing := map[string]bool{}
	for _, w := range want {
		missing[w] = true
	}
	for range want {
		delete(missing, text(<-s.Votes()))
	}
	if len(missing) > 0 {
		s.t.Errorf("not heard: %v", missing)
	}
	s.want()
}

// The new plugin of a name starts only when the old one has returned, and until then,
// and until it votes, the old votes stand.
func TestReplaceSlowPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := script{"check", func(ctx context.Context, host plugin.Host) error {
			host.Vote(plugin.Vote{Bar: true, Reason: "old"})
			<-ctx.Done()
			time.Sleep(time.Minute)
			host.Vote(plugin.Vote{Bar: true, Reason: "last words"})
			return nil
		}}
		s := newStage(t, old)
		s.want("plugin check: barred: old")
		s.set(voter("check", plugin.Vote{}))
		time.Sleep(59 * time.Second)
		s.want()
		time.Sleep(2 * time.Second)
		s.want("plugin check: healthy")

		s.set(old)
		s.want("plugin check: barred: old")
		s.set()
		s.set(voter("check", plugin.Vote{Penalty: 1, Reason: "new"}))
		time.Sleep(59 * time.Second)
		s.want()
		time.Sleep(2 * time.Second)
		s.want("plugin check: penalty 1: new")
		s.stop()
	})
}

// A plugin that doesn't do as told can't keep the daemon from ending.
func TestStubbornPlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stubborn := func(context.Context, plugin.Host) error { <-release; return nil }
		polite := func(ctx context.Context, _ plugin.Host) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}
		r := plugin.NewRunner(nil, nil)
		err := r.Set([]plugin.Plugin{script{"one", stubborn}, script{"two", polite}, script{"three", stubborn}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		cancel()
		begin := time.Now()
		err = <-ended
		want := "plugin one: told to end, still runs after 2s\nplugin three: told to end, still runs after 2s"
		if err == nil || err.Error() != want || time.Since(begin) != 2*time.Second {
			t.Errorf("after %v: got error %v, want %s", time.Since(begin), err, want)
		}
		close(release)
	})
}

func TestSetRefuses(t *testing.T) {
	r := plugin.NewRunner(nil, nil)
	err := r.Set([]plugin.Plugin{voter("a"), voter(""), voter("a")})
	want := "plugins[1]: a plugin needs a name\nplugins[2]: the name \"a\" is used twice"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var prompt []string
		read := make(chan struct{})
		var late []plugin.Event
		s := newStage(t,
			script{"prompt", func(ctx context.Context, host plugin.Host) error {
				for {
					select {
					case e := <-host.Events():
						prompt = append(prompt, string(e.Kind)+" "+e.Reason)
					case <-ctx.Done():
						return nil
					}
				}
			}},
			script{"late", func(ctx context.Context, host plugin.Host) error {
				<-read
				for {
					select {
					case e := <-host.Events():
						late = append(late, e)
					case <-ctx.Done():
						return nil
					}
				}
			}},
		)
		synctest.Wait()
		const n = 200
		for i := range n {
			s.Emit(plugin.Event{Kind: plugin.NotEligible, Reason: fmt.Sprint(i)}) // never waits
			synctest.Wait()
		}
		close(read)
		synctest.Wait()
		s.Emit(plugin.Event{Kind: plugin.Stopping})
		synctest.Wait()
		s.stop()

		if len(prompt) != n+1 || prompt[0] != "not-eligible 0" || prompt[n] != "stopping " {
			t.Errorf("the prompt one heard %d events, %q", len(prompt), prompt)
		}
		lost := 0
		for _, e := range late {
			lost += e.Lost
		}
		if last := late[len(late)-2]; last.Reason != fmt.Sprint(n-1) || late[len(late)-1].Kind != plugin.Stopping {
			t.Errorf("the late one heard %q at last, want the newest", last.Reason)
		}
		if len(late)+lost != n+1 {
			t.Errorf("the late one heard %d and knows of %d lost, of %d", len(late), lost, n+1)
		}
	})
}

// Votes from another process stand until the plugin of that name votes here; those of a
// plugin that there is no more are void.
func TestInherit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{})
		r := plugin.NewRunner(nil, nil)
		if err := r.Set([]plugin.Plugin{script{"check", func(ctx context.Context, host plugin.Host) error {
			<-turn
			host.Vote(plugin.Vote{Group: "web", Penalty: 5, Reason: "slow"}, plugin.Vote{Group: "mail"})
			<-ctx.Done()
			return nil
		}}}); err != nil {
			t.Fatal(err)
		}
		var stand []string
		for _, b := range r.Inherit([]plugin.Ballot{
			{Source: "plugin check", Vote: plugin.Vote{Bar: true, Reason: "no disk"}},
			{Source: "plugin check", Vote: plugin.Vote{Group: "web", Penalty: 5, Reason: "slow"}},
			{Source: "plugin gone", Vote: plugin.Vote{Bar: true, Reason: "no disk"}},
		}) {
			stand = append(stand, text(b))
		}
		if got := strings.Join(stand, "; "); got != "plugin check: barred: no disk; plugin check [web]: penalty 5: slow" {
			t.Errorf("what stands is %q", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		s := &stage{t: t, Runner: r}
		s.want() // the daemon knows them
		if got := r.Reports()[0].Votes; len(got) != 2 {
			t.Errorf("the report has the votes %+v, want both", got)
		}
		turn <- struct{}{}
		s.want("plugin check: healthy", "plugin check [mail]: healthy")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// What a plugin's end stood for in another process ends as it would have there: where the
// plugin runs again, be it without a word.
func TestInheritAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, script{"check", func(_ context.Context, host plugin.Host) error {
			host.Vote(plugin.Vote{Group: "web", Penalty: 5})
			return errors.New("no table")
		}})
		var left []plugin.Ballot
		for range 2 {
			left = append(left, <-s.Votes())
		}
		s.stop()
		if left[0].Ended || !left[1].Ended {
			t.Errorf("got %+v, want a vote and what its end stands for", left)
		}

		r := plugin.NewRunner(nil, nil)
		if err := r.Set([]plugin.Plugin{script{"check", func(ctx context.Context, _ plugin.Host) error {
			<-ctx.Done()
			return nil
		}}}); err != nil {
			t.Fatal(err)
		}
		r.Inherit(left)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		next := &stage{t: t, Runner: r}
		next.want()
		if got := r.Reports()[0].Votes; len(got) != 2 {
			t.Errorf("the report has the votes %+v, want both", got)
		}
		time.Sleep(time.Second)
		next.want("plugin check: healthy")
		if got := r.Reports()[0].Votes; len(got) != 1 || got[0].Group != "web" {
			t.Errorf("the report has the votes %+v, want that on web", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Whoever runs is known to the runner: what happens because of its first vote, it hears.
func TestWhoRunsIsKnown(t *testing.T) {
	const n = 500
	r := plugin.NewRunner(nil, nil)
	known := make(chan int, n)
	var all []plugin.Plugin
	for i := range n {
		all = append(all, script{fmt.Sprint(i), func(ctx context.Context, _ plugin.Host) error {
			known <- len(r.Reports())
			<-ctx.Done()
			return nil
		}})
	}
	if err := r.Set(all); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for range n {
		if got := <-known; got != n {
			t.Fatalf("while one of %d runs, %d are known", n, got)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
