package sim

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

var (
	hours   = flag.Float64("sim.hours", 0.1, "cluster-hours of fresh seeds")
	workers = flag.Int("sim.workers", 1, "threads that search")
	seed    = flag.Uint64("sim.seed", 0, "run this one seed and log every event")
	from    = flag.Uint64("sim.from", 0, "first fresh seed; 0 takes one from the clock")
	seeds   = flag.Uint64("sim.seeds", 0, "run so many seeds instead of hours")
	mode    = flag.String("sim.mode", "", "run every seed in this mode")
	keepOn  = flag.Bool("sim.keep", false, "go on after a violation")
	rolling = flag.Bool("sim.rolling", false, "let operators change plan, timings and secret in every world")
)

// TestFresh runs seeds that nobody saw before. With -sim.hours it is the long search.
func TestFresh(t *testing.T) {
	if *seed != 0 {
		c, m := Draw(*seed)
		if *mode != "" {
			m = Mode(*mode)
			c = DrawFor(*seed, m)
		}
		c.Rolling = c.Rolling || *rolling
		c.Log = os.Stdout
		fmt.Printf("seed %d: mode %s, %d nodes, interval %v, stale %v, unicast %v\n", *seed, m, c.Nodes, c.Interval, c.Stale, c.Unicast)
		if _, v := Play(c, m); v != nil {
			t.Fatal(v)
		}
		return
	}
	first := *from
	if first == 0 {
		first = uint64(time.Now().UnixNano()) / 1e6 % 1e9 * 1000
	}
	var (
		mu         sync.Mutex
		wg         sync.WaitGroup
		next       = first
		done       time.Duration
		violations int
		excused    = map[string]int64{}
		began      = time.Now()
		perMode    = map[string]int{}
	)
	want := time.Duration(*hours * float64(time.Hour))
	for range *workers {
		wg.Go(func() {
			for {
				mu.Lock()
				over := done >= want
				if *seeds > 0 {
					over = next-first >= *seeds
				}
				if over || violations > 0 && !*keepOn {
					mu.Unlock()
					return
				}
				s := next
				next++
				mu.Unlock()
				c, m := Draw(s)
				if *mode != "" {
					m = Mode(*mode)
					c = DrawFor(s, m)
				}
				if *rolling {
					c.Rolling, c.Again = true, fmt.Sprintf("-run TestFresh -sim.seed=%d -sim.mode=%s -sim.rolling", s, m)
				}
				w, v := Play(c, m)
				mu.Lock()
				done += w.Now()
				for why, ns := range w.check.excused {
					excused[why] += ns
				}
				if v != nil {
					violations++
					perMode[string(m)+" "+v.Promise]++
					if violations <= 20 {
						t.Errorf("mode %s\n%v", m, v)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	real := time.Since(began)
	t.Logf("seeds %d to %d: %.2f cluster-hours, %d violations %v, %.2f cluster-hours per second and thread",
		first, next-1, done.Hours(), violations, perMode, done.Hours()/real.Seconds()/float64(*workers))
	for why, ns := range excused {
		t.Logf("excused overlap, %s: %v", why, time.Duration(ns))
	}
}

// BenchmarkCluster measures three nodes without faults; ns/op is for a cluster-minute.
func BenchmarkCluster(b *testing.B) {
	plan := MakePlan(1, 3, [][]int{{1}, {2}, {3, 4}}, nil)
	c := Config{Seed: 1, Nodes: 3, Timing: timings[0], Gateway: true, Plans: []vipgroup.Plan{plan}}
	c.Lifetime, c.Mature = time.Second, c.Stale
	w := New(c)
	w.Boot(time.Second)
	w.Run(10 * time.Second)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if v := w.Run(time.Minute); v != nil {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(b.N)/60/b.Elapsed().Seconds(), "cluster-hours/s")
}
