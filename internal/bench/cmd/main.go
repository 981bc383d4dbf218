// Command cmd compares vippy with keepalived; see package bench.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := bench.Options{Log: os.Stderr, Command: strings.Join(append([]string{"go run ./internal/bench/cmd"}, os.Args[1:]...), " ")}
	var records, page, parts, systems string
	var again bool
	flag.StringVar(&o.Vippyd, "vippyd", "bin/vippyd", "the `BINARY` to measure")
	flag.IntVar(&o.Runs, "runs", 5, "how often each fault is done")
	flag.IntVar(&o.Heals, "heals", 20, "how many cuts are healed")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the random moments")
	flag.StringVar(&records, "records", "docs/benchmarks.jsonl", "write the raw records to `FILE`")
	flag.StringVar(&page, "page", "docs/benchmarks.md", "write the page to `FILE`")
	flag.StringVar(&parts, "parts", "", "only these, with commas: "+strings.Join(bench.Parts, ","))
	flag.StringVar(&systems, "systems", "", "only these, with commas")
	flag.BoolVar(&again, "page-only", false, "measure nothing: write the page from the records that are there")
	flag.Parse()
	if again {
		return publish(records, records, page)
	}
	if parts != "" {
		o.Parts = strings.Split(parts, ",")
	}
	if systems != "" {
		for _, s := range strings.Split(systems, ",") {
			o.Systems = append(o.Systems, bench.System(s))
		}
	}
	// Whole or not at all: a run that was broken off must not replace one that was not.
	f, err := os.CreateTemp("", "vippy-bench-*.jsonl")
	if err != nil {
		return err
	}
	err = bench.Run(ctx, o, f)
	if cerr := f.Close(); cerr != nil || err != nil && !errors.Is(err, bench.ErrMissing) {
		return fmt.Errorf("%w; what was measured is in %s", errors.Join(err, cerr), f.Name())
	}
	return errors.Join(err, publish(f.Name(), records, page))
}

// publish moves the records to their place and writes the page.
func publish(from, records, page string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	all, err := bench.Read(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	words, err := bench.Page(all)
	if err != nil {
		return err
	}
	if from != records {
		if err := os.WriteFile(records, text, 0o644); err != nil {
			return err
		}
		if err := os.Remove(from); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(words), 0o644)
}
