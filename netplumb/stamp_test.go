package netplumb

import (
	"net/netip"
	"testing"
	"time"
)

// A frame is as old as its arrival, however long it waited in the socket: the last word of a
// holder was taken for a sign of life after its release when it was read late.
func TestFramesAreAsOldAsTheirArrival(t *testing.T) {
	net := newLAN(t)
	from, frames := net.b.port(them), newFrameReader(net.a.port(us).raw)
	frame, err := probeFrame(them, vip)
	net.b.must(err)
	// The kernel begins to stamp a moment after the first socket asked for it; until then a
	// frame is as old as it is read.
	for late := time.Now().Add(patience); ; {
		net.b.must(from.send(frame))
		sent := time.Now()
		time.Sleep(10 * time.Millisecond)
		_, at, err := frames.next()
		net.a.must(err)
		if at.Before(sent) {
			return
		}
		if sent.After(late) {
			t.Fatalf("a frame sent before %v is said to have come %v later", sent, at.Sub(sent))
		}
	}
}

// Frames that come together are read in their order, none is lost, and the last one of a burst
// waits for no other.
func TestFramesOfABurstAreAllReadInOrder(t *testing.T) {
	net := newLAN(t)
	from, to := net.b.port(them), net.a.port(us)
	const bursts, size = 50, 100
	read := make(chan netip.Addr, size)
	go func() {
		defer close(read)
		frames := newFrameReader(to.raw)
		for {
			frame, _, err := frames.next()
			if err != nil {
				return
			}
			if h, ok := parseARP(frame); ok && h.MAC == them {
				read <- h.Target
			}
		}
	}()
	late := time.After(patience)
	first := netip.MustParseAddr("10.2.0.0")
	for burst, target := 0, first; burst < bursts; burst++ {
		if burst%10 == 0 {
			time.Sleep(2 * gatherWithin) // the next one begins after a lull
		}
		want := target
		for range size {
			frame, err := probeFrame(them, target)
			net.b.must(err)
			net.b.must(from.send(frame))
			target = target.Next()
		}
		for ; want != target; want = want.Next() {
			select {
			case got, ok := <-read:
				if !ok || got != want {
					t.Fatalf("burst %d: read %v, want %v", burst, got, want)
				}
			case <-late:
				t.Fatalf("burst %d: %v was never read", burst, want)
			}
		}
	}
	_ = to.conn.Close()
	for more := range read {
		t.Errorf("%v was read twice", more)
	}
}

func TestArrivedWithoutAStamp(t *testing.T) {
	now := time.Now()
	for _, oob := range [][]byte{nil, {1}, make([]byte, 16)} {
		if got := arrived(now, oob); !got.Equal(now) {
			t.Errorf("with the control messages %v: %v, want %v", oob, got, now)
		}
	}
}
