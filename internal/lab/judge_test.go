package lab

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/internal/config"
)

const ms = instant(time.Millisecond)

func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name string
		// answers has a letter for each probe, 1 ms apart from 1 ms on: '.' answered,
		// 'l' answered too late, 'x' not.
		answers string
		end     instant
		want    time.Duration
	}{
		{"all answered", "......", 6 * ms, time.Millisecond},
		{"three lost", "..xxx..", 7 * ms, 4 * time.Millisecond},
		{"two runs", ".x..xx.x", 8 * ms, 3 * time.Millisecond},
		{"lost from the start", "xx...", 5 * ms, 3 * time.Millisecond},
		{"lost to the end", "...xx", 5 * ms, 2 * time.Millisecond},
		{"too late is lost", ".ll.", 4 * ms, 3 * time.Millisecond},
		{"after the end", "..xxxx", 3 * ms, time.Millisecond},
		{"no probe at all", "", 9 * ms, 9 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRecord(16)
			for i := range tt.answers {
				r.send(instant(i+1) * ms)
			}
			for i := len(tt.answers) - 1; i >= 0; i-- { // out of order
				switch tt.answers[i] {
				case '.':
					r.answer(int64(i), r.at(int64(i)).add(answerLimit))
				case 'l':
					r.answer(int64(i), r.at(int64(i)).add(answerLimit+1))
				}
			}
			if got := r.silence(0, 0, tt.end); got != tt.want {
				t.Errorf("silence of %q is %v, want %v", tt.answers, got, tt.want)
			}
		})
	}
}

func TestAnswersToNoProbe(t *testing.T) {
	r := newRecord(4)
	for range 6 {
		r.send(0)
	}
	for num, want := range map[int64]bool{-1: false, 1: false, 2: true, 5: true, 6: false, 1 << 40: false} {
		if got := r.answer(num, 0); got != want {
			t.Errorf("of 6 probes and room for 4, the answer to %d counts: %v, want %v", num, got, want)
		}
	}
}

// A watch sees only its own probes; one that outlasts the record judges what is left.
func TestSilenceOfAWatch(t *testing.T) {
	r := newRecord(8)
	for i := range 20 {
		if num := r.send(instant(i) * ms); i != 15 && i != 16 {
			r.answer(num, instant(i)*ms)
		}
	}
	if got := r.silence(17, 17*ms, 19*ms); got != time.Millisecond {
		t.Errorf("after the loss: %v", got)
	}
	if got := r.silence(13, 13*ms, 19*ms); got != 3*time.Millisecond {
		t.Errorf("over the loss: %v", got)
	}
	if got := r.silence(0, 12*ms, 19*ms); got != 3*time.Millisecond {
		t.Errorf("with forgotten probes: %v", got)
	}
}

var vip1, vip2 = netip.MustParseAddr("10.99.1.1"), netip.MustParseAddr("10.99.1.2")

func TestOverlap(t *testing.T) {
	come := func(node byte, at instant) change { return change{node, vip1, true, at * ms, (at - 5) * ms} }
	go_ := func(node byte, at instant) change { return change{node, vip1, false, at * ms, (at - 5) * ms} }
	for _, tt := range []struct {
		name     string
		kernel   []change
		stamps   []change
		from, to instant
		want     time.Duration
	}{
		{"a clean move", []change{come(1, 0), go_(1, 10), come(2, 11)}, nil, 0, 99, 0},
		{"the taker is early", []change{come(1, 0), come(2, 8), go_(1, 10)}, nil, 0, 99, 2 * time.Millisecond},
		{"nobody lets go", []change{come(1, 0), come(2, 8)}, nil, 0, 20, 12 * time.Millisecond},
		{"before the window", []change{come(1, 0), come(2, 8), go_(1, 10)}, nil, 10, 99, 0},
		{"half in the window", []change{come(1, 0), come(2, 8), go_(1, 10)}, nil, 9, 99, time.Millisecond},
		{"three nodes", []change{come(1, 0), come(2, 1), come(3, 2), go_(2, 4), go_(1, 9)}, nil, 0, 99, 7 * time.Millisecond},
		{"the same node twice", []change{come(1, 0), come(1, 2), go_(1, 4), go_(1, 5)}, nil, 0, 99, 0},
		{"other addresses", []change{come(1, 0), {2, vip2, true, 2 * ms, 0}}, nil, 0, 99, 0},
		{"the lab heard of the removal late, the daemon's stamp tells",
			[]change{come(1, 0), come(2, 11), go_(1, 14)}, []change{go_(1, 10), come(2, 12)}, 0, 99, 0},
		{"the daemon's stamp of the removal is late, the kernel's event tells",
			[]change{come(1, 0), go_(1, 10), come(2, 11)}, []change{go_(1, 13)}, 0, 99, 0},
		{"the lab heard of the addition late",
			[]change{come(1, 0), go_(1, 10), come(2, 14)}, []change{come(2, 9)}, 0, 99, time.Millisecond},
		{"deleted by somebody else, heard of late, and back with a stamp",
			[]change{come(1, 0), go_(1, 14), come(1, 14), come(2, 20)}, []change{come(1, 11)}, 0, 25, 5 * time.Millisecond},
		{"a stamp of another time", []change{come(1, 0), come(2, 1000), go_(1, 1002)}, []change{go_(1, 600)}, 0, 9999, 2 * time.Millisecond},
		{"a daemon that says what would hide it", []change{come(1, 0), come(2, 10), go_(1, 40)}, []change{go_(1, 9)}, 0, 99, 30 * time.Millisecond},
		{"the lab itself stood still, and got to both late",
			[]change{come(1, 0), {2, vip1, true, 61 * ms, 30 * ms}, {1, vip1, false, 61 * ms, 30 * ms}}, []change{go_(1, 39), come(2, 42)}, 0, 99, 0},
		{"a stamp of what the kernel never saw", []change{come(1, 0), come(2, 8), go_(1, 10)}, []change{come(3, 5), go_(2, 9)}, 0, 99, 2 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := overlap(holds(refine(tt.kernel, tt.stamps)), tt.from*ms, tt.to*ms); got != tt.want {
				t.Errorf("overlap %v, want %v", got, tt.want)
			}
		})
	}
}

// Who shared an address is named, and nobody who did not.
func TestShared(t *testing.T) {
	all := []hold{{1, vip1, 0, 10 * ms}, {2, vip1, 8 * ms, forever}, {3, vip2, 0, forever}}
	if got, want := shared(all, 5*ms, 99*ms), "; 10.99.1.1 on nodes 1 and 2 from 3ms on for 2ms"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := shared(all, 10*ms, 99*ms); got != "" {
		t.Errorf("after it: %q", got)
	}
}

// A stamp serves one change only: an address that comes and goes twice within the reach of
// its stamps keeps its order.
func TestRefineUsesEachStampOnce(t *testing.T) {
	kernel := []change{{1, vip1, true, 10, 0}, {1, vip1, false, 20, 0}, {1, vip1, true, 30, 0}, {1, vip1, false, 40, 0}}
	stamps := []change{{1, vip1, true, 9, 0}, {1, vip1, false, 19, 0}, {1, vip1, true, 29, 0}, {1, vip1, false, 39, 0}}
	if diff := cmp.Diff(stamps, refine(kernel, stamps), cmp.AllowUnexported(change{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Whatever happens, an overlap is no longer than the window and doesn't depend on the
// order in which kernels are asked.
func TestOverlapProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change {
			return change{node: rapid.ByteRange(1, 3).Draw(t, "node"), addr: vip1, present: rapid.Bool().Draw(t, "present"), at: instant(rapid.IntRange(0, 1000).Draw(t, "at"))}
		}), 0, 20).Draw(t, "changes")
		slices.SortFunc(changes, func(a, b change) int { return int(a.at - b.at) })
		from := instant(rapid.IntRange(0, 1000).Draw(t, "from"))
		to := from + instant(rapid.IntRange(0, 1000).Draw(t, "length"))
		got := overlap(holds(changes), from, to)
		if got < 0 || got > to.sub(from) {
			t.Fatalf("overlap %v in a window of %v", got, to.sub(from))
		}
		var byNode []change
		for node := byte(3); node > 0; node-- {
			for _, c := range changes {
				if c.node == node {
					byNode = append(byNode, c)
				}
			}
		}
		if again := overlap(holds(byNode), from, to); again != got {
			t.Fatalf("overlap %v, asked in another order %v", got, again)
		}
	})
}

func TestTaken(t *testing.T) {
	all := []hold{{1, vip1, 0, 10}, {2, vip1, 2, 5}, {2, vip1, 12, forever}, {2, vip2, 15, forever}, {3, vip2, 11, 14}}
	for _, tt := range []struct {
		name   string
		movers map[netip.Addr]byte
		want   time.Duration
		moved  bool
	}{
		{"one", map[netip.Addr]byte{vip1: 2}, 2, true},
		{"the last of two counts", map[netip.Addr]byte{vip1: 2, vip2: 2}, 5, true},
		{"to nobody", map[netip.Addr]byte{vip1: 3}, 0, false},
		{"none", nil, 0, false},
	} {
		if got, moved := taken(all, tt.movers, 10); got != tt.want || moved != tt.moved {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, moved, tt.want, tt.moved)
		}
	}
}

func TestParseStamp(t *testing.T) {
	for _, tt := range []struct {
		line string
		want change
		ok   bool
	}{
		{`time=2026-01-02T03:04:05.000Z level=DEBUG msg="address added" addr=10.99.1.1/32 link=eth0 at=123456789`, change{3, vip1, true, 123456789, 0}, true},
		{`time=2026-01-02T03:04:05.000Z level=DEBUG msg="address removed" node=node3 addr=10.99.1.2/32 link=eth0 at=5`, change{3, vip2, false, 5, 0}, true},
		{`level=DEBUG msg="address removed" at=7 addr=10.99.1.2`, change{3, vip2, false, 7, 0}, true},
		{`level=DEBUG msg="address added" addr=10.99.1.1/32 link=eth0`, change{}, false},
		{`level=DEBUG msg="address added" addr=nonsense at=5`, change{}, false},
		{`level=INFO msg="took it" addr=10.99.1.1/32 at=5`, change{}, false},
		{``, change{}, false},
	} {
		if got, ok := parseStamp(tt.line, 3); got != tt.want || ok != tt.ok {
			t.Errorf("%s\n got %+v, %v; want %+v, %v", tt.line, got, ok, tt.want, tt.ok)
		}
	}
}

func TestStampReaderWaitsForTheEndOfALine(t *testing.T) {
	r := stampReader{path: filepath.Join(t.TempDir(), "log"), node: 1}
	write := func(text string) int {
		f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		got, err := r.read()
		if err != nil {
			t.Fatal(err)
		}
		return len(got)
	}
	if n := write("level=DEBUG msg=\"address added\" addr=10.99.1.1/32 at=12"); n != 0 {
		t.Errorf("half a line gave %d stamps", n)
	}
	if n := write("34\nlevel=INFO msg=x\n"); n != 1 || r.stamps[0].at != 1234 {
		t.Errorf("the whole line gave %+v", r.stamps)
	}
}

func TestVerdict(t *testing.T) {
	good, once := Result{Fault: "stop", HeldOnce: true}, Result{Fault: "stop"}
	twice := good
	twice.fail("two nodes had the same address")
	for _, tt := range []struct {
		name    string
		results []Result
		want    bool
	}{
		{"good", []Result{good, good}, true},
		{"not held once", []Result{good, once}, false},
		{"held twice", []Result{twice, good}, false},
		{"nothing was done", nil, false},
	} {
		if got := verdict(tt.results); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The JSON has the fields of docs/reference.md "Lab", spelled so.
func TestResultJSON(t *testing.T) {
	moved := 12.5
	r := Result{Fault: "stop", Victim: "node1", GapMS: 2, DualMS: 0, MovedMS: &moved, LateMS: 0.5,
		Before: map[string]string{"home": "node1"}, After: map[string]string{"home": "node2"}, HeldOnce: true}
	want := `{"fault":"stop","victim":"node1","gap_ms":2,"dual_ms":0,"moved_ms":12.5,"late_ms":0.5,` +
		`"before":{"home":"node1"},"after":{"home":"node2"},"held_once":true}` + "\n"
	if got := line(r); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestSummarize(t *testing.T) {
	a, b := 3.0, 5.0
	got := summarize([]Result{
		{Fault: "stop", GapMS: 9, MovedMS: &a, LateMS: 1, HeldOnce: true},
		{Fault: "none", GapMS: 1, HeldOnce: true},
		{Fault: "stop", GapMS: 1, MovedMS: &b, DualMS: 2},
		{Fault: "stop", GapMS: 3, LateMS: 4, HeldOnce: true},
	}, drilled)
	mid := 4.0
	want := map[string]Summary{
		"none": {Runs: 1, HeldOnce: 1, GapMedianMS: 1, GapWorstMS: 1, Bounds: &Bounds{GapMedianMS: 3, GapWorstMS: 11, Kept: true}},
		"stop": {Runs: 3, HeldOnce: 2, GapMedianMS: 3, GapWorstMS: 9, MovedMedianMS: &mid, MovedWorstMS: &b, DualWorstMS: 2, LateWorstMS: 4,
			Bounds: &Bounds{GapMedianMS: 3, GapWorstMS: 11, Kept: true}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Bounds stand on the noise floor of the same run, and are not guessed without one.
func TestBounds(t *testing.T) {
	moved := 51.0
	kill := Result{Fault: "kill", GapMS: 14, MovedMS: &moved}
	if s := summarize([]Result{kill}, drilled)["kill"]; s.Bounds != nil {
		t.Errorf("without a noise floor: %+v", s.Bounds)
	}
	if s := summarize([]Result{kill, {Fault: "none", GapMS: 4}}, drilled)["kill"]; s.Bounds.Kept || s.over() != "moved over 50.0" {
		t.Errorf("the gap is within and the move is late: %q, %+v", s.over(), s.Bounds)
	}
	moved = 49
	if s := summarize([]Result{kill, {Fault: "none", GapMS: 3}}, drilled)["kill"]; s.Bounds.Kept || s.over() != "gap median over 13.0" {
		t.Errorf("the gap is too long: %q, %+v", s.over(), s.Bounds)
	}
}

// The drill is that of docs/reference.md "Lab", in its order.
func TestFaultNames(t *testing.T) {
	want := []string{"none", "stop", "return", "drain", "undrain", "move", "kill", "kill-guard", "kill-both", "hang", "wake", "link-down", "link-up",
		"cut", "heal", "split", "one-way-in", "one-way-out", "starve", "freeze", "thaw", "meddle", "contest", "foreign-key", "reload",
		"upgrade", "bump", "clash", "rekey", "deaf", "mute", "firewall", "firewall-in", "memory", "flood", "restart", "twin", "twin-idle", "all-peers-dead", "service", "plugins"}
	if diff := cmp.Diff(want, FaultNames()); diff != "" {
		t.Error(diff)
	}
}

// What the lab writes is a config that vippyd takes.
func TestConfigLoads(t *testing.T) {
	dir := t.TempDir()
	nodes := []string{"node1", "node2", "node3"}
	groups := layout(nodes, 300)
	if err := writeConfig(dir, settings{service: true, hostile: true, secret: newSecret(), version: 7, interval: 20 * time.Millisecond, stale: 150 * time.Millisecond,
		mature: time.Second, partition: single, voters: append([]string{voterName}, nodes...), peers: []netip.Addr{netip.MustParseAddr("10.99.0.1")}, notify: notifyAll()}, nodes, groups, netip.MustParseAddr("10.99.0.9")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(configPath(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v (%v), want 0600", info.Mode(), err)
	}
	cfg, err := config.Load(configPath(dir), "node2")
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Plan.Groups) != 300 || cfg.Plan.Version != 7 || cfg.Interval != 20*time.Millisecond || cfg.Stale != 150*time.Millisecond || cfg.Management != socketPath(dir) {
		t.Errorf("loaded %d groups, interval %v, stale %v, socket %s", len(cfg.Plan.Groups), cfg.Interval, cfg.Stale, cfg.Management)
	}
	if n := cfg.Notify; len(n) != 2 || !n[0].ArpCache || n[1].Network != subnet || n[1].Interface != linkName {
		t.Errorf("notify is %+v", n)
	}
	pair, home := cfg.Plan.Find("pair"), cfg.Plan.Find("home")
	if pair < 0 || len(cfg.Plan.Groups[pair].VIPs) != 2 {
		t.Error("no group of two addresses")
	}
	if home < 0 || !slices.Equal(cfg.Plan.Groups[home].Prefer, []string{"node1"}) {
		t.Error("no group with a preferred node")
	}
	for _, v := range vipsOf(groups) {
		if !isVIP(v) {
			t.Errorf("%v is not taken for a VIP", v)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"one node":       {Nodes: 1},
		"too many nodes": {Nodes: 33},
		"groups":         {Groups: 1001},
		"runs":           {Runs: -1},
		"fault":          {Faults: []string{"stop", "fire"}},
		"interval":       {Interval: -1},
	} {
		if ok, err := Run(t.Context(), o); ok || err == nil {
			t.Errorf("%s: %v, %v; want an error", name, ok, err)
		}
	}
}

// What a killed lab left behind is removed; what a living one uses, and what isn't ours, stays.
func TestSweep(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	alive, err := newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(os.TempDir(), "vippy-lab-dead")
	file := filepath.Join(os.TempDir(), "vippy-lab-file")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	there := func(path string) bool { _, err := os.Lstat(path); return err == nil }
	if there(dead) || !there(alive.path) || !there(next.path) || !there(file) {
		t.Errorf("dead one there: %v, living ones there: %v %v, foreign file there: %v", there(dead), there(alive.path), there(next.path), there(file))
	}
	for _, w := range []*workdir{alive, next} {
		if err := w.close(); err != nil || there(w.path) {
			t.Errorf("close: %v, still there: %v", err, there(w.path))
		}
	}
}
