package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A short soak goes well, and finds nothing that leaks or is left.
func TestSoak(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Soak: 30 * time.Second, Seed: 7, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	var said struct {
		Soak SoakReport `json:"soak"`
		OK   bool       `json:"ok"`
	}
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !said.OK || said.Soak.Steps < 2 || said.Soak.DualWorstMS != 0 || len(said.Soak.Wrong) > 0 {
		t.Errorf("bad report: %+v", said)
	}
	for _, name := range []string{"daemon", "guard", "lab"} {
		if g := said.Soak.Usage[name]; g.Begin.Files == 0 || g.End.Files == 0 || g.End.MemoryKB == 0 {
			t.Errorf("it did not look at the %s: %+v", name, g)
		}
	}
	if left := leftovers(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The seed alone decides what is done, and only what the promises bear: no two owners, no
// end of the process that is looked at for leaks, no two faults that make a full cut.
func TestSoakDraws(t *testing.T) {
	draw := func(seed uint64) (all [][]blow) {
		c := &cluster{nodes: []*node{{name: "a"}, {name: "b"}, {name: "c"}}}
		s := &soak{driller: &driller{cluster: c}, random: rand.New(rand.NewPCG(seed, 0)), lasting: c.nodes[2]}
		for range 2000 {
			all = append(all, s.draw())
		}
		return all
	}
	names := func(all [][]blow) (out []string) {
		for _, blows := range all {
			for _, b := range blows {
				out = append(out, b.fault+" "+b.victim.name+" "+b.after.String())
			}
		}
		return out
	}
	all := draw(1)
	if !slices.Equal(names(all), names(draw(1))) {
		t.Error("the same seed draws other faults")
	}
	if slices.Equal(names(all), names(draw(2))) {
		t.Error("another seed draws the same faults")
	}
	drawn, pairs := map[string]bool{}, 0
	for _, blows := range all {
		cuts := 0
		for _, b := range blows {
			drawn[b.fault] = true
			if slices.Contains(network, b.fault) {
				cuts++
			}
			if b.victim.name == "c" && slices.Contains(lethal, b.fault) {
				t.Errorf("%s ends a process that is to last", b.fault)
			}
			if slices.Contains(alone, b.fault) && len(blows) > 1 {
				t.Errorf("%s is not alone", b.fault)
			}
		}
		if len(blows) == 2 {
			pairs++
			if blows[0].victim == blows[1].victim || cuts > 1 {
				t.Errorf("not at once: %v", names([][]blow{blows}))
			}
		}
	}
	if pairs == 0 {
		t.Error("never two at once")
	}
	for _, s := range drill {
		if f := s.faults[0]; drawn[f] == slices.Contains(unfit, f) {
			t.Errorf("%s is drawn: %v", f, drawn[f])
		}
	}
}

// Every name that a soak or a promise goes by is one of a fault.
func TestSoakAndPromisesKnowTheirFaults(t *testing.T) {
	for _, f := range slices.Concat(lethal, network, alone, voiceless, unreleased, unfit) {
		if !slices.Contains(FaultNames(), f) {
			t.Errorf("no fault is called %q", f)
		}
	}
	for _, f := range slices.Concat(FaultNames(), faultNames(majorityDrill)) {
		drilled.of(f)
	}
	defer func() {
		if recover() == nil {
			t.Error("something is promised about an unknown fault")
		}
	}()
	drilled.of("stopp")
}

// An order that is refused while another fault goes on is no fault; whatever else goes wrong
// with it is.
func TestRefusedOrders(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("node1: move: %w", &ctlsocket.Error{Code: http.StatusConflict, Message: "node2 is not heard"}), true},
		{fmt.Errorf("node1: drain: %w", &ctlsocket.Error{Code: http.StatusGatewayTimeout, Message: "no answer"}), true},
		{fmt.Errorf("node1: move: %w", &ctlsocket.Error{Code: http.StatusUnprocessableEntity, Message: "no such group"}), false},
		{fmt.Errorf("node1: drain: %w", &ctlsocket.NoAnswer{}), false},
	} {
		if got := isRefusal(tt.err); got != tt.want {
			t.Errorf("%v is a refusal: %v", tt.err, got)
		}
	}
}

// What grows more than comes and goes is called a leak, by its name.
func TestLeaks(t *testing.T) {
	begin := usage{MemoryKB: 10000, Threads: 8, Files: 20, Goroutines: 30}
	for _, tt := range []struct {
		name string
		grow func(*usage)
		want string
	}{
		{"nothing", func(u *usage) {}, ""},
		{"a little", func(u *usage) { u.Files++; u.Threads++; u.MemoryKB += 1000 }, ""},
		{"memory", func(u *usage) { u.MemoryKB += 20000 }, "memory"},
		{"threads", func(u *usage) { u.Threads = 40 }, "threads"},
		{"files", func(u *usage) { u.Files = 40 }, "files"},
		{"goroutines", func(u *usage) { u.Goroutines = 60 }, "goroutines"},
	} {
		end := begin
		tt.grow(&end)
		if got := (Growth{begin, end}).leaks(); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// What ends a moment later, as a plugin that has to be killed, is no leak.
func TestAtRest(t *testing.T) {
	little, much := usage{Files: 20, Goroutines: 30}, usage{Files: 26, Goroutines: 45}
	for _, tt := range []struct {
		ends  int // at that look
		limit time.Duration
		want  []string
	}{
		{1, 0, nil},
		{3, time.Hour, nil},
		{3, 0, []string{"the daemon leaks: files 20, then 26, goroutines 30, then 45"}},
	} {
		s := &soak{report: &SoakReport{Usage: map[string]Growth{}}}
		looks := 0
		got, err := s.atRest(t.Context(), map[string]usage{"daemon": little}, func(context.Context) (map[string]usage, error) {
			if looks++; looks < tt.ends {
				return map[string]usage{"daemon": much}, nil
			}
			return map[string]usage{"daemon": little}, nil
		}, tt.limit)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("what ends at look %d, within %v: %v, %v", tt.ends, tt.limit, got, err)
		}
	}
}

// Who is in a namespace of a lab is found, and gone when the lab is.
func TestLeft(t *testing.T) {
	c := bench(t)
	spaces, err := c.wire.namespaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(spaces) != 4 {
		t.Errorf("%d namespaces of two hosts, a client and a switch", len(spaces))
	}
	if got, want := living(spaces), []string{strconv.Itoa(os.Getpid())}; !slices.Equal(got, want) {
		t.Errorf("in them are %v, want this process, %v", got, want)
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if there := left(spaces); there != "" {
		t.Error(there)
	}
}

// What mends a fault touches its victim alone, unless nothing else may be wrong beside it: of
// two faults each is mended by itself.
func TestMendsKeepToTheirVictim(t *testing.T) {
	for _, sc := range drill {
		if strings.HasSuffix(sc.mend, "-all") && !slices.Contains(alone, sc.faults[0]) {
			t.Errorf("%s is mended by %s, which may mend another fault as well", sc.faults[0], sc.mend)
		}
	}
}
