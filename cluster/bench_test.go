package cluster

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkInterval is what one interval of calm costs a node: one announcement of every
// peer, each with the turn after it.
func BenchmarkInterval(b *testing.B) {
	for _, c := range []struct{ nodes, groups int }{{3, 3}, {3, 1000}, {32, 1000}} {
		b.Run(fmt.Sprintf("%dx%d", c.nodes, c.groups), func(b *testing.B) {
			r := crowd(b, c.nodes, c.groups)
			packets := make([]Packet, len(r.peers))
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i, s := range r.peers {
					packets[i] = Packet{Data: s.next(r), From: host(1), TTL: 255}
				}
				b.StartTimer()
				for _, p := range packets {
					r.now = r.now.Add(r.n.timing.Interval / time.Duration(len(packets)))
					if refusal := r.n.Receive(r.now, p); refusal != "" {
						b.Fatal(refusal)
					}
					if r.out = r.n.Ready(r.now); len(r.out.Send) > 0 {
						b.StopTimer()
						r.hear()
						b.StartTimer()
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(packets)), "ns/packet")
		})
	}
}

// BenchmarkTick is a turn without an input.
func BenchmarkTick(b *testing.B) {
	r := crowd(b, 32, 1000)
	b.ReportAllocs()
	for b.Loop() {
		r.n.Ready(r.now)
	}
}
