package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is the time between two rounds of probes.
	tick = time.Millisecond
	// perTick bounds the probes of a round; more VIPs than that take turns.
	perTick = 8
)

// A prober is the client: it asks every VIP from its own namespace, with the kernel's
// ordinary ARP cache, and keeps a record of each.
type prober struct {
	targets          []*target
	stop             context.CancelFunc
	sending, reading sync.WaitGroup

	mu sync.Mutex
	// start is when the records begin, late how late the worst round since then was.
	start instant
	late  time.Duration
	epoch uint32
}

// A target is one VIP. It has a socket of its own: packets that wait for ARP fill the
// send buffer, and a dark VIP must not keep the others from being probed.
type target struct {
	vip  netip.Addr
	conn *net.UDPConn
	fd   int
	to   unix.SockaddrInet4

	// Under the prober's lock.
	record record
	// node is the number that the last answer carried, at when its probe was sent.
	node byte
	at   instant
}

// resolution is the time between two probes of one VIP.
func resolution(vips int) time.Duration {
	return time.Duration((vips+perTick-1)/perTick) * tick
}

// probe starts to probe from the host's namespace.
func probe(p *port, vips []netip.Addr) (*prober, error) {
	ctx, cancel := context.WithCancel(context.Background())
	pr := &prober{stop: cancel, start: now()}
	for _, vip := range vips {
		t := &target{vip: vip, to: unix.SockaddrInet4{Port: servicePort, Addr: vip.As4()}}
		err := p.space.do(func() (err error) {
			t.conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: p.addr.AsSlice()})
			return err
		})
		if err != nil {
			pr.close()
			return nil, fmt.Errorf("probe: %w", err)
		}
		pr.targets = append(pr.targets, t)
		if err := control(t.conn, func(fd int) error { t.fd = fd; return nil }); err != nil {
			pr.close()
			return nil, fmt.Errorf("probe: %w", err)
		}
	}
	for _, t := range pr.targets {
		pr.reading.Go(func() { pr.read(t) })
	}
	pr.sending.Go(func() { pr.send(ctx) })
	return pr, nil
}

// send sends a round of probes each tick, until ctx ends. It sleeps in the kernel, on a
// thread of its own: Go's timers are about a millisecond coarse.
func (pr *prober) send(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	round, next := 0, now()
	for ctx.Err() == nil {
		next = next.add(tick)
		at := unix.NsecToTimespec(int64(next))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
		}
		late := now().sub(next)
		pr.mu.Lock()
		pr.late = max(pr.late, late)
		pr.mu.Unlock()
		for range min(perTick, len(pr.targets)) {
			pr.ask(pr.targets[round%len(pr.targets)])
			round++
		}
		if late > tick { // no volley to make up for lost rounds
			next = now()
		}
	}
}

// ask sends one probe: the epoch and number of the record, which the answer brings back.
func (pr *prober) ask(t *target) {
	var msg [12]byte
	pr.mu.Lock()
	binary.BigEndian.PutUint32(msg[:], pr.epoch)
	binary.BigEndian.PutUint64(msg[4:], uint64(t.record.send(now())))
	pr.mu.Unlock()
	// What can't be sent isn't answered either; the record says so.
	_ = unix.Sendto(t.fd, msg[:], unix.MSG_DONTWAIT, &t.to)
}

// read takes the answers for one VIP until its socket is closed.
func (pr *prober) read(t *target) {
	buf := make([]byte, 64)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n != 13 || from.Addr() != t.vip {
			continue
		}
		at, num := now(), int(binary.BigEndian.Uint64(buf[4:]))
		pr.mu.Lock()
		if binary.BigEndian.Uint32(buf) == pr.epoch && t.record.answer(num, at) && t.record.sent[num] > t.at {
			t.node, t.at = buf[12], t.record.sent[num]
		}
		pr.mu.Unlock()
	}
}

// begin starts new records.
func (pr *prober) begin() instant {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.start, pr.late = now(), 0
	pr.epoch++
	for _, t := range pr.targets {
		t.record = record{}
	}
	return pr.start
}

// end waits until the probes that are under way can be judged and returns each VIP's
// silence since begin, and how late the worst round was.
func (pr *prober) end() (silence map[netip.Addr]time.Duration, late time.Duration) {
	end := now()
	time.Sleep(answerLimit)
	pr.mu.Lock()
	defer pr.mu.Unlock()
	silence = map[netip.Addr]time.Duration{}
	for _, t := range pr.targets {
		silence[t.vip] = t.record.silence(pr.start, end)
	}
	return silence, pr.late
}

// serving returns the number of the node that answered for each VIP within the time that
// a few rounds take, 0 where none did.
func (pr *prober) serving() map[netip.Addr]byte {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	out := map[netip.Addr]byte{}
	limit := answerLimit + 10*resolution(len(pr.targets))
	for _, t := range pr.targets {
		out[t.vip] = 0
		if t.at.since() < limit {
			out[t.vip] = t.node
		}
	}
	return out
}

func (pr *prober) close() {
	pr.stop()
	pr.sending.Wait() // before its descriptors go
	for _, t := range pr.targets {
		t.conn.Close()
	}
	pr.reading.Wait()
}

// gaps returns each VIP's silence so far, up to what can be judged already.
func (pr *prober) gaps() map[netip.Addr]time.Duration {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	out := map[netip.Addr]time.Duration{}
	for _, t := range pr.targets {
		out[t.vip] = t.record.silence(pr.start, max(pr.start, now().add(-answerLimit)))
	}
	return out
}
