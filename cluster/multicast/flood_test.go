package multicast_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster/multicast"
)

// BenchmarkRead is what it costs to take datagrams from the kernel, as many at once as a
// flood brings.
func BenchmarkRead(b *testing.B) {
	x, y := newSpace(b), newSpace(b)
	wire(x, "a0", y, "b0")
	from, to := x.open(), y.open()
	data := make([]byte, 200)
	var batch multicast.Batch
	to.SetReadDeadline(time.Now().Add(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range multicast.BatchSize {
			if err := from.Send(data, netip.AddrPort{}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for left := multicast.BatchSize; left > 0; left -= len(batch.Packets) {
			if err := to.Read(&batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*multicast.BatchSize), "ns/packet")
}
