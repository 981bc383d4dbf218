package netplumb

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// BenchmarkMove measures a planned move of all addresses of a group of many: from Set to
// the report that the first and the last are gone, and from Set to the return of the
// calls that added the first and the last, after each of which it is announced at once.
func BenchmarkMove(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d", n), func(b *testing.B) {
			net := newLAN(b)
			p := New(Options{})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- net.a.enter(func() error { return p.Run(ctx) }) }()
			defer func() { cancel(); <-done }()
			plan := many(250)
			reach := func(d Desired, see func(Report)) {
				for seq := p.Set(d); ; <-p.Changed() {
					r := p.Report()
					see(r)
					if r.Seq >= seq {
						return
					}
				}
			}
			reach(granted(plan, plan), func(Report) {})
			var firstGone, allGone, firstThere, allThere time.Duration
			for b.Loop() {
				start, first, last := Monotonic(), time.Duration(0), time.Duration(0)
				note := func(at time.Duration) {
					if last = at - start; first == 0 {
						first = last
					}
				}
				reach(granted(plan[n:], plan), func(r Report) {
					if len(r.Ops) > 0 {
						note(Monotonic())
					}
				})
				firstGone, allGone = firstGone+first, allGone+last
				start, first = Monotonic(), 0
				reach(granted(plan, plan), func(r Report) {
					for _, op := range r.Ops {
						note(op.At)
					}
				})
				firstThere, allThere = firstThere+first, allThere+last
			}
			for name, d := range map[string]time.Duration{"first-gone-µs": firstGone, "all-gone-µs": allGone, "first-there-µs": firstThere, "all-there-µs": allThere} {
				b.ReportMetric(float64(d.Microseconds())/float64(b.N), name)
			}
		})
	}
}

// BenchmarkExtend measures one round of extensions, of which there are four a second, and
// what they take of a core. With IPv6 the kernel goes over all multicast groups of the link
// for each address, of which each address has one.
func BenchmarkExtend(b *testing.B) {
	for _, six := range []bool{false, true} {
		for _, n := range []int{10, 100, 250} {
			b.Run(fmt.Sprintf("IPv6=%v/%d", six, n), func(b *testing.B) {
				net := newLAN(b)
				plan := many(n)
				addr := netip.MustParseAddr("2001:db8::1:0")
				for i := range plan {
					if six {
						addr = addr.Next()
						plan[i].Address = netip.PrefixFrom(addr, 128)
					}
				}
				net.a.must(net.a.enter(func() error {
					k, err := openKernel()
					if err != nil {
						return err
					}
					defer k.close()
					index := net.a.link("eth0").Attrs().Index
					var ops []Op
					for _, v := range plan {
						ops = append(ops, Op{Kind: Add, Address: v.Address, Link: "eth0", Index: index, Lifetime: testLifetime})
					}
					k.change(ops)
					start := used()
					defer func() {
						b.ReportMetric(100*(used()-start).Seconds()/float64(b.N)/extendEvery.Seconds(), "%-of-core")
					}()
					for b.Loop() {
						for chunk := range slices.Chunk(ops, batch) {
							for _, err := range k.change(chunk) {
								if err != nil {
									return err
								}
							}
						}
					}
					return nil
				}))
			})
		}
	}
}

// used is the processor time that this process has had.
func used() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
