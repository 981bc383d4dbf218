// Package bench owns the comparison with keepalived: the same faults, on the same stage and
// under the same eyes (internal/lab), for both, the raw records of what was seen, and
// the page that is made of them.
//
// It leaves alone how either of them works, and asks neither: who has an address is read from the
// kernels, who is served from the client's answers.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"github.com/vippy-ha/vippy/internal/lab"
)

// Options say what to measure.
type Options struct {
	// Vippyd is the binary to measure.
	Vippyd string
	// Runs is how often each fault is done to each system.
	Runs int
	// Heals is how many cuts are healed for each system.
	Heals int
	// Seed is that of the random moments.
	Seed uint64
	// Parts are the names of the parts to do, of Parts; empty means all.
	Parts []string
	// Systems are those to measure; empty means all.
	Systems []System
	// Command is what was typed, for the records.
	Command string
	// Log gets a line for each record, for people.
	Log io.Writer
}

// Parts are the parts of the comparison.
var Parts = []string{"faults", "heals", "rest", "moves"}

// A part measures something of every system.
type part func(ctx context.Context, r *runner) error

var parts = map[string]part{"faults": allFaults, "heals": allHeals, "rest": allRest, "moves": allMoves}

// A runner is one comparison.
type runner struct {
	Options
	programs
	out io.Writer
	err error
}

// ErrMissing is wrapped by Run's error when keepalived is not there. All the rest was
// measured.
var ErrMissing = errors.New("keepalived is not installed, so nothing was compared")

// Run measures and writes the records to out as it goes.
func Run(ctx context.Context, o Options, out io.Writer) error {
	r := &runner{Options: o, programs: find(o.Vippyd), out: out}
	if len(r.Systems) == 0 {
		r.Systems = Systems
	}
	if len(r.Parts) == 0 {
		r.Parts = Parts
	}
	var missing error
	if r.keepalived == "" && slices.ContainsFunc(r.Systems, System.keepalived) {
		missing = fmt.Errorf("%w; on Debian: apt-get install keepalived", ErrMissing)
		fmt.Fprintf(r.Log, "bench: %v\nbench: measuring vippy only\n", missing)
		r.Systems = slices.DeleteFunc(slices.Clone(r.Systems), System.keepalived)
	}
	about, err := r.about()
	if err != nil {
		return err
	}
	r.write(Record{About: about})
	for _, name := range r.Parts {
		do, is := parts[name]
		if !is {
			return fmt.Errorf("bench: no part is called %q; there are %q", name, Parts)
		}
		if err := do(ctx, r); err != nil {
			return fmt.Errorf("bench: %s: %w", name, err)
		}
		if r.err != nil {
			return fmt.Errorf("bench: write a record: %w", r.err)
		}
	}
	return missing
}

// write writes a record.
func (r *runner) write(rec Record) {
	text, err := json.Marshal(rec)
	if err != nil {
		panic("bench: plain values must encode: " + err.Error())
	}
	fmt.Fprintf(r.Log, "%s\n", text)
	if _, err := r.out.Write(append(text, '\n')); err != nil {
		r.err = errors.Join(r.err, err)
	}
}

// order returns the systems in the order of a run: each comes first as often as the others.
func (r *runner) order(run int) []System {
	var out []System
	for i := range r.Systems {
		out = append(out, r.Systems[(run+i)%len(r.Systems)])
	}
	return out
}

// startOf names the start of a cluster among the faults.
const startOf = "start"

// with runs f on a new cluster. That one goes astray is a result, and nothing to end all for;
// where it does so from the start, that is a record.
func (r *runner) with(ctx context.Context, s System, m move, run int, f func(*cluster) error) error {
	c, err := newCluster(ctx, r.programs, s, m.layout)
	if errors.Is(err, errAstray) {
		r.write(Record{Fault: &Fault{Name: startOf + m.suffix, System: s, Run: run, AllMS: lab.Milliseconds(patience), Open: true}})
	}
	if err == nil {
		err = f(c)
	}
	if errors.Is(err, errAstray) {
		fmt.Fprintf(r.Log, "bench: %v\n", err)
		err = nil
	}
	if c != nil {
		err = errors.Join(err, c.close())
	}
	return err
}

// measure does a fault and writes down what was seen.
func (r *runner) measure(ctx context.Context, c *cluster, f fault, run int) error {
	rec, err := c.measure(ctx, f, run)
	if rec != nil {
		r.write(Record{Fault: rec})
	}
	return err
}

// allFaults does every fault to every system, one system after the other, Runs times over.
func allFaults(ctx context.Context, r *runner) error {
	for run := range r.Runs {
		for _, s := range r.order(run) {
			err := r.with(ctx, s, lone, run+1, func(c *cluster) error {
				for _, f := range faults {
					if err := r.measure(ctx, c, f, run+1); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// allHeals does the heals that the faults have not done yet.
func allHeals(ctx context.Context, r *runner) error {
	for _, s := range r.order(0) {
		random := rand.New(rand.NewPCG(r.Seed, uint64(len(s))))
		err := r.with(ctx, s, lone, 1, func(c *cluster) error {
			for i := range r.Heals - r.Runs {
				if err := c.lose(ctx, random); err != nil {
					return err
				}
				if err := r.measure(ctx, c, faultOf(heal), r.Runs+i+1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// restGroups is how many groups of one address a cluster at rest has.
const restGroups = 250

// resting is what a cluster at rest has.
var resting = move{suffix: " at rest", layout: single(restGroups)}

// allRest measures all systems at rest, one after the other: what one does shall not show in
// the caches of another.
func allRest(ctx context.Context, r *runner) error {
	for _, s := range r.Systems {
		if err := r.with(ctx, s, resting, 1, func(c *cluster) error { return c.atRest(ctx, r.write) }); err != nil {
			return err
		}
	}
	return nil
}

// A move is addresses that move together.
type move struct {
	// suffix tells its records from those of one address.
	suffix string
	layout layout
	// groups: more than keepalived has virtual router IDs for.
	onlyVippy bool
}

// lone is the one address of most faults.
var lone = move{layout: single(1)}

var moves = []move{
	{suffix: " of 250", layout: single(250)},
	{suffix: " of 1000 in one group", layout: bunch(1000)},
	{suffix: " of 1000", layout: single(1000), onlyVippy: true},
}

// mostMoves bounds how often many addresses are moved, which takes long.
const mostMoves = 3

// allMoves stops the host that has everything, brings it back, and loses it.
func allMoves(ctx context.Context, r *runner) error {
	for run := range min(r.Runs, mostMoves) {
		for _, m := range moves {
			for _, s := range r.order(run) {
				if m.onlyVippy && s.keepalived() {
					continue
				}
				err := r.with(ctx, s, m, run+1, func(c *cluster) error {
					for _, name := range []string{stop, "return", cut} {
						f := faultOf(name)
						f.name += m.suffix
						if err := r.measure(ctx, c, f, run+1); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}
