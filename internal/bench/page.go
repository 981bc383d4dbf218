package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vippy-ha/vippy/internal/lab"
)

// titles say what a fault is.
var titles = []struct{ name, title string }{
	{"none", "nothing happens"},
	{stop, "ordered stop"},
	{"return", "the old owner returns"},
	{"kill", "SIGKILL of the first process"},
	{"kill-all", "SIGKILL of all processes"},
	{"hang", "SIGSTOP of the process that works"},
	{"freeze", "SIGSTOP of all processes"},
	{"link-down", "carrier lost"},
	{"link-up", "carrier returns"},
	{cut, "host lost (cut off silently)"},
	{heal, "healed cut"},
}

// pairs are what is compared: defaults with defaults, short times with short times.
var pairs = [][2]System{{KeepalivedSlow, VippyDefault}, {KeepalivedFast, VippyFast}}

// Page writes the page of the records: the same bytes for the same records.
func Page(records []Record) (string, error) {
	if len(records) == 0 || records[0].About == nil {
		return "", errors.New("bench: the records don't begin with what they are about")
	}
	p := &page{about: *records[0].About}
	for _, r := range records {
		switch {
		case r.Fault != nil:
			p.faults = append(p.faults, *r.Fault)
		case r.Rest != nil:
			p.rests = append(p.rests, *r.Rest)
		case r.Wire != nil:
			p.wires = append(p.wires, *r.Wire)
		}
	}
	p.head()
	p.owners()
	p.parts()
	p.heals()
	p.moves()
	p.rest()
	p.lost()
	return p.String(), nil
}

// A page is the text so far and what it is made of.
type page struct {
	strings.Builder
	about  About
	faults []Fault
	rests  []Rest
	wires  []Wire
	// behind lists the comparisons that vippy doesn't win.
	behind []string
}

func (p *page) say(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// of returns the records of a fault and a system.
func (p *page) of(name string, s System) (out []Fault) {
	for _, f := range p.faults {
		if f.Name == name && f.System == s {
			out = append(out, f)
		}
	}
	return out
}

func (p *page) head() {
	a := p.about
	p.say(`# Side by side with keepalived

This page is made from [its raw records](benchmarks.jsonl); a test checks that the
two agree. Nothing on it was not measured.

- Sources: commit %[2]s, built with %[3]s, on %[4]s. Command: %[1]s.
- Machine: Linux %[5]s, %[6]d cores (%[7]s). Keepalived: %[8]s.
- Runs of each fault with each system, the systems in turn: %[9]d. Seed of the random moments: %[10]d.

`, "`"+a.Command+"`", "`"+a.Commit+"`", a.Go, a.Date, a.Kernel, a.Cores, a.CPU, a.Keepalived, a.Runs, a.Seed)
	p.say("Three hosts and a client on a bridge, in network namespaces. The first host has the address, the\nothers stand by; it gets the faults. Four systems:\n\n")
	for _, s := range Systems {
		p.say("- **%s**: %s\n", s, s.about())
	}
	p.say(`
Keepalived speaks VRRP version 3, with the priorities 150, 100 and 50 of the samples that come with it, and
its defaults otherwise; vippy prefers the hosts in the same order. All programs run at the
priority (nice -15) that the unit of vippy gives it. The client probes a single address every
quarter of a millisecond (many in turn: the tables say how often), through its kernel's ordinary
neighbour table, which nobody flushes in a measurement. A service on each host answers on
whatever address its kernel has.

- **gap**: the client's longest time without an answer, 0 when every probe was answered. One
  lost probe of a single address counts as 0.5 ms.
- **two owners**: how long two hosts on the wire had the address in their kernels, by the kernels' own
  events, stamped with CLOCK_MONOTONIC. What the kernel of a host has that is cut off is not
  counted, for nobody can see it.
- A fault that doesn't end is watched for %g s (a heal for %g s); **≥** marks what was still so
  then and would have gone on.

`, p.about.WatchS, p.about.HealS)
}

// owners is the main table: gap and two owners together.
func (p *page) owners() {
	p.say("## Time without exactly one owner\n\nGap plus two owners in ms: median / worst. The ratio is that of the medians.\n\n")
	p.pairHead("fault")
	for _, t := range titles {
		p.pairRow(t.title, t.name, Fault.Without)
	}
	p.say("\n")
}

func (p *page) pairHead(first string) {
	p.say("| %s |", first)
	for _, pair := range pairs {
		p.say(" %s | %s | ratio |", pair[0], pair[1])
	}
	p.say("\n|---|%s\n", strings.Repeat("---:|---:|---:|", len(pairs)))
}

// pairRow compares one figure of a fault.
func (p *page) pairRow(title, name string, value func(Fault) float64) {
	p.say("| %s |", title)
	for _, pair := range pairs {
		ka, vi := p.of(name, pair[0]), p.of(name, pair[1])
		p.say(" %s | %s | %s |", spread(ka, value), spread(vi, value), p.ratio(title, pair, ka, vi, value))
	}
	p.say("\n")
}

// spread is the median and the worst of a figure.
func spread(all []Fault, value func(Fault) float64) string {
	if len(all) == 0 {
		return "–"
	}
	values, open := figures(all, value)
	mark := func(is bool) string {
		if is {
			return "≥ "
		}
		return ""
	}
	return fmt.Sprintf("%s%s / %s%s", mark(2*open > len(all)), number(lab.Median(values)), mark(open > 0), number(slices.Max(values)))
}

// figures are all values of a figure, and how many of the watches ended before the fault did.
func figures(all []Fault, value func(Fault) float64) (values []float64, open int) {
	for _, f := range all {
		values = append(values, value(f))
		if f.Open {
			open++
		}
	}
	return values, open
}

// ratio is how many times longer keepalived's median is, and notes where that is less than
// once.
func (p *page) ratio(title string, pair [2]System, ka, vi []Fault, value func(Fault) float64) string {
	if len(ka) == 0 || len(vi) == 0 {
		return "–"
	}
	a, open := figures(ka, value)
	b, _ := figures(vi, value)
	k, v := lab.Median(a), lab.Median(b)
	if v > k {
		p.behind = append(p.behind, fmt.Sprintf("%s: %s ms with %s, %s ms with %s", title, number(v), pair[1], number(k), pair[0]))
	}
	switch {
	case k == v:
		return "1"
	case v == 0:
		return "∞"
	case 2*open > len(ka):
		return "≥ " + number(k/v)
	}
	return number(k / v)
}

// parts shows what the main table is the sum of, and what the kernels alone say.
func (p *page) parts() {
	p.medians("What these are the sum of, as medians in ms: gap + two owners.", func(f Fault) [2]float64 { return [2]float64{f.GapMS, f.DualMS} })
	p.medians("The same by the kernels' tables alone, which tell microseconds apart, but not whom the client\nfinds: no owner + two owners.",
		func(f Fault) [2]float64 { return [2]float64{f.NoneMS, f.DualMS} })
}

// medians is a table of two figures for each fault and system.
func (p *page) medians(title string, of func(Fault) [2]float64) {
	p.say("%s\n\n| fault |", title)
	for _, s := range Systems {
		p.say(" %s |", s)
	}
	p.say("\n|---|%s\n", strings.Repeat("---:|", len(Systems)))
	for _, t := range titles {
		p.say("| %s |", t.title)
		for _, s := range Systems {
			all := p.of(t.name, s)
			if len(all) == 0 {
				p.say(" – |")
				continue
			}
			first, _ := figures(all, func(f Fault) float64 { return of(f)[0] })
			second, _ := figures(all, func(f Fault) float64 { return of(f)[1] })
			p.say(" %s + %s |", number(lab.Median(first)), number(lab.Median(second)))
		}
		p.say("\n")
	}
	p.say("\n")
}

// darkFrom is the gap from which a client counts as left in the dark, in ms.
const darkFrom = 1000

func (p *page) heals() {
	p.say("## Healed cuts\n\nThe first host is cut off, another takes the address, and the cut heals at a random moment.\n\n")
	p.say("| system | heals | client dark over 1 s | longest gap ms | two owners ms: median / worst |\n|---|---:|---:|---:|---:|\n")
	for _, s := range Systems {
		all := p.of(heal, s)
		if len(all) == 0 {
			continue
		}
		dark, mark, longest := 0, "", 0.0
		for _, f := range all {
			if f.GapMS > darkFrom {
				dark++
			}
			if longest = max(longest, f.GapMS); longest == f.GapMS && f.Open {
				mark = "≥ "
			} else if longest == f.GapMS {
				mark = ""
			}
		}
		p.say("| %s | %d | %d | %s%s | %s |\n", s, len(all), dark, mark, number(longest), spread(all, func(f Fault) float64 { return f.DualMS }))
	}
	p.say("\n")
}

// number writes three digits that count, or whole numbers.
func number(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 0.1:
		return fmt.Sprintf("%.3f", f)
	case f < 1:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
