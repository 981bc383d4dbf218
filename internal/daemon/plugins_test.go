package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// asker is a plugin that votes on what the status says once it has a group.
type asker struct{}

func (asker) Name() string { return "asker" }

func (asker) Run(ctx context.Context, host plugin.Host) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-host.Events():
			if e.Kind != plugin.Taken {
				continue
			}
			s, err := host.Status(ctx)
			if err != nil {
				return err
			}
			for _, g := range s.Groups {
				if g.Key == e.Group.Key.String() && g.Owner == s.Node && g.Held && s.Eligible {
					host.Vote(plugin.Vote{Group: g.Name, Penalty: 3, Reason: "asked"})
				}
			}
		}
	}
}

// A plugin is told what happens, knows the status of that moment, and the status tells of
// the plugin.
func TestPluginKnowsTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		n := w.start(t, "a", soloText, func(n *fakeNode) { n.setPlugins(asker{}) })
		time.Sleep(10 * time.Second)
		s := n.loop.Status()
		if len(s.Plugins) != 1 {
			t.Fatalf("the status tells of plugins %+v", s.Plugins)
		}
		p := s.Plugins[0]
		if p.Name != "asker" || !p.Running || !p.Voted || len(p.Votes) != len(s.Groups) || p.Votes[0].Penalty != 3 || p.Votes[0].Reason != "asked" {
			t.Errorf("the status tells of %+v", p)
		}
		if err := n.end(); err != nil {
			t.Error(err)
		}
	})
}

// TestVotesNameGroups: people see a group's name, also where a vote has its key.
func TestVotesNameGroups(t *testing.T) {
	plan := mustParse(t, planText).Plan
	votes := []plugin.Vote{{Group: plan.Groups[plan.Find("web")].Key.String(), Bar: true}, {Group: "gone", Bar: true}, {Bar: true}}
	var got []string
	for _, v := range renderPlugin(plugin.Report{Votes: votes}, plan).Votes {
		got = append(got, v.Group)
	}
	if want := []string{"web", "gone", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
