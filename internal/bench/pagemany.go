package bench

import (
	"fmt"
	"slices"
	"strings"
)

// The part of the page about many addresses.

// moveTitles say what the moves are.
var moveTitles = map[string]string{
	" of 250":               "250 groups of one address (250 virtual router IDs)",
	" of 1000 in one group": "one group of 1,000 addresses (one virtual router ID)",
	" of 1000":              "1,000 groups of one address (keepalived has 255 virtual router IDs)",
}

func (p *page) moves() {
	if !slices.ContainsFunc(p.faults, func(f Fault) bool { return strings.HasSuffix(f.Name, moves[0].suffix) }) {
		return
	}
	p.say(`## Many addresses that move

The first host has all of them. What is compared is **not exactly once**: how long an address was in the kernel of
no host on the wire, or of two; **two owners** is the second part of it. **all answer**: from the
fault to the last probe without an answer; the client probes %d of the addresses, spread evenly.
All in ms, median / worst, the worst address counting.

`, mostAsked)
	for _, m := range moves {
		every, runs := 0.0, 0
		for _, f := range p.faults {
			if strings.HasSuffix(f.Name, m.suffix) && strings.TrimSuffix(f.Name, m.suffix) == stop {
				every, runs = f.EveryMS, max(runs, f.Run)
			}
		}
		if runs == 0 {
			continue
		}
		p.say("### %s\n\nEach of those is probed every %g ms.\n\n", moveTitles[m.suffix], every)
		p.say("| fault | system | runs | not exactly once | two owners | all answer |\n|---|---|---:|---:|---:|---:|\n")
		for _, t := range titles {
			for _, s := range Systems {
				all := p.of(t.name+m.suffix, s)
				if len(all) == 0 {
					continue
				}
				p.say("| %s | %s | %d | %s | %s | %s |\n", t.title, s, len(all), spread(all, Fault.Kernels),
					spread(all, func(f Fault) float64 { return f.DualMS }), spread(all, func(f Fault) float64 { return f.AllMS }))
			}
			for _, pair := range pairs {
				p.ratio(t.title+m.suffix, pair, p.of(t.name+m.suffix, pair[0]), p.of(t.name+m.suffix, pair[1]), Fault.Kernels)
			}
		}
		p.say("\n")
		p.astray(m)
	}
}

// astray tells of the clusters that came to nothing.
func (p *page) astray(m move) {
	for _, s := range Systems {
		if n := len(p.of(startOf+m.suffix, s)); n > 0 {
			p.say("Not counted: clusters of %s that had not all addresses on the first host %v after their start: %d.\n\n", s, patience, n)
		}
	}
}

// rest is what the systems use when nothing happens.
func (p *page) rest() {
	if len(p.wires) == 0 {
		return
	}
	p.say(`## %d groups at rest

One address in each, all on the first host; no probes; the systems one after the other, each
watched for %g s. CPU in percent of one core, from /proc/PID/stat; both processes of a host together
(keepalived's first process and its child, vippyd and its guard). Memory of the first host: RSS, and
PSS, in which memory that is shared is divided by those who share it. Packets and
bytes of all protocols, from all hosts.

| system | CPU of the owner %% | of the others %% | RSS MiB | PSS MiB | packets/s | bytes/s |
|---|---:|---:|---:|---:|---:|---:|
`, restGroups, p.about.RestS)
	type use struct{ owner, other, rss, pss float64 }
	uses := map[System]use{}
	for _, w := range p.wires {
		var u use
		others := map[string]float64{}
		for _, r := range p.rests {
			switch {
			case r.System != w.System:
			case r.Holder:
				u.owner, u.rss, u.pss = u.owner+r.CPU, u.rss+r.RSS/1024, u.pss+r.PSS/1024
			default:
				others[r.Host] += r.CPU
				u.other = max(u.other, others[r.Host])
			}
		}
		uses[w.System] = u
		p.say("| %s | %.2f | %.2f | %.1f | %.1f | %.0f | %.0f |\n", w.System, u.owner, u.other, u.rss, u.pss, w.Packets, w.Bytes)
	}
	p.say("\n")
	p.astray(resting)
	wire := func(s System) (out Wire) {
		for _, w := range p.wires {
			if w.System == s {
				out = w
			}
		}
		return out
	}
	for _, pair := range pairs {
		k, v := uses[pair[0]], uses[pair[1]]
		for _, c := range []struct {
			what string
			k, v float64
		}{
			{"CPU of the owner at rest in percent", k.owner, v.owner},
			{"CPU of the others at rest in percent", k.other, v.other},
			{"RSS in MiB", k.rss, v.rss},
			{"packets a second at rest", wire(pair[0]).Packets, wire(pair[1]).Packets},
			{"bytes a second at rest", wire(pair[0]).Bytes, wire(pair[1]).Bytes},
		} {
			if c.k > 0 && c.v > c.k {
				p.behind = append(p.behind, fmt.Sprintf("%s: %s with %s, %s with %s", c.what, number(c.v), pair[1], number(c.k), pair[0]))
			}
		}
	}
}

// lost lists what vippy doesn't win.
func (p *page) lost() {
	p.say("## Where keepalived is ahead\n\nBy the medians, each pair with times of the same kind:\n\n")
	for _, b := range p.behind {
		p.say("- %s\n", b)
	}
	if len(p.behind) == 0 {
		p.say("- nowhere\n")
	}
	p.say("\nWith times of different kinds (%s against %s):\n\n", VippyDefault, KeepalivedFast)
	p.behind = nil
	cross := [2]System{KeepalivedFast, VippyDefault}
	for _, t := range titles {
		p.ratio(t.title, cross, p.of(t.name, cross[0]), p.of(t.name, cross[1]), Fault.Without)
	}
	for _, b := range p.behind {
		p.say("- %s\n", b)
	}
	if len(p.behind) == 0 {
		p.say("- nowhere\n")
	}
}
