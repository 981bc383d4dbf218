package lab

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tick is the time between two rounds of probes of a drill.
	tick = time.Millisecond
	// fineTick is that where a handover itself is to be measured, which takes less than a
	// tick, and there are few VIPs to ask.
	fineTick = tick / 4
	fineVIPs = perTick / 4
	// perTick bounds the probes of a round; more VIPs than that take turns.
	perTick = 8
	// inFocus bounds the VIPs that are probed in every round all the same (see focus).
	inFocus = 6
)

// A prober is the client: it asks every VIP from its own namespace, with the kernel's
// ordinary ARP cache, and keeps a record of each. Its methods are for one goroutine.
type prober struct {
	every            time.Duration // between two rounds
	targets          []*target
	focused          atomic.Pointer[[]*target]
	stop             context.CancelFunc
	sending, reading sync.WaitGroup
	// start is when the present watch began; late is how late the worst round since then
	// was, a time.Duration.
	start instant
	late  atomic.Int64
}

// A target is one VIP. It has a socket of its own: packets that wait for ARP fill the
// send buffer, and a dark VIP must not keep the others from being probed.
type target struct {
	vip    netip.Addr
	conn   *net.UDPConn
	fd     int
	to     unix.SockaddrInet4
	record *record
	// first is the number of the first probe of the present watch.
	first int64
	// latest is the latest answered probe, its number above the 8 bits of the answering
	// node's; only the reading goroutine writes it.
	latest atomic.Int64
}

// probe starts to probe from the host's namespace, a round every so often.
func probe(p *port, vips []netip.Addr, every time.Duration) (*prober, error) {
	ctx, cancel := context.WithCancel(context.Background())
	pr := &prober{every: every, stop: cancel, start: now()}
	size := sizeOfRecords(len(vips))
	for _, vip := range vips {
		t := &target{vip: vip, to: unix.SockaddrInet4{Port: servicePort, Addr: vip.As4()}, record: newRecord(size)}
		t.latest.Store(-1)
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
		pr.reading.Go(t.read)
	}
	pr.sending.Go(func() { pr.send(ctx) })
	return pr, nil
}

// send sends a round of probes each tick, until ctx ends. It sleeps in the kernel, on a
// thread of its own: Go's timers are about a millisecond coarse.
func (pr *prober) send(ctx context.Context) {
	runtime.LockOSThread() // for good: the thread keeps what is set here
	urgent(probeBudget)
	round, next := 0, now()
	for ctx.Err() == nil {
		next = next.add(pr.every)
		at := unix.NsecToTimespec(int64(next))
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil) == unix.EINTR {
		}
		late := now().sub(next)
		pr.late.Store(max(pr.late.Load(), int64(late)))
		focused := pr.inFocus()
		for _, t := range focused {
			t.ask()
		}
		for range min(perTick-len(focused), len(pr.targets)) {
			pr.targets[round%len(pr.targets)].ask()
			round++
		}
		if late > pr.every { // no volley to make up for lost rounds
			next = now()
		}
	}
}

// focus probes some of the VIPs in every round while the others take turns, as a sample of
// more than there is time for. Where there is time for all it does nothing.
func (pr *prober) focus(sample []netip.Addr) {
	var focused []*target
	for _, t := range pr.targets {
		if len(pr.targets) > perTick && len(focused) < inFocus && slices.Contains(sample, t.vip) {
			focused = append(focused, t)
		}
	}
	pr.focused.Store(&focused)
}

func (pr *prober) inFocus() []*target {
	if p := pr.focused.Load(); p != nil {
		return *p
	}
	return nil
}

// turn is the time between two probes of a VIP that is not in focus.
func (pr *prober) turn() time.Duration {
	share := perTick - len(pr.inFocus())
	return time.Duration((len(pr.targets)+share-1)/share) * pr.every
}

// urgent puts the calling thread before the others for so much of each millisecond, as far as
// the kernel lets it: a client on a machine of its own would not wait for the nodes either. How
// late the probe is all the same stands beside every result.
//
// The class has to be one with a budget (SCHED_DEADLINE, sched(7)), not SCHED_FIFO: a thread
// of Go that comes back from the kernel may spin until another, such as the runtime's monitor,
// lets go of its goroutine. Without a budget it keeps the processor from the very thread that
// it waits for, and from every daemon, for up to a second.
func urgent(budget time.Duration) {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_DEADLINE, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
		Runtime: uint64(budget), Deadline: uint64(time.Millisecond), Period: uint64(time.Millisecond)}
	if unix.SchedSetAttr(0, &attr, 0) != nil { // more threads than processors can bear, or not allowed
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	}
}

// The budgets, of which those of a cluster of three fit on two processors.
const (
	probeBudget  = 400 * time.Microsecond
	answerBudget = 250 * time.Microsecond
)

// control runs f on the descriptor of a connection.
func control(c *net.UDPConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// steady keeps Go's scheduler and collector from making probe or responders late: a thread that
// comes back from the kernel finds a free processor slot, and the world is not stopped
// before the heap is large. What it returns undoes it.
func steady(nodes int) (undo func()) {
	slots := runtime.GOMAXPROCS(runtime.NumCPU() + 2 + nodes)
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(256<<20)
	return func() {
		runtime.GOMAXPROCS(slots)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// ask sends one probe: its number, which the answer brings back.
func (t *target) ask() {
	var msg [8]byte
	binary.BigEndian.PutUint64(msg[:], uint64(t.record.send(now())))
	// What can't be sent isn't answered either; the record says so.
	_ = unix.Sendto(t.fd, msg[:], unix.MSG_DONTWAIT, &t.to)
}

// read takes the answers until the socket is closed.
func (t *target) read() {
	buf := make([]byte, 64)
	for {
		n, from, err := t.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n != 9 || from.Addr() != t.vip {
			continue
		}
		num := int64(binary.BigEndian.Uint64(buf))
		if t.record.answer(num, now()) && num > t.latest.Load()>>8 {
			t.latest.Store(num<<8 | int64(buf[8]))
		}
	}
}

// begin starts a new watch.
func (pr *prober) begin() {
	pr.start = now()
	pr.late.Store(0)
	for _, t := range pr.targets {
		t.first = t.record.next.Load()
	}
}

// end waits until the probes that are under way are answered, or can't be any more, and
// returns each VIP's silence since begin, and how late the worst round was.
func (pr *prober) end() (silence map[netip.Addr]time.Duration, late time.Duration) {
	end, late := now(), time.Duration(pr.late.Load())
	for _, t := range pr.targets {
		for t.record.open(end) && end.since() < answerLimit {
			time.Sleep(tick)
		}
	}
	return pr.silence(end), late
}

// gaps returns each VIP's silence so far, up to what can be judged already.
func (pr *prober) gaps() map[netip.Addr]time.Duration {
	return pr.silence(max(pr.start, now().add(-answerLimit)))
}

// silence is each VIP's up to end. Beside a focus, of the others only what is certain
// counts: a VIP of which one probe was lost may have been dark for no longer than that.
func (pr *prober) silence(end instant) map[netip.Addr]time.Duration {
	out := map[netip.Addr]time.Duration{}
	focused := pr.inFocus()
	for _, t := range pr.targets {
		out[t.vip] = t.record.silence(t.first, pr.start, end)
		if len(focused) > 0 && !slices.Contains(focused, t) {
			out[t.vip] = max(0, out[t.vip]-2*pr.turn())
		}
	}
	return out
}

// servedWithin is how long ago the last answered probe may have been sent for a VIP that
// is served now. It is shorter than the calm that a settled cluster must show.
const servedWithin = 100 * time.Millisecond

// serving returns the number of the node that answered for each VIP lately, 0 where none
// did.
func (pr *prober) serving() map[netip.Addr]byte {
	out := map[netip.Addr]byte{}
	limit := servedWithin + 2*pr.turn()
	for _, t := range pr.targets {
		out[t.vip] = 0
		if latest := t.latest.Load(); latest >= 0 && t.record.at(latest>>8).since() < limit {
			out[t.vip] = byte(latest)
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
