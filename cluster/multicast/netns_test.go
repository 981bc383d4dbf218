package multicast_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A space is a network namespace without a name: the thread that lives in it, and the
// file that stands for it, are all there is, and both end with the test.
type space struct {
	t     testing.TB
	calls chan func()
	fd    int
}

func newSpace(t testing.TB) *space {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: needs network namespaces")
	}
	s := &space{t: t, calls: make(chan func())}
	ready, done := make(chan error), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			s.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		ready <- err
		for call := range s.calls {
			call()
		}
	}()
	t.Cleanup(func() {
		close(s.calls)
		<-done
		unix.Close(s.fd)
	})
	if err := <-ready; errors.Is(err, os.ErrPermission) {
		t.Fatalf("make a network namespace: %v (run the tests as root, or with -short)", err)
	} else if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	return s
}

// do runs f in the namespace and waits for it.
func (s *space) do(what string, f func() error) {
	s.t.Helper()
	result := make(chan error)
	s.calls <- func() { result <- f() }
	if err := <-result; err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// wire joins two namespaces by a pair of links that are up.
func wire(a *space, nameA string, b *space, nameB string) {
	a.t.Helper()
	a.do("make links "+nameA+" and "+nameB, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.fd)})
	})
	plug(a, nameA, b, nameB)
}

// plug sets both ends up and waits until frames can pass: the kernel opens the queue of
// an end that was up before the other one later, in its own time.
func plug(a *space, nameA string, b *space, nameB string) {
	a.t.Helper()
	a.up(nameA)
	b.up(nameB)
	a.await(nameA, true)
	b.await(nameB, true)
}

// await waits until a link is operational, or isn't.
func (s *space) await(name string, up bool) {
	s.t.Helper()
	for is := !up; is != up; time.Sleep(time.Millisecond) {
		s.link(name, func(l netlink.Link) error {
			is = l.Attrs().OperState == netlink.OperUp
			return s.t.Context().Err()
		})
	}
}

func (s *space) link(name string, f func(netlink.Link) error) {
	s.t.Helper()
	s.do("change link "+name, func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return f(l)
	})
}

func (s *space) up(name string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error { return netlink.LinkSetUp(l) })
}

func (s *space) down(name string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error { return netlink.LinkSetDown(l) })
}

func (s *space) remove(name string) {
	s.t.Helper()
	s.link(name, netlink.LinkDel)
}

func (s *space) address(name, cidr string) {
	s.t.Helper()
	s.link(name, func(l netlink.Link) error {
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, a)
	})
}

func (s *space) index(name string) (index int) {
	s.t.Helper()
	s.do("find link "+name, func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			index = ifi.Index
		}
		return err
	})
	return index
}
