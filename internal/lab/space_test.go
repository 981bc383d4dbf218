package lab

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Packages are initialised on the first thread of the process.
var (
	initThread  = unix.Gettid()
	asideThread = func() int {
		tid := make(chan int, 1)
		aside(func() { tid <- unix.Gettid() })
		return <-tid
	}()
)

// The first thread never ends, so no namespace may live on it: a soak found the lab itself
// left in one.
func TestNoSpaceOnTheFirstThread(t *testing.T) {
	if initThread != unix.Getpid() {
		t.Fatalf("packages are initialised on thread %d, not on the first, %d: this test shows nothing", initThread, unix.Getpid())
	}
	if asideThread == unix.Getpid() {
		t.Error("what is to end with its thread runs on the first one, which never ends")
	}
}
