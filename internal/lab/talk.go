package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A talker is a program on a host that goes on speaking to the client whatever happens, as
// programs do: of a link that is down the kernel learns by that whom it can't reach.
type talker struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	talkEvery = 50 * time.Millisecond
	talkPort  = 9 // discard (RFC 863)
)

// talkTo starts one in the host's namespace.
func talkTo(p *port, to netip.Addr) (*talker, error) {
	var conn net.Conn
	err := p.space.do(func() (err error) {
		conn, err = net.Dial("udp4", netip.AddrPortFrom(to, talkPort).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("talker: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &talker{stop: cancel}
	t.done.Go(func() {
		defer conn.Close()
		tick := time.NewTicker(talkEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			_, _ = conn.Write([]byte("hello")) // nobody has to hear it
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return t, nil
}

// close ends it; there may be none.
func (t *talker) close() {
	if t != nil {
		t.stop()
		t.done.Wait()
	}
}

// unplug pulls the cable of a node whose programs go on speaking.
func (c *cluster) unplug(n *node) (err error) {
	n.cut = true
	n.talker.close()
	if n.talker, err = talkTo(n.port, c.client.addr); err != nil {
		return err
	}
	return n.carrier(false)
}

// replug puts the cable back.
func (n *node) replug() error {
	n.cut = false
	err := n.carrier(true)
	n.talker.close()
	n.talker = nil
	return err
}
