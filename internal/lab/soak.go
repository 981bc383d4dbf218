package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A soak does faults at random for a long time, one or two at once, and looks in the end
// for what leaked. Which faults hit whom follows from the seed alone; how many there is
// time for does not.
type soak struct {
	*driller
	random *rand.Rand
	// lasting is the node whose daemon and guard live as long as the soak: what leaks,
	// leaks there.
	lasting *node
	report  *SoakReport
}

// A SoakReport is what a soak found.
type SoakReport struct {
	Seed  uint64 `json:"seed"`
	Steps int    `json:"steps"`
	// Faults counts each fault.
	Faults map[string]int `json:"faults"`
	// GapWorstMS is the longest silence of a VIP in any step, DualWorstMS how long two nodes
	// had the same address.
	GapWorstMS  float64 `json:"gap_worst_ms"`
	DualWorstMS float64 `json:"dual_worst_ms"`
	// Usage is what the lasting processes used: "daemon", "guard" and "lab".
	Usage map[string]Growth `json:"usage"`
	// Wrong says what went wrong, and in which step.
	Wrong []string `json:"wrong"`
}

// Growth is what a process used at rest, after the first steps and in the end.
type Growth struct {
	Begin usage `json:"begin"`
	End   usage `json:"end"`
}

// A blow is one fault of a step.
type blow struct {
	fault, mend string
	victim      *node
	// after is the time since the blow before.
	after time.Duration
}

// Faults of a soak.
var (
	// lethal faults end the daemon or the guard of their victim, or what they run.
	lethal = []string{"upgrade", "stop", "kill", "kill-guard", "kill-both", "hang", "freeze", "foreign-key", "restart"}
	// network faults are between hosts. Two of them at once are a full cut, or near one.
	network = []string{"link-down", "cut", "one-way-in", "one-way-out", "deaf", "mute", "firewall", "firewall-in", "memory"}
	// alone are the faults beside which there may be no other: a node without any peer, and a
	// link that is cut one way while another's daemon and guard are dead (README: limits). A
	// flood leaves little time for anything else.
	alone = []string{"flood", "all-peers-dead", "one-way-in", "one-way-out", "twin", "twin-idle"}
	// voiceless faults keep a node from chatting, and those of unreleased leave addresses that
	// nobody released. Of both at once, two nodes that can't talk may claim the same address in
	// the same instant, until the first announcement by ARP.
	voiceless  = []string{"mute", "firewall", "firewall-in"}
	unreleased = []string{"freeze", "kill-both"}
	// unfit faults do nothing, or allow two owners.
	unfit = []string{"none", "split"}
)

// soak does faults at random, then takes the lab down to see what is left of it. ok says
// that nothing went wrong.
func (d *driller) soak(ctx context.Context, o Options) (ok bool, err error) {
	s := &soak{driller: d, random: rand.New(rand.NewPCG(o.Seed, 0)), lasting: d.nodes[len(d.nodes)-1],
		report: &SoakReport{Seed: o.Seed, Faults: map[string]int{}, Usage: map[string]Growth{}, Wrong: []string{}}}
	d.screen.say("lab: a soak of %v, seed %d", o.Soak, o.Seed)
	spaces, err := d.wire.namespaces()
	if err != nil {
		return false, err
	}
	if err := s.run(ctx, o.Soak); err != nil {
		return false, fmt.Errorf("a soak of seed %d, step %d: %w", o.Seed, s.report.Steps, err)
	}
	if err := d.close(); err != nil {
		return false, err
	}
	if there := left(spaces); there != "" {
		s.wrong(there)
	}
	d.screen.soaked(s.report)
	return len(s.report.Wrong) == 0, nil
}

// run soaks for a while; ctx ends it early, which is no verdict.
func (s *soak) run(ctx context.Context, length time.Duration) error {
	begin := now()
	var before map[string]usage
	for begin.since() < length || s.report.Steps < 2 {
		wrong, err := s.step(ctx, s.draw())
		if err != nil {
			return err
		}
		if wrong != "" {
			s.wrong(wrong)
			return nil // nothing can be built on it
		}
		if before == nil && begin.since() >= length/10 { // warm
			if before, err = s.usage(ctx); err != nil {
				return err
			}
		}
	}
	leaks, err := s.atRest(ctx, before, s.usage, restLimit)
	for _, leak := range leaks {
		s.wrong(leak)
	}
	return err
}

func (s *soak) wrong(what string) {
	s.report.Wrong = append(s.report.Wrong, fmt.Sprintf("step %d: %s", s.report.Steps, what))
	s.screen.say("    %s", what)
}

// draw draws the faults of a step.
func (s *soak) draw() []blow {
	first := s.drawBlow(func(b blow) bool { return true })
	if slices.Contains(alone, first.fault) || s.random.IntN(2) == 0 {
		return []blow{first}
	}
	second := s.drawBlow(func(b blow) bool {
		both := func(one, other []string) bool {
			return slices.Contains(one, first.fault) && slices.Contains(other, b.fault)
		}
		return b.victim != first.victim && !slices.Contains(alone, b.fault) &&
			!both(network, network) && !both(voiceless, unreleased) && !both(unreleased, voiceless)
	})
	second.after = time.Duration(s.random.IntN(1000)) * time.Millisecond
	return []blow{first, second}
}

// drawBlow draws until a fault may be.
func (s *soak) drawBlow(may func(blow) bool) blow {
	for {
		sc := drill[s.random.IntN(len(drill))]
		b := blow{fault: sc.faults[0], mend: sc.mend, victim: s.nodes[s.random.IntN(len(s.nodes))]}
		if b.mend == "" && len(sc.faults) > 1 {
			b.mend = sc.faults[1]
		}
		switch {
		case slices.Contains(unfit, b.fault):
		case b.victim == s.lasting && slices.Contains(lethal, b.fault):
		case b.victim != s.lasting && b.fault == "all-peers-dead":
		case may(b):
			return b
		}
	}
}

// step does faults, mends them, and judges the whole. Each step begins and ends settled; if
// this one doesn't, it says why.
func (s *soak) step(ctx context.Context, blows []blow) (wrong string, err error) {
	s.report.Steps++
	if err := s.mark(); err != nil {
		return "", err
	}
	s.census.begin()
	s.probe.begin()
	at := now()
	watch := time.Duration(0)
	var story []string
	for _, b := range blows {
		if err := Pause(ctx, b.after); err != nil {
			return "", err
		}
		story = append(story, b.fault+" "+b.victim.name)
		s.screen.doing(b.fault, b.victim.name)
		s.report.Faults[b.fault]++
		if err := s.strike(ctx, b, len(blows) == 1); err != nil {
			return "", err
		}
		watch = max(watch, s.times().of(b.fault).watch)
	}
	if err := s.look(ctx, watch); err != nil {
		return "", err
	}
	for _, b := range blows {
		if err := s.mend(ctx, b); err != nil {
			return "", err
		}
	}
	wrong, err = s.settle(ctx, nil, 0, s.see)
	if err != nil {
		return "", err
	}
	silence, late := s.probe.end()
	history, err := s.history()
	if err != nil {
		return "", err
	}
	gap, dual := time.Duration(0), overlap(history, at, now())
	for _, d := range silence {
		gap = max(gap, d)
	}
	s.screen.say("%4d %7.1f s  %-40s gap %7.1f ms, probe late %5.1f ms", s.report.Steps, at.since().Seconds(),
		strings.Join(story, ", "), Milliseconds(gap), Milliseconds(late))
	s.report.GapWorstMS = max(s.report.GapWorstMS, Milliseconds(gap))
	s.report.DualWorstMS = max(s.report.DualWorstMS, Milliseconds(dual))
	if doubles := s.census.end(); dual > 0 || doubles > 0 {
		s.wrong(fmt.Sprintf("two nodes had the same address for %.1f ms, two answered %d ARP requests%s", Milliseconds(dual), doubles, shared(history, at, now())))
	}
	return wrong, nil
}

// strike does a fault, where there is something to do it to: who holds what follows from
// times, which no seed repeats. alone says that nothing else is wrong.
func (s *soak) strike(ctx context.Context, b blow, alone bool) error {
	switch b.fault {
	case "meddle", "contest":
		if _, err := s.prey(b.victim); err != nil {
			return nil
		}
	case "move":
		if _, _, err := s.movable(b.victim); err != nil {
			return nil
		}
	}
	err := s.inflict(ctx, b.fault, b.victim)
	if errors.Is(err, errStarvedLab) || !alone && isRefusal(err) {
		s.screen.say("    %v", err)
		return nil
	}
	return err
}

// isRefusal says whether an order was refused, or may not have arrived, which another fault
// may be the reason for.
func isRefusal(err error) bool {
	var refused *ctlsocket.Error
	return errors.As(err, &refused) && (refused.Code == http.StatusConflict || refused.Code == http.StatusGatewayTimeout)
}

// mend undoes what a blow left. A drained node undrains itself, which no other fault can
// keep it from.
func (s *soak) mend(ctx context.Context, b blow) error {
	switch b.mend {
	case "":
		return nil
	case "undrain":
		return b.victim.do(ctx, ctlsocket.Undrain)
	}
	return s.inflict(ctx, b.mend, b.victim)
}

// table is the report for people.
func (r *SoakReport) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d steps of seed %d: gap at worst %.1f ms, two owners %.1f ms\n", r.Steps, r.Seed, r.GapWorstMS, r.DualWorstMS)
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(&out, "  %-14s %4d\n", name, r.Faults[name])
	}
	fmt.Fprintln(&out, "process   memory KB: first    last  threads: first  last  files: first  last  goroutines: first  last")
	for _, name := range slices.Sorted(maps.Keys(r.Usage)) {
		g := r.Usage[name]
		fmt.Fprintf(&out, "%-8s %17d %7d %15d %5d %13d %5d %18d %5d\n", name, g.Begin.MemoryKB, g.End.MemoryKB,
			g.Begin.Threads, g.End.Threads, g.Begin.Files, g.End.Files, g.Begin.Goroutines, g.End.Goroutines)
	}
	for _, w := range r.Wrong {
		fmt.Fprintln(&out, "NOT OK: "+w)
	}
	if len(r.Wrong) == 0 {
		fmt.Fprint(&out, "ok: every address was on one node after every step, never on two, and nothing leaked or was left")
	}
	return out.String()
}
