package netplumb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Permitted returns an error that names what this process lacks, and where to get it, to
// plumb addresses and to speak ARP in the network namespace of the calling thread. It
// asks the kernel instead of reading capabilities, which may be those of another user
// namespace.
func Permitted() error {
	var missing []string
	// Refused before anything is looked at; else there is no such link.
	req := nl.NewNetlinkRequest(unix.RTM_DELADDR, unix.NLM_F_ACK)
	req.AddData(nl.NewIfAddrmsg(unix.AF_INET))
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); errors.Is(err, unix.EPERM) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		missing = append(missing, "CAP_NET_RAW")
	} else if err == nil {
		_ = unix.Close(fd)
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("missing %s: run it as root, or grant it (systemd: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW)",
		strings.Join(missing, " and "))
}
