package lab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A space is one anonymous network namespace: a goroutine locked to an OS thread that
// lives in it. Sockets opened and processes started by that thread belong to the
// namespace; the namespace ends with the last of them. A process that it starts with
// Pdeathsig dies when the thread does, so the thread lives as long as the space.
type space struct {
	name  string
	calls chan func()
	done  chan struct{}
	// ns refers to the namespace for as long as the space is open.
	ns *os.File
}

// newSpace makes a network namespace.
func newSpace(name string) (*space, error) {
	s := &space{name: name, calls: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go aside(func() { s.live(ready) })
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("namespace %s: %w", name, err)
	}
	return s, nil
}

// aside runs f on a thread that ends with it: the runtime does that to one that is still
// locked when its goroutine ends. But it never ends the first thread of a process, which
// would stay in the namespace for as long as the process lives: that one is held until f has
// got another.
func aside(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	defer runtime.UnlockOSThread()
	other := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(other)
		f()
	}()
	<-other
}

// live runs the calls.
func (s *space) live(ready chan<- error) {
	defer close(s.done)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("unshare: %w", err)
		return
	}
	// Not /proc/self/task/<id>: inside a process namespace the ids there are others.
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		ready <- err
		return
	}
	s.ns = ns
	ready <- nil
	for call := range s.calls {
		call()
	}
}

// do runs f on the thread of the namespace and waits for it.
func (s *space) do(f func() error) error {
	result := make(chan error, 1)
	s.calls <- func() { result <- f() }
	if err := <-result; err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// close ends the thread, and with it the namespace unless a process still lives there.
func (s *space) close() {
	close(s.calls)
	<-s.done
	s.ns.Close()
}
