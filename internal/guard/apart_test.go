package guard

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What is meant for the daemon doesn't reach its guard: neither its session's terminal nor its
// environment, where a secret might be.
func TestTheGuardStandsApart(t *testing.T) {
	t.Setenv("GUARD_TEST_SECRET", "correct horse battery staple")
	s := start(t)
	if sid, err := unix.Getsid(s.guard); err != nil || sid != s.guard {
		t.Errorf("the guard %d is in session %d (%v), want one of its own", s.guard, sid, err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.guard))
	if want := strings.Join(environment, "\x00") + "\x00"; err != nil || string(text) != want {
		t.Errorf("the guard's environment is %q (%v), want %q", text, err, want)
	}
}

// A link that came anew after the guard was told of it is spoken on as well.
func TestTheFarewellIsSaidOnALinkThatCameAnew(t *testing.T) {
	s := start(t)
	s.enter(func() error {
		old, err := netlink.LinkByName("v0")
		if err == nil {
			err = netlink.LinkDel(old)
		}
		if err != nil {
			return err
		}
		return s.wireUp()
	})
	guard := s.watchEnd(s.guard)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range farewells {
		if !s.hearFarewell() {
			t.Fatalf("%d farewells, want %d", i, farewells)
		}
	}
	s.seeEnd(guard)
}
