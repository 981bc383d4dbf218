package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/cluster/multicast"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// The files that a guard starts with: its end of the line, a reference to the daemon's
// process (pidfd_open(2)), which can't come to mean another, and, where the daemon has
// one, the lock of its state directory: no other daemon starts from there while this
// guard may still write.
const (
	lineFile   = 3
	daemonFile = 4
)

// maxMessage is more than the largest message: a charge of all addresses of a plan.
const maxMessage = 1 << 20

// Main is the life of a guard process; it returns the exit code. Only a Keeper starts
// one: its files are part of the call.
func Main() int {
	if kind, err := unix.GetsockoptInt(lineFile, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
		fmt.Fprintln(os.Stderr, "vippyd guard: vippyd starts its guard itself")
		return 2
	}
	// It ends with the daemon, and by nothing that is meant for the daemon.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2)
	spare()
	p, err := newProcess()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vippyd guard: "+err.Error())
		return 1
	}
	p.answer() // ready
	d, v := watch(p)
	tell(d, v)
	if v.err != nil {
		return 1
	}
	return 0
}

// spare asks the kernel to leave this process alone when memory is short. More than the
// daemon has takes CAP_SYS_RESOURCE; without it what was inherited stays.
func spare() {
	for _, score := range []string{"-1000", "-999"} {
		if os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0) == nil {
			return
		}
	}
}

// forget gives back what the start of a program with many packages has touched and a guard
// never needs: its code, which the kernel finds again, in its cache, where it is needed
// after all: some microseconds later.
func forget() {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for _, r := range codeIn(maps, self) {
		// The address is the kernel's word for the range, not a pointer into Go's memory.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.from, r.to-r.from, unix.MADV_DONTNEED)
	}
}

// A span is a part of a process's memory.
type span struct{ from, to uintptr }

// codeIn finds the code of an executable in /proc/self/maps. That a range can't be written
// is not enough: in a position-independent build the dynamic linker has filled in constants
// before it sealed them, and what it wrote is in no file.
func codeIn(maps []byte, exe string) (out []span) {
	for line := range bytes.Lines(maps) {
		var s span
		var mode string
		if _, err := fmt.Sscanf(string(line), "%x-%x %s", &s.from, &s.to, &mode); err != nil {
			continue
		}
		if mode[1] == '-' && mode[2] == 'x' && bytes.HasSuffix(bytes.TrimSpace(line), []byte(exe)) {
			out = append(out, s)
		}
	}
	return out
}

// tell writes what was done, after it was done: the log may be slow.
func tell(d ward, v verdict) {
	if d.charge.Stamps {
		for _, op := range v.removed {
			fmt.Fprintf(os.Stderr, "time=%s level=DEBUG msg=\"address removed\" addr=%s link=%s at=%d by=guard\n",
				time.Now().Format(time.RFC3339Nano), op.Address, op.Link, op.At.Nanoseconds())
		}
	}
	switch {
	case v.err != nil:
		fmt.Fprintf(os.Stderr, "vippyd guard: %s: %v\n", v.why, v.err)
	case v.why != "" && !v.said:
		fmt.Fprintf(os.Stderr, "vippyd guard: %s: removed %d addresses, and told nobody\n", v.why, len(v.removed))
	case v.why != "":
		fmt.Fprintf(os.Stderr, "vippyd guard: %s: removed %d addresses and said farewell\n", v.why, len(v.removed))
	}
}

// process is the real world of a guard.
type process struct {
	buf     []byte
	cleaner *netplumb.Cleaner
	chat    *multicast.Conn
	charge  Charge
}

func newProcess() (*process, error) {
	unix.CloseOnExec(lineFile)
	if err := unix.SetNonblock(lineFile, true); err != nil {
		return nil, fmt.Errorf("the line to the daemon: %w", err)
	}
	cleaner, err := netplumb.NewCleaner()
	if err != nil {
		return nil, err
	}
	return &process{cleaner: cleaner}, nil
}

func (p *process) next(until time.Duration) ([]byte, error) {
	for {
		m, err := p.receive()
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return m, err
		}
		// Only with the line empty: who was stopped itself may have grants to read.
		limit, left := (*unix.Timespec)(nil), until-netplumb.Boottime()
		if until != 0 {
			if left <= 0 {
				return nil, errExpired
			}
			ts := unix.NsecToTimespec(left.Nanoseconds())
			limit = &ts
		}
		fds := []unix.PollFd{{Fd: lineFile, Events: unix.POLLIN}}
		if _, err := unix.Ppoll(fds, limit, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, fmt.Errorf("wait for the daemon: %w", err)
		}
	}
}

// receive reads one message without waiting. The buffer grows with the longest.
func (p *process) receive() ([]byte, error) {
	size, _, err := unix.Recvfrom(lineFile, nil, unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
	if err != nil {
		if errors.Is(err, unix.ECONNRESET) {
			return nil, io.EOF // it ended with answers unread
		}
		return nil, err
	}
	if size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	if size > len(p.buf) || size < len(p.buf)/8 && len(p.buf) > 4096 {
		p.buf = make([]byte, max(size, 1024))
	}
	n, _, err := unix.Recvfrom(lineFile, p.buf, unix.MSG_DONTWAIT)
	if err == nil && n == 0 {
		return nil, io.EOF // no message is empty
	}
	return p.buf[:max(n, 0)], err
}

// answer must not wait, and a daemon that died gets no answer.
func (p *process) answer() {
	_ = unix.Sendto(lineFile, []byte{'a'}, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
}

func (p *process) prepare(c Charge) {
	if p.chat == nil || c.Chat != p.charge.Chat || !slices.Equal(c.Interfaces, p.charge.Interfaces) {
		if p.chat != nil {
			_ = p.chat.Close()
			p.chat = nil
		}
		// What fails is tried again when it is needed.
		p.chat, _ = multicast.OpenSender(multicast.Config{Group: c.Chat, Interfaces: c.Interfaces})
	}
	p.charge = c
	forget()
}

// end sends SIGKILL by the reference, which also ends a stopped process, and waits until
// the last of its threads is gone.
func (p *process) end() error {
	err := unix.PidfdSendSignal(daemonFile, unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	fds := []unix.PollFd{{Fd: daemonFile, Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if err == nil && fds[0].Revents&(unix.POLLIN|unix.POLLHUP) != 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (p *process) clear(managed []vipgroup.VIP) ([]netplumb.Op, error) {
	return p.cleaner.Clear(managed)
}

func (p *process) say(will []cluster.Datagram) (said bool) {
	if p.chat == nil {
		p.prepare(p.charge)
	}
	if p.chat == nil {
		return false
	}
	_ = p.chat.Rescan() // links may have come and gone since the charge
	for _, d := range will {
		said = p.chat.Send(d.Data, d.To) == nil || said // what fails is lost like a packet on the wire
	}
	return said
}

func (p *process) sleep(d time.Duration) { time.Sleep(d) }
