package cluster

import (
	"crypto/rand"
	"testing"
)

// BenchmarkRefuse is what a forged datagram costs: with a wrong seal under the right key,
// which is the dearest, and with another key.
func BenchmarkRefuse(b *testing.B) {
	for _, c := range []struct {
		name string
		want Refusal
		key  Key
	}{{"bad-seal", BadSeal, testKey()}, {"unknown-key", UnknownKey, NewKey([]byte("another"))}} {
		b.Run(c.name, func(b *testing.B) {
			r := crowd(b, 3, 6)
			forged := make([]byte, 200)
			rand.Read(forged)
			copy(forged, c.key.frame(nil, kindAnnouncement))
			b.ReportAllocs()
			for b.Loop() {
				if got := r.n.Receive(r.now, Packet{Data: forged, From: host(1), TTL: 255}); got != c.want {
					b.Fatal(got)
				}
			}
		})
	}
}
