package lab

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A rollout is five daemons under traffic, and what is checked of whatever is done to them.
type rollout struct {
	*testing.T
	*driller
}

// without does something that may move only what a node has, nil for nothing. No address may
// be on two nodes, and no probe of what didn't move may be lost.
func (r rollout) without(what string, own []*node, do func() error) {
	r.Helper()
	check := func(err error) {
		r.Helper()
		if err != nil {
			r.Fatalf("%s: %v", what, err)
		}
	}
	before, err := r.tables()
	check(err)
	check(r.mark())
	r.census.begin()
	r.probe.focus(nil)
	r.probe.begin()
	at := now()
	check(do())
	wrong, err := r.settle(r.Context(), nil, 5*r.interval, nil)
	check(err)
	if wrong != "" {
		r.Fatalf("%s: %s", what, wrong)
	}
	end := now()
	history, err := r.history()
	check(err)
	for _, v := range stirred(history, at) {
		if !slices.ContainsFunc(own, func(n *node) bool { return slices.Contains(before[v], n) }) {
			r.Errorf("%s: %v came or went", what, v)
		}
	}
	if dual := overlap(history, at, end); dual > 0 || r.census.end() > 0 {
		r.Errorf("%s: an address was on two nodes%s", what, shared(history, at, end))
	}
	late := time.Duration(r.probe.late.Load())
	moved := stirred(history, at)
	for _, t := range r.probe.targets {
		if slices.Contains(moved, t.vip) {
			continue
		}
		if count := t.unanswered(end); count > 0 {
			r.Errorf("%s: %d probes of %v were lost", what, count, t.vip)
		}
	}
	r.Logf("%s: %v, %d addresses moved, the probe was %v late", what, end.sub(at).Round(time.Millisecond), len(moved), late)
}

// plan is the plan of a node by its own status.
func (r rollout) plan(n *node) ctlsocket.Plan {
	r.Helper()
	st, err := n.ask(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return st.Plan
}

// Rolling a version bump through five nodes under traffic: it spreads from any one of them,
// nothing that didn't change is touched, who was down and comes back with its old file goes
// along, two bumps at once are told apart from one, also by who was down then, and the secret
// can be changed meanwhile.
func TestPlansTravel(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	o := Options{Vippyd: path, Nodes: 5, Groups: perTick - 1, Stdout: &out, Stderr: &diag}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	defer steady(o.Nodes)()
	c, err := newCluster(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}()
	if len(c.vips) != perTick {
		t.Fatalf("%d VIPs are probed, so not each in every round", len(c.vips))
	}
	r := rollout{t, &driller{cluster: c, screen: newScreen(o)}}
	if wrong, err := c.settle(t.Context(), nil, 0, nil); err != nil || wrong != "" {
		t.Fatal(wrong, err)
	}
	n := c.nodes
	bump := func(at *node) func() error {
		return func() error {
			spread, err := c.bump(t.Context(), at)
			t.Logf("plan %d of %s is everywhere after %v", c.conf.version, at.name, spread.Round(time.Millisecond))
			return err
		}
	}
	r.without("a bump", nil, bump(n[0]))
	r.without("two nodes stop", n[3:], func() error {
		if err := n[3].stop(t.Context()); err != nil {
			return err
		}
		return n[4].stop(t.Context())
	})
	r.without("a bump while two are down", nil, bump(n[1]))
	r.without("they come back with the old file", nil, func() error {
		if err := c.start(n[3]); err != nil {
			return err
		}
		return c.start(n[4])
	})
	for _, n := range n[3:] {
		if p := r.plan(n); p.Version != c.conf.version || p.FileVersion >= p.Version || !strings.Contains(p.Note, "which is lower") || !strings.HasPrefix(p.From, "node") {
			t.Errorf("%s has %+v, want plan %d of a peer", n.name, p, c.conf.version)
		}
	}
	r.without("another program goes on where the file is old", nil, func() error { return c.upgrade(t.Context(), n[3]) })
	if p := r.plan(n[3]); p.Version != c.conf.version || !strings.HasPrefix(p.From, "node") {
		t.Errorf("%s has %+v, want plan %d of a peer", n[3].name, p, c.conf.version)
	}
	r.without("one of them is killed and comes back once more", n[4:], func() error {
		if err := n[4].proc.kill(); err != nil {
			return err
		}
		return c.start(n[4])
	})
	if p := r.plan(n[4]); p.Version != c.conf.version || p.From != "state_dir" {
		t.Errorf("%s has %+v, want plan %d that it kept", n[4].name, p, c.conf.version)
	}
	r.without("two nodes stop once more", n[3:], func() error {
		return errors.Join(n[3].stop(t.Context()), n[4].stop(t.Context()))
	})
	r.without("two bumps at once", nil, func() error { return c.clash(t.Context(), n[2]) })
	r.without("who was away comes back amidst them with the old file", nil, func() error {
		return errors.Join(c.start(n[3]), c.start(n[4]))
	})
	if err := c.agree(t.Context(), conflict); err != nil {
		t.Error(err)
	}
	for _, n := range n[3:] {
		if p := r.plan(n); p.Version != c.conf.version || p.FileVersion >= p.Version || !strings.HasPrefix(p.From, "node") {
			t.Errorf("%s has %+v, want one of the plans %d", n.name, p, c.conf.version)
		}
	}
	r.without("one bump over both", nil, bump(n[4]))
	for _, n := range n {
		if st, err := n.ask(t.Context()); err != nil || slices.ContainsFunc(st.Alarms, func(a ctlsocket.Alarm) bool { return a.Name == ctlsocket.AlarmPlanConflict }) {
			t.Errorf("%s: %v, alarms %v", n.name, err, st.Alarms)
		}
	}
	r.without("another secret", nil, func() error { return c.rekey(t.Context()) })
}
