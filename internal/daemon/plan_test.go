package daemon

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

// bumped is planText with a version and more groups.
func bumped(version string, more ...string) string {
	return strings.Replace(planText, "nodes:", "version: "+version+"\nnodes:", 1) + strings.Join(more, "")
}

const (
	third = "  - {name: new, addresses: [{interface: eth0, ip: 10.0.0.3/24}]}\n"
	other = "  - {name: other, addresses: [{interface: eth1, ip: 10.1.0.4/24}]}\n"
)

func mustParse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("vippy.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPlansTravel: one node's file gets a higher version, and the other goes over to it, keeps
// it, and touches nothing that is in both; its own file loses and its status says so.
func TestPlansTravel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText+"interval: 0.09\n")
		time.Sleep(10 * time.Second)
		from := w.length()
		a.setFile(bumped("7", third, other))
		if _, err := a.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s := b.loop.Status()
		if s.Plan.Version != 7 || s.Plan.From != "a" || s.Plan.FileVersion != 0 || !strings.Contains(s.Plan.Note, "the file has version 0, which is lower") ||
			s.Plan.Digest != a.loop.Status().Plan.Digest {
			t.Fatalf("b's plan is %+v\n%s", s.Plan, b.log)
		}
		if i := w.find(from, " removes "); i >= 0 {
			t.Errorf("something was removed: %s", w.diary[i])
		}
		if got := append(a.kernel.addresses(), b.kernel.addresses()...); len(got) != 4 {
			t.Errorf("the nodes have %v", got)
		}
		if kept, ok, err := b.state.loadPlan(); !ok || err != nil || kept.Version != 7 || kept.Groups[kept.Find("other")].VIPs[0].Interface != "eth1" {
			t.Errorf("b keeps %v, %v", kept, err)
		}
		if c := b.loop.published.Load().config; c.Interval != 90*time.Millisecond {
			t.Errorf("b's own interval is %v now", c.Interval)
		}
		// The file is still what it was; then it has another version, still a lower one.
		for _, text := range []string{planText + "interval: 0.09\n", bumped("6") + "interval: 0.08\n"} {
			b.setFile(text)
			message, err := b.loop.Do(t.Context(), reloadCommand)
			if err != nil || !strings.Contains(message, "lower") || b.loop.Status().Plan.Version != 7 || b.loop.Status().Plan.From != "a" {
				t.Errorf("got %q, %v, and plan %+v", message, err, b.loop.Status().Plan)
			}
		}
		// And with a higher one it wins, here and there.
		b.setFile(bumped("8", third))
		if _, err := b.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		for _, n := range []*fakeNode{a, b} {
			if s := n.loop.Status(); s.Plan.Version != 8 || len(s.Groups) != 3 {
				t.Errorf("%s has plan %+v", n.name, s.Plan)
			}
		}
		if s := b.loop.Status().Plan; s.From != "file" || s.Note != unwitnessed {
			t.Errorf("b's plan is %+v", s)
		}
		// Whose file has other content, but not another version, is told to raise that; not so who
		// puts it right.
		for i, text := range []string{bumped("8"), bumped("8", third) + "interval: 0.09\n"} {
			a.setFile(text)
			message, err := a.loop.Do(t.Context(), reloadCommand)
			if err != nil || strings.Contains(message, "raise it to 9") != (i == 0) {
				t.Errorf("got %q, %v", message, err)
			}
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAPlanWithoutThisNode: it hands over and listens.
func TestAPlanWithoutThisNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		a.setFile(strings.Replace(bumped("3"), "[a, b]", "[a]", 1))
		if _, err := a.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if s := b.loop.Status(); s.Plan.Version != 3 || s.State.InactiveReason == nil || *s.State.InactiveReason != "not in plan 3" {
			t.Errorf("b: %+v, %+v", s.Plan, s.State)
		}
		if len(a.kernel.addresses()) != 2 || len(b.kernel.addresses()) != 0 {
			t.Errorf("a has %v, b %v", a.kernel.addresses(), b.kernel.addresses())
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAPlanThatCantBeKept: a full disk keeps nobody from going with the others.
func TestAPlanThatCantBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a := w.start(t, "a", bumped("2", third))
		b := w.start(t, "b", planText, func(n *fakeNode) {
			n.loop.savePlan = func(vipgroup.Plan) error { return errors.New("no space left on device") }
		})
		time.Sleep(10 * time.Second)
		if s := b.loop.Status().Plan; s.Version != 2 || !strings.Contains(s.Note, "no space left on device") {
			t.Errorf("b's plan is %+v\n%s", s, b.log)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestAPlanThatCantBeFollowed: what this host can't do is said, tried again, and touches
// nothing.
func TestAPlanThatCantBeFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		b.setPlugins(moody{}, moody{})
		from := w.length()
		a.setFile(bumped("2", third))
		if _, err := a.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3*offerAgain - time.Second)
		if s := b.loop.Status().Plan; s.Version != 0 {
			t.Errorf("b's plan is %+v", s)
		}
		if got := strings.Count(b.log.String(), "plan 2 of a is not followed"); got != 3 {
			t.Errorf("the log tells of %d tries, want 3\n%s", got, b.log)
		}
		if i := w.find(from, " removes "); i >= 0 {
			t.Errorf("something was removed: %s", w.diary[i])
		}
		b.setPlugins()
		time.Sleep(offerAgain + time.Second)
		if s := b.loop.Status().Plan; s.Version != 2 {
			t.Errorf("at last b's plan is %+v", s)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

const checksText = "checks:\n  disk: {command: \"true\"}\n  pg: {command: \"true\", groups: [db]}\n"

// without is bumped without the group that pg of checksText is for.
func without(version string) string {
	text, _, _ := strings.Cut(bumped(version), "  - {name: db")
	return text
}

func checkNames(c *config.Config) (names []string) {
	for _, k := range c.Checks {
		names = append(names, k.Name)
	}
	return names
}

// TestChecksOutliveAPlan: while the plan lacks a check's group the check rests, be that since
// the start, and with the group it is back.
func TestChecksOutliveAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", planText), w.start(t, "b", planText+checksText)
		time.Sleep(10 * time.Second)
		runs := func(text string, want ...string) {
			t.Helper()
			a.setFile(text)
			if _, err := a.loop.Do(t.Context(), reloadCommand); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			c := b.loop.published.Load().config
			got := checkNames(c)
			if !slices.Equal(got, want) || c.Plan.Version != a.loop.Status().Plan.Version {
				t.Errorf("by plan %d of %d, b has the checks %v, want %v", c.Plan.Version, a.loop.Status().Plan.Version, got, want)
			}
		}
		runs(without("2"), "disk")
		runs(bumped("3"), "disk", "pg")
		runs(without("4"), "disk")
		if err := b.end(); err != nil {
			t.Error(err)
		}
		b = w.start(t, "b", planText+checksText)
		time.Sleep(10 * time.Second)
		runs(without("5"), "disk")
		runs(bumped("6"), "disk", "pg")
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestChecksOutliveAnUpgrade: what goes on by a plan without a check's group knows the check,
// and reads the file again whatever it goes by then.
func TestChecksOutliveAnUpgrade(t *testing.T) {
	file := mustParse(t, planText+checksText)
	h := handover{Plan: mustParse(t, without("2")).Plan}
	c, rule, other := h.planned(file)
	if got := checkNames(c); !other || !slices.Equal(got, []string{"disk"}) || c.Plan.Version != 2 {
		t.Errorf("it goes on by plan %d with %v, the file's is another: %v", c.Plan.Version, got, other)
	}
	later := rule.File.With(file.Plan)
	if got := checkNames(later); !slices.Equal(got, []string{"disk", "pg"}) || later.Hash == file.Hash {
		t.Errorf("with the group it has %v, and takes the file for read: %v", got, later.Hash == file.Hash)
	}
}

// TestPlace: its own name for an address that a host knew, else the sender's
// if there is one of that name here, else the one on the subnet, else none.
func TestPlace(t *testing.T) {
	plan := func(interfaces ...string) vipgroup.Plan {
		p := vipgroup.Plan{Nodes: []string{"a"}}
		for i, name := range interfaces {
			addr := netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
			p.Groups = append(p.Groups, vipgroup.Group{VIPs: []vipgroup.VIP{{Address: netip.PrefixFrom(addr, 24), Interface: name}}})
		}
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	links := []hostLink{
		{"lo", []netip.Prefix{netip.MustParsePrefix("10.4.0.1/32")}},
		{"eth0", []netip.Prefix{netip.MustParsePrefix("10.0.0.9/8")}},
		{"eth1", []netip.Prefix{netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("10.3.0.9/24")}},
		{"bond0", nil},
	}
	sent := plan("bond0", "bond0", "bond9", "bond9", "bond9")
	got := place(sent, links, plan("lan"), plan("wan", "lan7"))
	if got.Digest() != sent.Digest() || sent.Groups[0].VIPs[0].Interface == "lan" {
		t.Error("it is another plan, or the one that was sent has changed")
	}
	for i, want := range []string{"lan", "lan7", "eth0", "eth1", "eth0"} {
		addr := netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
		if v := got.Groups[got.Find(addr.String())].VIPs[0]; v.Interface != want {
			t.Errorf("%s is on %q, want %q", v.Address, v.Interface, want)
		}
	}
	if got := place(sent, links[3:]); got.Groups[got.Find("10.2.0.1")].VIPs[0].Interface != "" {
		t.Error("an address without a place has one")
	}
}

// TestNoInterface: an address that has no interface here is barred, and the status says what
// to do.
func TestNoInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		far := "  - {name: far, addresses: [{interface: eth7, ip: 192.0.2.4/24}]}\n"
		a, b := w.start(t, "a", bumped("2", far)), w.start(t, "b", planText)
		time.Sleep(10 * time.Second)
		s := b.loop.Status()
		if s.Plan.Version != 2 || !strings.Contains(s.Plan.Note, "no interface for 192.0.2.4/24: name it in the file") {
			t.Errorf("b's plan is %+v", s.Plan)
		}
		i := slices.IndexFunc(s.Groups, func(g ctlsocket.Group) bool { return g.Name == "far" })
		if i < 0 || !strings.Contains(s.Groups[i].Reason, "barred here by link: no interface for 192.0.2.4/24") {
			t.Errorf("b doesn't bar it: %+v", s.Groups)
		}
		// The file names it, though its version is still lower.
		b.setFile(planText + strings.Replace(far, "eth7", "eth0", 1))
		if _, err := b.loop.Do(t.Context(), reloadCommand); err != nil {
			t.Fatal(err)
		}
		if s := b.loop.Status(); s.Plan.Version != 2 || strings.Contains(s.Plan.Note, "interface") {
			t.Errorf("then b's plan is %+v", s.Plan)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRecall: at the start the higher version rules, of the file or kept; what is kept and
// makes no sense is as good as none.
func TestRecall(t *testing.T) {
	links := func() ([]hostLink, error) { return nil, nil }
	for _, tt := range []struct {
		name, file, kept string
		from             string
		version          uint64
		groups           int
		fault            string
	}{
		{"nothing kept", bumped("5"), "", fromFile, 5, 2, ""},
		{"kept a lower one", bumped("5"), bumped("4", third), fromFile, 5, 2, ""},
		{"kept a higher one", bumped("5"), bumped("6", third), fromDisk, 6, 3, ""},
		{"kept the same version", bumped("5"), bumped("5", third), fromFile, 5, 2, ""},
		{"kept rubbish", bumped("5"), "rubbish", fromFile, 5, 2, "the plan that was kept"},
	} {
		s := &state{dir: t.TempDir()}
		switch {
		case tt.kept == "rubbish":
			if err := os.WriteFile(s.planFile(), []byte(tt.kept), 0o600); err != nil {
				t.Fatal(err)
			}
		case tt.kept != "":
			if err := s.savePlan(mustParse(t, tt.kept).Plan); err != nil {
				t.Fatal(err)
			}
		}
		file := mustParse(t, tt.file)
		c, r, err := s.recall(file, links)
		if c.Plan.Version != tt.version || len(c.Plan.Groups) != tt.groups || r.From != tt.from || r.File.Plan.Digest() != file.Plan.Digest() {
			t.Errorf("%s: plan %d with %d groups from %q", tt.name, c.Plan.Version, len(c.Plan.Groups), r.From)
		}
		if (err != nil) != (tt.fault != "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		for _, g := range c.Plan.Groups {
			if g.VIPs[0].Interface != "eth0" {
				t.Errorf("%s: %s is on %q", tt.name, g.Name, g.VIPs[0].Interface)
			}
		}
		if kept, ok, err := s.loadPlan(); !ok || err != nil || kept.Digest() != c.Plan.Digest() {
			t.Errorf("%s: afterwards plan %d is kept, %v, %v", tt.name, kept.Version, ok, err)
		}
	}
	if _, r, err := (&state{dir: "/nonexistent"}).recall(mustParse(t, planText), links); err == nil || r.Trouble == "" {
		t.Errorf("without a directory: %v, %+v", err, r)
	}
}

// TestPlanReport: what the file and the peers have otherwise is told line by line, with what a
// forecast needs.
func TestPlanReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w world
		a, b := w.start(t, "a", bumped("2", third)), w.start(t, "b", bumped("2", other))
		time.Sleep(10 * time.Second)
		a.setFile(bumped("1"))
		r := a.loop.Plan()
		was := func(changes []ctlsocket.PlanChange) (out []string) {
			for _, c := range changes {
				out = append(out, c.Subject+": "+c.Was+" -> "+c.Is)
			}
			return out
		}
		if got, want := was(r.File.Changes), []string{"version: 2 -> 1", "group new: 10.0.0.3/24 -> "}; !slices.Equal(got, want) || r.File.Version != 1 {
			t.Errorf("the file differs in %q, want %q", got, want)
		}
		if len(r.Peers) != 1 || !r.Peers[0].Known || r.Peers[0].State != ctlsocket.PeerLive ||
			!slices.Equal(was(r.Peers[0].Changes), []string{"group other:  -> 10.1.0.4/24", "group new: 10.0.0.3/24 -> "}) {
			t.Errorf("peers: %+v", r.Peers)
		}
		plan, err := vipgroup.Decode(r.Encoding)
		if err != nil || plan.Digest().String() != r.Plan.Digest || len(r.Lines) != 6 {
			t.Errorf("the plan is %s, %v, %v", r.Encoding, err, r.Lines)
		}
		if len(r.View.Eligible) != 2 || len(r.View.Holders) != 3 || len(r.View.Penalties) != 0 {
			t.Errorf("the view is %+v", r.View)
		}
		if s := a.loop.Status(); !slices.ContainsFunc(s.Alarms, func(x ctlsocket.Alarm) bool {
			return x.Name == ctlsocket.AlarmPlanConflict && strings.Contains(x.Detail, `of group other it says "10.1.0.4/24" and this node nothing`)
		}) {
			t.Errorf("alarms: %+v", s.Alarms)
		}
		a.setFile("nodes: [")
		if r := a.loop.Plan(); r.File.Fault == "" || len(r.File.Changes) > 0 {
			t.Errorf("a file with a fault is %+v", r.File)
		}
		for _, n := range []*fakeNode{a, b} {
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}
