package daemon

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
)

// tally is a core that only counts votes.
type tally []cluster.Vote

func (t *tally) Vote(_ time.Time, v cluster.Vote) { *t = append(*t, v) }

func (t *tally) last() cluster.Vote {
	if len(*t) == 0 {
		return cluster.Vote{}
	}
	return (*t)[len(*t)-1]
}

func TestARefusedGroupIsTriedAgainAfterEverLongerPauses(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1", "10.0.0.2")
	g := plan.Groups[0]
	failed := []netplumb.Failure{{VIP: g.VIPs[0], Err: errors.New("plumb: operation not permitted")}}
	b, now := newBallots(), time.Unix(0, 0)
	var core tally
	for _, want := range []time.Duration{firstRetry, 2 * firstRetry, 4 * firstRetry, 8 * firstRetry} {
		b.judgeFailures(now, &core, plan.Groups, failed)
		if v := core.last(); !v.Bar || v.Source != sourceKernel || *v.Group != g.Key || v.Reason != "plumb: operation not permitted" {
			t.Fatalf("the vote is %+v", v)
		}
		b.judgeFailures(now, &core, plan.Groups, failed) // a repeated report changes nothing
		next := b.expire(now, &core)
		if got := next.Sub(now); got != want {
			t.Fatalf("tried again after %v, want %v", got, want)
		}
		now = next
		b.expire(now, &core)
		if v := core.last(); v.Bar || *v.Group != g.Key {
			t.Fatalf("after the pause the vote is %+v, want it withdrawn", v)
		}
	}
	b.expire(now.Add(2*lastRetry), &core)
	b.judgeFailures(now, &core, plan.Groups, failed)
	if got := b.expire(now, &core).Sub(now); got != firstRetry {
		t.Errorf("after a long peace the pause is %v, want %v", got, firstRetry)
	}
}

func TestLinksBarTheirGroups(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	up := netplumb.Link{Name: "eth0", Exists: true, Up: true, Carrier: true}
	tests := []struct {
		name   string
		link   netplumb.Link
		reason string // "" for no bar
	}{
		{"up", up, ""},
		{"another link's trouble", netplumb.Link{Name: "eth1"}, ""},
		{"missing", netplumb.Link{Name: "eth0"}, "eth0 does not exist"},
		{"the host's own", netplumb.Link{Name: "eth1", Exists: true, Up: true, Carrier: true, Own: netip.MustParseAddr("10.0.0.1")},
			"10.0.0.1 is what this host itself goes by on eth1: take it out of vips"},
		{"an alternative name", netplumb.Link{Name: "eth0", AliasOf: "enp3s0"}, "eth0 is another name of enp3s0: write enp3s0"},
		{"down", netplumb.Link{Name: "eth0", Exists: true}, "eth0 is down"},
		{"no ARP", netplumb.Link{Name: "eth0", Exists: true, Up: true, Carrier: true, Deaf: errors.New("operation not permitted (needs CAP_NET_RAW)")},
			"eth0: cannot ask for addresses: operation not permitted (needs CAP_NET_RAW)"},
		{"no carrier", netplumb.Link{Name: "eth0", Exists: true, Up: true}, "eth0 has no carrier"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, now := newBallots(), time.Unix(0, 0)
			var core tally
			b.judgeLinks(now, &core, plan.Groups, []netplumb.Link{tt.link})
			if v := core.last(); v.Bar != (tt.reason != "") || v.Reason != tt.reason {
				t.Errorf("the vote is %+v, want reason %q", v, tt.reason)
			}
			if v := core.last(); v.Bar && !v.Unable {
				t.Error("on a dead link a holder must give up, successor or not")
			}
			b.judgeLinks(now, &core, plan.Groups, []netplumb.Link{up})
			if v := core.last(); v.Bar || len(b.own) != 0 {
				t.Errorf("with the link back the vote is %+v", v)
			}
		})
	}
}

func TestPluginVotes(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	key := plan.Groups[0].Key
	b, now := newBallots(), time.Unix(0, 0)
	var core tally
	vote := func(v plugin.Vote) { b.pluginVote(now, &core, plan, plugin.Ballot{Source: "plugin x", Vote: v}) }

	vote(plugin.Vote{Bar: true, Reason: "disk full"})
	if v := core.last(); v.Group != nil || !v.Bar || v.Reason != "disk full" || v.Source != "plugin x" {
		t.Errorf("a vote on the node came as %+v", v)
	}
	vote(plugin.Vote{Group: "10.0.0.1", Penalty: 5, Reason: "slow"})
	if v := core.last(); v.Group == nil || *v.Group != key || v.Penalty != 5 {
		t.Errorf("a vote on a group came as %+v", v)
	}
	before := len(core)
	vote(plugin.Vote{Group: "10.0.0.9", Bar: true, Reason: "later"})
	if len(core) != before {
		t.Errorf("a vote on an unknown group came as %+v", core.last())
	}

	// A core that starts over hears what stands, and a plan that has the group brings
	// the vote that waited for it.
	var anew tally
	b.replay(now, &anew, plan)
	if len(anew) != 2 {
		t.Errorf("replayed %+v, want two votes", anew)
	}
	next := testPlan(t, 2, "10.0.0.1", "10.0.0.9")
	anew = nil
	b.replay(now, &anew, next)
	if len(anew) != 3 {
		t.Errorf("replayed %+v for the new plan, want three votes", anew)
	}
	vote(plugin.Vote{})
	if v := core.last(); v.Bar || v.Group != nil {
		t.Errorf("a healthy vote came as %+v", v)
	}
	anew = nil
	b.replay(now, &anew, plan)
	if len(anew) != 1 {
		t.Errorf("after the withdrawal replayed %+v, want one vote", anew)
	}
}

func TestForgetDropsVotesOnGroupsThatAreGone(t *testing.T) {
	old, next := testPlan(t, 1, "10.0.0.1"), testPlan(t, 2, "10.0.0.2")
	b, now := newBallots(), time.Unix(0, 0)
	var core tally
	b.judgeLinks(now, &core, old.Groups, []netplumb.Link{{Name: "eth0"}})
	b.forget(next)
	if got := b.standing(next); len(got) != 0 {
		t.Errorf("still standing: %+v", got)
	}
}

// With when_all_fail: drop a plugin's bar is strict, what stands at a reload too; the
// daemon's own votes have their own rules.
func TestStrictVotes(t *testing.T) {
	plan := testPlan(t, 1, "10.0.0.1")
	b, now := newBallots(), time.Unix(0, 0)
	var core tally
	b.pluginVote(now, &core, plan, plugin.Ballot{Source: "plugin web", Vote: plugin.Vote{Bar: true, Reason: "refused"}})
	if v := core.last(); !v.Bar || v.Strict {
		t.Errorf("the vote is %+v", v)
	}
	b.beStrict(now, &core, plan, true)
	if v := core.last(); !v.Bar || !v.Strict || v.Source != "plugin web" {
		t.Errorf("after the reload the vote is %+v", v)
	}
	b.bar(now, &core, sourceKernel, plan.Groups[0].Key, "no")
	if v := core.last(); !v.Bar || v.Strict {
		t.Errorf("the daemon's own vote is %+v", v)
	}
	b.beStrict(now, &core, plan, true)
	b.beStrict(now, &core, plan, false)
	if n := len(core); n != 5 || core[3].Strict || core[4].Strict {
		t.Errorf("back again there are %d votes, %+v", n, core)
	}
}
