package netplumb

import (
	"testing"
	"time"
)

// A frame is as old as its arrival, however long it waited in the socket: the last word of a
// holder was taken for a sign of life after its release when it was read late.
func TestFramesAreAsOldAsTheirArrival(t *testing.T) {
	net := newLAN(t)
	open := func(n *namespace, mac MAC) (p *port) {
		index := n.link("eth0").Attrs().Index
		n.must(n.enter(func() (err error) { p, err = openPort(portID{link: "eth0"}, index, mac); return err }))
		t.Cleanup(func() { _ = p.conn.Close() }) // nobody listens, so close would wait for ever
		return p
	}
	from, frames := open(net.b, them), newFrameReader(open(net.a, us).raw)
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

func TestArrivedWithoutAStamp(t *testing.T) {
	now := time.Now()
	for _, oob := range [][]byte{nil, {1}, make([]byte, 16)} {
		if got := arrived(now, oob); !got.Equal(now) {
			t.Errorf("with the control messages %v: %v, want %v", oob, got, now)
		}
	}
}
