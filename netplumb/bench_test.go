package netplumb

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// BenchmarkGiveAndTake measures what a client waits for in a planned move: from Set to the
// report that an address is gone, and from Set to the return of the call that added it.
func BenchmarkGiveAndTake(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			net := newLAN(b)
			p := New(Options{})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- net.a.enter(func() error { return p.Run(ctx) }) }()
			defer func() { cancel(); <-done }()
			plan := many(n)
			reach := func(d Desired) (ops []Op) {
				for seq := p.Set(d); ; <-p.Changed() {
					r := p.Report()
					ops = append(ops, r.Ops...)
					if r.Seq >= seq {
						return ops
					}
				}
			}
			start := time.Now()
			reach(granted(plan, plan))
			b.ReportMetric(float64(time.Since(start).Milliseconds()), "add-all-ms")
			var give, take time.Duration
			for b.Loop() {
				start := Monotonic()
				reach(granted(plan[:n-1], plan))
				gone := Monotonic()
				give += gone - start
				for _, op := range reach(granted(plan, plan)) {
					if op.Kind == Add {
						take += op.At - gone
					}
				}
			}
			b.ReportMetric(float64(give.Microseconds())/float64(b.N), "give-µs")
			b.ReportMetric(float64(take.Microseconds())/float64(b.N), "take-µs")
			start = time.Now()
			reach(granted(nil, plan))
			b.ReportMetric(float64(time.Since(start).Milliseconds()), "remove-all-ms")
		})
	}
}
