package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Result is what one fault did: an object of docs/reference.md "Lab".
type Result struct {
	Fault  string `json:"fault"`
	Victim string `json:"victim"`
	// GapMS is the longest silence over the victim's VIPs, in milliseconds as all here.
	GapMS float64 `json:"gap_ms"`
	// DualMS is how long two nodes had the same address.
	DualMS float64 `json:"dual_ms"`
	// MovedMS is from the fault to the new owner's add, null when nothing moved.
	MovedMS *float64 `json:"moved_ms"`
	// LateMS is how late the probe itself was: no gap below it means much.
	LateMS float64 `json:"late_ms"`
	// Before and After name the owner of each group, by the kernels.
	Before map[string]string `json:"before"`
	After  map[string]string `json:"after"`
	// HeldOnce: afterwards every VIP was on exactly one node, and the client was served.
	HeldOnce bool `json:"held_once"`
	// Rate is how many forged datagrams a second a flood sent.
	Rate int `json:"rate,omitempty"`
	// Note says what went wrong.
	Note string `json:"note,omitempty"`

	failed bool
	// meanwhile names the owners before the fault was mended, where that belongs to it.
	meanwhile map[string]string
}

// fail notes what went wrong.
func (r *Result) fail(why string) {
	r.failed = true
	if r.Note != "" {
		r.Note += "; "
	}
	r.Note += why
}

// failIf notes what went wrong, unless it is empty.
func (r *Result) failIf(wrong string) {
	if wrong != "" {
		r.fail(wrong)
	}
}

// Good says whether the fault went as vippy promises.
func (r *Result) Good() bool { return r.HeldOnce && !r.failed }

// A Summary is what the runs of one fault have in common.
type Summary struct {
	Runs int `json:"runs"`
	// HeldOnce counts the runs after which everything was held once.
	HeldOnce      int      `json:"held_once"`
	GapMedianMS   float64  `json:"gap_median_ms"`
	GapWorstMS    float64  `json:"gap_worst_ms"`
	MovedMedianMS *float64 `json:"moved_median_ms"`
	MovedWorstMS  *float64 `json:"moved_worst_ms"`
	DualWorstMS   float64  `json:"dual_worst_ms"`
	LateWorstMS   float64  `json:"late_worst_ms"`
	// Bounds are what is promised at these times; null without the noise floor, which the
	// fault none measures.
	Bounds *Bounds `json:"bounds"`
}

// Bounds are limits of a Summary, in milliseconds.
type Bounds struct {
	GapMedianMS float64 `json:"gap_median_ms"`
	GapWorstMS  float64 `json:"gap_worst_ms"`
	// MovedWorstMS is null where nothing is promised.
	MovedWorstMS *float64 `json:"moved_worst_ms"`
	// Kept says that the summary is within them.
	Kept bool `json:"kept"`
}

// judge sets the bounds, which stand on the summary of none.
func (s *Summary) judge(b bounds, none Summary) {
	s.Bounds = &Bounds{GapMedianMS: none.GapMedianMS + Milliseconds(b.median), GapWorstMS: none.GapWorstMS + Milliseconds(b.worst)}
	if b.moved > 0 {
		limit := Milliseconds(b.moved)
		s.Bounds.MovedWorstMS = &limit
	}
	s.Bounds.Kept = s.over() == ""
}

// over names the bounds that are exceeded.
func (s *Summary) over() string {
	var over []string
	note := func(what string, ms, limit float64) {
		if ms > limit {
			over = append(over, fmt.Sprintf("%s over %.1f", what, limit))
		}
	}
	note("gap median", s.GapMedianMS, s.Bounds.GapMedianMS)
	note("gap worst", s.GapWorstMS, s.Bounds.GapWorstMS)
	if s.MovedWorstMS != nil && s.Bounds.MovedWorstMS != nil {
		note("moved", *s.MovedWorstMS, *s.Bounds.MovedWorstMS)
	}
	return strings.Join(over, ", ")
}

// summarize groups results by fault and holds them against the bounds at the times.
func summarize(results []Result, t times) map[string]Summary {
	out := map[string]Summary{}
	for _, name := range slices.Sorted(slices.Values(FaultNames())) {
		var gaps, moved []float64
		var s Summary
		for _, r := range results {
			if r.Fault != name {
				continue
			}
			s.Runs++
			if r.HeldOnce {
				s.HeldOnce++
			}
			gaps = append(gaps, r.GapMS)
			if r.MovedMS != nil {
				moved = append(moved, *r.MovedMS)
			}
			s.DualWorstMS = max(s.DualWorstMS, r.DualMS)
			s.LateWorstMS = max(s.LateWorstMS, r.LateMS)
		}
		if s.Runs == 0 {
			continue
		}
		s.GapMedianMS, s.GapWorstMS = Median(gaps), slices.Max(gaps)
		if len(moved) > 0 {
			m, w := Median(moved), slices.Max(moved)
			s.MovedMedianMS, s.MovedWorstMS = &m, &w
		}
		out[name] = s
	}
	if none, ok := out["none"]; ok {
		for name, s := range out {
			s.judge(t.of(name).bounds, none)
			out[name] = s
		}
	}
	return out
}

// Median of an unsorted list; of two in the middle, their mean.
func Median(values []float64) float64 {
	v := slices.Clone(values)
	slices.SortFunc(v, cmp.Compare[float64])
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// verdict says whether every result is good; none at all is not.
func verdict(results []Result) bool {
	return len(results) > 0 && !slices.ContainsFunc(results, func(r Result) bool { return !r.Good() })
}

// Milliseconds rounds to a microsecond.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// The tables for people.

const resultHead = "fault          victim        gap ms     moved ms  two owners     late ms  held once"

func (r *Result) row() string {
	return fmt.Sprintf("%-14s %-8s %11.1f %12s %11.1f %11.1f  %s", r.Fault, r.Victim, r.GapMS, optional(r.MovedMS), r.DualMS, r.LateMS, yes(r.HeldOnce))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "NO"
}

func optional(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *ms)
}

// summaryTable is the end of a drill.
func summaryTable(results []Result, t times) string {
	var out strings.Builder
	fmt.Fprintln(&out, "fault          runs  gap ms: median    worst  moved ms: median    worst  two owners  late ms  held once  bounds")
	sums := summarize(results, t)
	for _, name := range FaultNames() {
		s, ok := sums[name]
		if !ok {
			continue
		}
		kept := "-"
		if s.Bounds != nil {
			kept = cmp.Or(s.over(), "ok")
		}
		fmt.Fprintf(&out, "%-14s %4d %15.1f %8.1f %17s %8s %11.1f %8.1f  %9s  %s\n", name, s.Runs, s.GapMedianMS, s.GapWorstMS,
			optional(s.MovedMedianMS), optional(s.MovedWorstMS), s.DualWorstMS, s.LateWorstMS, fmt.Sprintf("%d of %d", s.HeldOnce, s.Runs), kept)
	}
	return out.String()
}

// line writes v as one line of JSON.
func line(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic("lab: plain values must encode: " + err.Error())
	}
	return string(text) + "\n"
}
