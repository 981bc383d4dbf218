package multicast

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A list of links during which some came or went may lack others, and says so in any message.
func TestInterruptedDump(t *testing.T) {
	whole := []syscall.NetlinkMessage{{Header: syscall.NlMsghdr{Flags: unix.NLM_F_MULTI}}, {Header: syscall.NlMsghdr{Type: unix.NLMSG_DONE}}}
	if interrupted(whole) {
		t.Error("a whole list is called interrupted")
	}
	whole[1].Header.Flags |= unix.NLM_F_DUMP_INTR
	if !interrupted(whole) {
		t.Error("an interrupted list is taken for whole")
	}
}
