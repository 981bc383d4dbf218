package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// What a plugin finds sick and well in turn is sick at once, and well after ever longer
// pauses; so however fast it changes its mind, what follows from it changes seldom.
func TestRelapses(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	b, now := newBallots(), time.Unix(1000, 0)
	begin := now
	var core tally
	sick := plugin.Ballot{Source: "plugin web", Vote: plugin.Vote{Bar: true, Reason: "refused"}}
	well := plugin.Ballot{Source: "plugin web"}
	var changes []string
	barred := false
	look := func() {
		if v := core.last(); v.Bar != barred {
			barred = v.Bar
			changes = append(changes, fmt.Sprintf("%v %v", now.Sub(begin), barred))
		}
	}
	// Every tenth of a second it changes its mind, for a minute.
	for range 300 {
		for _, ballot := range []plugin.Ballot{sick, well} {
			b.pluginVote(now, &core, plan, ballot)
			look()
			now = now.Add(50 * time.Millisecond)
			b.believe(now, &core, plan)
			look()
			now = now.Add(50 * time.Millisecond)
		}
	}
	// Three times it is believed at once; from then on it never is well for long enough.
	if got := strings.Join(changes, ", "); got != "0s true, 100ms false, 200ms true, 300ms false, 400ms true, 500ms false, 600ms true" {
		t.Errorf("what was believed changed at %s", got)
	}
	if r := core.last().Reason; !strings.HasPrefix(r, "refused (passing again; after 299 relapses this counts only in ") {
		t.Errorf("the reason is %q", r)
	}
	// It keeps being well.
	next := b.believe(now, &core, plan)
	if wait := next.Sub(now); wait <= 20*time.Second || wait > lastPause {
		t.Errorf("it is believed after %v", wait)
	}
	now = next
	if b.believe(now, &core, plan); core.last().Bar || len(b.plugins) != 0 {
		t.Errorf("it isn't believed by then: %+v", core.last())
	}
	// Somewhat later nothing of that is remembered.
	now = now.Add(2 * fallsApart)
	b.believe(now, &core, plan)
	if len(b.relapses) != 0 {
		t.Errorf("%d relapses are remembered", len(b.relapses))
	}
}

// Repeated bad news is no relapse, and neither is a change of the penalty.
func TestNoRelapse(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	b, now := newBallots(), time.Unix(1000, 0)
	var core tally
	for i := range 100 {
		b.pluginVote(now, &core, plan, plugin.Ballot{Source: "plugin load", Vote: plugin.Vote{Penalty: 1 + i%7, Reason: "busy"}})
		now = now.Add(time.Second)
	}
	b.pluginVote(now, &core, plan, plugin.Ballot{Source: "plugin load"})
	if v := core.last(); v.Penalty != 0 || len(b.plugins) != 0 {
		t.Errorf("the vote is %+v, want it withdrawn at once", v)
	}
}
