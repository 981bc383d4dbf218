package guard

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
)

// The test's binary is also a guard, and a daemon that has one address.
const (
	guardWord  = "be-the-guard"
	daemonWord = "be-the-daemon"
	readerWord = "read-the-line"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == guardWord {
		os.Exit(Main())
	}
	if len(os.Args) == 2 && os.Args[1] == readerWord {
		readLine()
		os.Exit(0)
	}
	if len(os.Args) == 2 && os.Args[1] == daemonWord {
		if err := standIn(); err != nil {
			fmt.Fprintln(os.Stderr, "stand-in:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const farewell = "these are its last words"

var (
	held     = netip.MustParsePrefix("10.77.0.1/32")
	chatAt   = netip.MustParseAddrPort("224.0.0.254:5007")
	ownAddr  = "10.77.0.100/24"
	patience = 15 * time.Second // bounds what must come at all
)

// standIn is a daemon that has an address for a minute and a grant for a second, renews
// the grant, and says which guard it has. It ends when told to on its standard input.
func standIn() error {
	k := NewKeeper(Options{Args: []string{guardWord}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error)
	go func() { ran <- k.Run(ctx) }()
	v := vip
	v.Address, v.Interface = held, "v0"
	c := Charge{Chat: chatAt, Interfaces: []string{"v0"}}
	c.Managed = append(c.Managed, v)
	k.Charge(c)
	k.Will([]cluster.Datagram{{Data: []byte(farewell)}})
	orders := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			orders <- in.Text()
		}
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	plumbed := false
	for {
		if pid, trouble := k.Status(); pid != 0 && trouble == "" && k.Grant(netplumb.Boottime()+time.Second) && !plumbed {
			plumbed = true
			if err := plumb(held.String(), 60); err != nil {
				return err
			}
		}
		select {
		case <-k.Changed():
			pid, _ := k.Status()
			fmt.Println("guard", pid)
		case order := <-orders:
			cancel()
			if err := <-ran; err != nil {
				return err
			}
			if order == "bye" {
				k.Bye()
			} else {
				k.Yours()
			}
			return k.End()
		case <-tick.C:
		}
	}
}

func plumb(addr string, seconds int) error {
	l, err := netlink.LinkByName("v0")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(addr)
	if err != nil {
		return err
	}
	a.ValidLft, a.PreferedLft, a.Protocol = seconds, seconds, netplumb.Mark
	return netlink.AddrAdd(l, a)
}

// standing is a stand-in in a network namespace of its own, with what the test sees there.
type standing struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	guard int
	gone  chan netlink.AddrUpdate
	wire  int // a packet socket at the other end of v0
	enter func(func() error)
}

// start starts a stand-in and waits until it has its address and a guard.
func start(t *testing.T) *standing {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: needs network namespaces")
	}
	s := &standing{t: t, gone: make(chan netlink.AddrUpdate, 16)}
	calls, done := make(chan func()), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range calls {
			f()
		}
	}()
	s.enter = func(f func() error) {
		t.Helper()
		failed := make(chan error, 1)
		calls <- func() { failed <- f() }
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { close(calls); <-done })
	s.enter(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w (run the tests as root, or with -short)", err)
		}
		return s.build()
	})
	s.expect("guard ")
	for s.guard == 0 {
		s.expect("guard ")
	}
	for u := range s.gone {
		if u.NewAddr && u.LinkAddress.IP.String() == held.Addr().String() {
			return s
		}
	}
	return s
}

// wireUp makes a pair of links, and listens at the other end.
func (s *standing) wireUp() error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "v0"}, PeerName: "v1"}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	for _, name := range []string{"lo", "v0", "v1"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			return err
		}
	}
	for _, name := range []string{"v0", "v1"} { // the kernel opens the queue of the first end later, in its own time
		for up, begin := false, time.Now(); !up; time.Sleep(time.Millisecond) {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if up = l.Attrs().OperState == netlink.OperUp; !up && time.Since(begin) > patience {
				return fmt.Errorf("%s is not up", name)
			}
		}
	}
	l, err := netlink.LinkByName("v0")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(ownAddr)
	if err == nil {
		err = netlink.AddrAdd(l, a)
	}
	if err != nil {
		return err
	}
	far, err := netlink.LinkByName("v1")
	if err != nil {
		return err
	}
	const ip = unix.ETH_P_IP<<8&0xff00 | unix.ETH_P_IP>>8 // in network order
	if s.wire, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, ip); err != nil {
		return err
	}
	wire := s.wire
	s.t.Cleanup(func() { _ = unix.Close(wire) })
	if err := unix.Bind(s.wire, &unix.SockaddrLinklayer{Protocol: ip, Ifindex: far.Attrs().Index}); err != nil {
		return err
	}
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	return unix.SetsockoptTimeval(s.wire, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
}

// build makes the links, looks at both, and starts the stand-in.
func (s *standing) build() error {
	err := s.wireUp()
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	if err := netlink.AddrSubscribe(s.gone, stop); err != nil {
		return err
	}
	s.t.Cleanup(func() {
		close(stop)
		for range s.gone {
		}
	})
	s.cmd = exec.Command("/proc/self/exe", daemonWord)
	s.cmd.Stderr = os.Stderr
	// Not by the parent's death, which is a thread's: the cleanup ends it.
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	return nil
}

// expect reads the stand-in's next line, and which guard it names.
func (s *standing) expect(word string) {
	s.t.Helper()
	if !s.out.Scan() || !strings.HasPrefix(s.out.Text(), word) {
		s.t.Fatalf("the stand-in said %q, want %q", s.out.Text(), word)
	}
	s.guard, _ = strconv.Atoi(strings.TrimPrefix(s.out.Text(), word))
}

// seeGone waits until the address is gone and returns when that was.
func (s *standing) seeGone() time.Time {
	s.t.Helper()
	late := time.After(patience)
	for {
		select {
		case u := <-s.gone:
			if !u.NewAddr && u.LinkAddress.IP.String() == held.Addr().String() {
				return time.Now()
			}
		case <-late:
			s.t.Fatal("the address stays")
		}
	}
}

// hearFarewell waits for one more farewell on the wire; false when none came for a while.
func (s *standing) hearFarewell() bool {
	s.t.Helper()
	buf := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(s.wire, buf, 0)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		const headers = 20 + 8
		if n >= headers && string(buf[headers:n]) == farewell && binary.BigEndian.Uint16(buf[22:]) == chatAt.Port() {
			return true
		}
	}
}

// watchEnd returns a reference to a process that seeEnd can wait for.
func (s *standing) watchEnd(pid int) int {
	s.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func (s *standing) seeEnd(pidfd int) {
	s.t.Helper()
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(patience.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			s.t.Fatalf("the guard has not ended: %v", err)
		}
		return
	}
}

// seeAct waits for everything that a guard does because of something.
func (s *standing) seeAct(cause func() error) {
	s.t.Helper()
	guard, since := s.watchEnd(s.guard), time.Now()
	if err := cause(); err != nil {
		s.t.Fatal(err)
	}
	gone := s.seeGone()
	for i := range farewells {
		if !s.hearFarewell() {
			s.t.Fatalf("%d farewells, want %d", i, farewells)
		}
		if i == 0 {
			s.t.Logf("gone after %v, farewell after %v", gone.Sub(since).Round(10*time.Microsecond), time.Since(since).Round(10*time.Microsecond))
		}
	}
	s.seeEnd(guard)
}

func (s *standing) has() bool {
	s.t.Helper()
	found := false
	s.enter(func() error {
		l, err := netlink.LinkByName("v0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_V4)
		for _, a := range list {
			found = found || a.IP.String() == held.Addr().String()
		}
		return err
	})
	return found
}

func TestAKilledDaemon(t *testing.T) {
	s := start(t)
	s.t.Logf("the guard takes %s", memory(t, s.guard))
	if got, want := oomScore(t, s.guard), sparedScore(t); got != want {
		t.Errorf("the guard's oom_score_adj is %s, want %s", got, want)
	}
	// What is meant to stop the daemon is nothing to its guard.
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT} {
		if err := unix.Kill(s.guard, sig); err != nil {
			t.Fatal(err)
		}
	}
	s.seeAct(s.cmd.Process.Kill)
	if s.has() {
		t.Error("the address is there after the farewell")
	}
}

// The stopped daemon is ended: it must not wake up and write an address.
func TestAHungDaemon(t *testing.T) {
	s := start(t)
	s.seeAct(func() error { return s.cmd.Process.Signal(unix.SIGSTOP) })
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
		t.Errorf("the daemon ended with %v, want it killed", err)
	}
}

// A guard that was killed, or doesn't answer, is followed by one that knows everything.
func TestAnotherGuard(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGKILL, unix.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			s := start(t)
			first := s.guard
			if err := unix.Kill(first, sig); err != nil {
				t.Fatal(err)
			}
			for s.guard == first || s.guard == 0 {
				s.expect("guard ")
			}
			if !s.has() {
				t.Fatal("the address went with the guard")
			}
			s.seeAct(s.cmd.Process.Kill)
		})
	}
}

func TestGivingUp(t *testing.T) {
	s := start(t)
	s.seeAct(func() error {
		_, err := io.WriteString(s.in, "yours\n")
		return err
	})
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v, want it left alone", err)
	}
}

func TestGoodbye(t *testing.T) {
	s := start(t)
	guard := s.watchEnd(s.guard)
	if _, err := io.WriteString(s.in, "bye\n"); err != nil {
		t.Fatal(err)
	}
	s.seeEnd(guard)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v, want it left alone", err)
	}
	if !s.has() {
		t.Error("the guard removed an address although the daemon took its leave")
	}
	if err := unix.SetNonblock(s.wire, true); err != nil {
		t.Fatal(err)
	}
	if s.hearFarewell() {
		t.Error("the guard said farewell although the daemon did")
	}
}

// Of a position-independent build the sealed constants must stay: their pages are no more
// what the file has (`go test -buildmode=pie` runs all of this with one).
func TestOnlyCodeIsForgotten(t *testing.T) {
	const maps = `56872000-56d80000 r-xp 00001000 fe:00 77 /usr/sbin/vippyd
56d80000-573b4000 r--p 0050f000 fe:00 77 /usr/sbin/vippyd
573b4000-574f6000 r--p 00b42000 fe:00 77 /usr/sbin/vippyd
574f6000-57537000 rw-p 00c84000 fe:00 77 /usr/sbin/vippyd
57537000-5757b000 rw-p 00000000 00:00 0
f7c1a000-f7d6f000 r-xp 00026000 fe:00 78 /usr/lib/libc.so.6
ff9f2000-ff9f4000 r-xp 00000000 00:00 0 [vdso]
`
	want := []span{{0x56872000, 0x56d80000}}
	if got := codeIn([]byte(maps), "/usr/sbin/vippyd"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// sparedScore is the least oom_score_adj that a child of this process may give itself.
func sparedScore(t *testing.T) string {
	t.Helper()
	var caps [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &caps[0]); err != nil {
		t.Fatal(err)
	}
	if caps[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		return "-1000"
	}
	return oomScore(t, os.Getpid())
}

func oomScore(t *testing.T, pid int) string {
	t.Helper()
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(score))
}

// memory returns what the kernel says a process takes.
func memory(t *testing.T, pid int) string {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "Rss") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}
