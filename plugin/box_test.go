package plugin

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever plugins do, and however slowly the daemon listens: once it heard all that is
// queued, what it believes of each subject is what stands, and nothing else is kept.
func TestDaemonBelievesWhatStands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBox()
		log := slog.New(slog.DiscardHandler)
		names := rapid.SampledFrom([]string{"x", "y", "z"})
		hosts := map[string]*host{}
		believed := map[subject]Vote{}
		// The daemon takes what is offered, though the plugin may think better of it
		// in between.
		var offered Ballot
		offer := func() (ok bool) {
			b.putBack()
			offered, ok = b.next()
			return ok
		}
		take := func() {
			if offered.Source != "" {
				b.heard()
				believed[subject{offered.Source, offered.Vote.Group}] = offered.Vote
				offered = Ballot{}
			}
		}
		vote := rapid.Custom(func(t *rapid.T) Vote {
			return Vote{
				Group:   rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "group"),
				Bar:     rapid.Bool().Draw(t, "bar"),
				Penalty: rapid.IntRange(-1, 1).Draw(t, "penalty"),
				Reason:  rapid.SampledFrom([]string{"", "r"}).Draw(t, "reason"),
			}
		})
		// on does something with a plugin that there is.
		on := func(do func(t *rapid.T, h *host)) func(*rapid.T) {
			return func(t *rapid.T) {
				if h := hosts[names.Draw(t, "plugin")]; h != nil {
					do(t, h)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				name := names.Draw(t, "plugin")
				h := newHost(name, b, log, nil)
				if old := hosts[name]; old != nil {
					b.replace(old, h)
				} else {
					b.add(h)
				}
				hosts[name] = h
			},
			"remove": on(func(t *rapid.T, h *host) {
				b.remove(h)
				maps.DeleteFunc(hosts, func(_ string, o *host) bool { return o == h })
			}),
			"open": on(func(_ *rapid.T, h *host) { b.open(h) }),
			"end": on(func(t *rapid.T, h *host) {
				b.end(h, rapid.SliceOfNDistinct(vote, 0, 2, func(v Vote) string { return v.Group }).Draw(t, "ended"))
			}),
			"settle": on(func(_ *rapid.T, h *host) { b.settle(h) }),
			"vote": on(func(t *rapid.T, h *host) {
				b.vote(h, rapid.SliceOfN(vote, 1, 3).Draw(t, "votes"))
			}),
			"offer": func(*rapid.T) { offer() },
			"take":  func(*rapid.T) { take() },
		})
		take()
		for queued := len(b.queue); offer(); queued-- {
			if take(); queued == 0 {
				t.Fatal("the queue doesn't get shorter by being heard")
			}
		}

		stands := map[subject]Vote{}
		for h, v := range b.voters {
			for group, vote := range v.votes {
				stands[subject{h.source, group}] = vote
			}
			for group, vote := range v.ended {
				if last := v.votes[group]; vote.Bar || !last.Bar && vote.Penalty > last.Penalty {
					stands[subject{h.source, group}] = vote
				}
			}
		}
		sick := func(m map[subject]Vote) string {
			m = maps.Clone(m)
			maps.DeleteFunc(m, func(_ subject, v Vote) bool { return v.Healthy() })
			return fmt.Sprint(m)
		}
		if sick(believed) != sick(stands) {
			t.Fatalf("believed %v\nstands   %v", sick(believed), sick(stands))
		}
		for s := range b.said {
			if !b.stands(s) {
				t.Fatalf("%v is kept, though nobody votes on it", s)
			}
		}
		if len(b.queued) > 0 {
			t.Fatalf("kept as queued: %v", b.queued)
		}
	})
}

// What a plugin says while the daemon takes an earlier word of it comes in its order: two words
// may mean the same group, and the last one counts.
func TestDaemonHearsInOrder(t *testing.T) {
	b := newBox()
	h := newHost("x", b, slog.New(slog.DiscardHandler), nil)
	b.add(h)
	b.open(h)
	b.vote(h, []Vote{{Group: "web", Bar: true}})
	var heard []Vote
	offered, _ := b.next()
	b.vote(h, []Vote{{Group: "web"}, {Group: "7ef0e6f36bf8135d", Bar: true}})
	for ok := true; ok; offered, ok = b.next() {
		heard = append(heard, offered.Vote)
		b.heard()
	}
	if want := []Vote{{Group: "web", Bar: true}, {Group: "web"}, {Group: "7ef0e6f36bf8135d", Bar: true}}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}
