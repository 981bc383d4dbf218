package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

const electionText = `
secret: correct horse battery staple
nodes: [a, b]
vips:
  - {name: cron, prefer: [a]}
  - {name: db, prefer: [a], plumb: false, addresses: [{interface: eth0, ip: 10.0.0.2/24}]}
  - {name: web, prefer: [a], addresses: [{interface: eth0, ip: 10.0.0.1/24}]}
`

// told is what somebody was told of a group, changes only.
type tenureLog struct {
	mu     sync.Mutex
	owner  []bool
	lines  int
	latest ctlsocket.Tenure
	ended  chan error
}

// follow asks a node for a group until the context ends.
func follow(ctx context.Context, n *fakeNode, group string) *tenureLog {
	synctest.Wait() // the socket, too, is served only when the loop has begun
	t := &tenureLog{ended: make(chan error, 1)}
	go func() {
		t.ended <- n.loop.Tenure(ctx, group, func(now ctlsocket.Tenure) error {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.lines, t.latest = t.lines+1, now
			if len(t.owner) == 0 || t.owner[len(t.owner)-1] != now.Owner {
				t.owner = append(t.owner, now.Owner)
			}
			if now.Owner != (now.RemainingMS > 0) {
				return errors.New("an owner without a grant, or a grant without an owner")
			}
			return nil
		})
	}()
	return t
}

func (t *tenureLog) get() ([]bool, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.owner), t.lines
}

// Groups with and without addresses go to one node, and from it when it is drained. Who
// follows them is told on both nodes, and never that both have one.
func TestTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", electionText), w.start(t, "b", electionText)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		groups := []string{"cron", "db", "web"}
		logs := map[string][2]*tenureLog{}
		for _, g := range groups {
			logs[g] = [2]*tenureLog{follow(ctx, a, g), follow(ctx, b, g)}
		}
		check := func(when string, wantA, wantB []bool) {
			t.Helper()
			for _, g := range groups {
				gotA, linesA := logs[g][0].get()
				gotB, linesB := logs[g][1].get()
				if !slices.Equal(gotA, wantA) || !slices.Equal(gotB, wantB) {
					t.Errorf("%s, %s: a was told %v, b %v, want %v and %v", when, g, gotA, gotB, wantA, wantB)
				}
				if least := int(time.Second / tenureEvery); linesA < least || linesB < least {
					t.Errorf("%s, %s: only %d and %d lines", when, g, linesA, linesB)
				}
			}
		}
		time.Sleep(10 * time.Second)
		check("at first", []bool{false, true}, []bool{false})
		if got := a.kernel.addresses(); !slices.Equal(got, []string{"10.0.0.1"}) {
			t.Errorf("a has %v", got)
		}
		for _, g := range a.loop.Status().Groups {
			if !g.Once() || g.Owner != "a" || !g.Held {
				t.Errorf("%s is of %q, held %v", g.Name, g.Owner, g.Held)
			}
		}

		if _, err := a.loop.Do(ctx, ctlsocket.Command{Verb: ctlsocket.Drain}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		check("drained", []bool{false, true, false}, []bool{false, true})

		// The end of the daemon ends it, after it was told that the group is gone.
		if err := b.end(); err != nil {
			t.Error(err)
		}
		for _, g := range groups {
			if err := <-logs[g][1].ended; !errors.Is(err, errStopping) {
				t.Errorf("%s: %v, want %v", g, err, errStopping)
			}
		}
		check("b stopped", []bool{false, true, false}, []bool{false, true, false})

		cancel()
		for _, g := range groups {
			if err := <-logs[g][0].ended; !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", g, err)
			}
		}
		synctest.Wait()
		if n := len(a.loop.tenants); n != 0 {
			t.Errorf("%d tenants are left behind", n)
		}
		if err := a.end(); err != nil {
			t.Error(err)
		}
	})
}

// A daemon that hangs says nothing more, and what it said last runs out with its grant.
func TestTenureOfAHungDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		web := follow(ctx, a, "web")
		time.Sleep(time.Second)
		synctest.Wait()
		if web.latest.RemainingMS <= tenureEvery.Milliseconds() || web.latest.RemainingMS > time.Second.Milliseconds() {
			t.Errorf("granted for %d ms", web.latest.RemainingMS)
		}
		awake := make(chan struct{})
		go func() {
			_ = a.loop.inLoop(context.Background(), func(time.Time) { time.Sleep(3 * time.Second) })
			close(awake)
		}()
		time.Sleep(2 * time.Second)
		if got, _ := web.get(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("while the loop hangs: %v", got)
		}
		<-awake
		cancel()
		<-web.ended
		if err := a.end(); err != nil {
			t.Error(err)
		}
	})
}

// An address that somebody deletes is not had for as long as it is gone; nor is a group
// that the plan has no more.
func TestTenureIsOfTheWholeGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.start(t, "a", soloText)
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		web := follow(ctx, a, "web")
		time.Sleep(time.Second)
		a.kernel.meddle(func() { a.kernel.refuse = errors.New("no buffer space") })
		a.kernel.drop()
		time.Sleep(time.Second)
		if got, _ := web.get(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("deleted, and the kernel refuses it: %v", got)
		}
		a.kernel.meddle(func() { a.kernel.refuse = nil })
		time.Sleep(10 * time.Second)
		if got, _ := web.get(); !slices.Equal(got, []bool{true, false, true}) {
			t.Errorf("repaired: %v", got)
		}
		a.setFile("secret: correct horse battery staple\nnodes: [a]\nversion: 1\nvips: [{name: other}]\n")
		a.reload <- struct{}{}
		time.Sleep(time.Second)
		if got, _ := web.get(); !slices.Equal(got, []bool{true, false, true, false}) {
			t.Errorf("not in the plan any more: %v", got)
		}
		cancel()
		<-web.ended
		if err := a.end(); err != nil {
			t.Error(err)
		}
	})
}

// Who reads too slowly to see a group go and come back is told that it went.
func TestTenureOfASlowReader(t *testing.T) {
	x := &tenant{group: "web", changed: make(chan struct{}, 1)}
	const now, until = time.Hour, time.Hour + time.Second
	// Each step is what happens before the next reading, and what that tells.
	for i, step := range []struct {
		had   []bool
		owner bool
	}{
		{nil, false},
		{[]bool{true}, true},
		{[]bool{false, true}, false},
		{nil, true},
		{nil, true},
		{[]bool{false, true, false, true}, false},
		{nil, true},
		{[]bool{false}, false},
		{[]bool{true, false}, false},
		{[]bool{true}, true},
	} {
		for _, owner := range step.had {
			x.set(owner, until)
		}
		select {
		case <-x.changed:
		default:
		}
		if got := x.get(now); got.Owner != step.owner || got.Owner != (got.RemainingMS > 0) {
			t.Errorf("step %d tells %+v, want owner %v", i, got, step.owner)
		}
		if soon := len(x.changed) > 0; soon != (x.owner && !step.owner) {
			t.Errorf("step %d is told on at once: %v", i, soon)
		}
	}
}
