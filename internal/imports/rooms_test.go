package imports

import "maps"

// A room is a folder of the project, with the folders below it that are not rooms of
// their own.
type room struct {
	// path is the folder, from the top of the project.
	path string
	// uses lists the other rooms that it may import.
	uses []string
	// why says, after "because", what a further room would spoil.
	why string
	// never maps a package from outside the project, or a pattern like "net/...", to
	// the reason for which this room does without it. One of the standard library must
	// not be imported directly; any other must not be linked at all.
	never map[string]string
	// pure rooms get the time as an argument and start no goroutine.
	pure bool
}

// thirdParty is the pattern for everything outside the project and the standard library.
const thirdParty = "third-party/..."

// rooms is the whole map; a package that is in no room fails the test.
var rooms = []room{
	{
		path: "vipgroup",
		why:  "it is the vocabulary that all rooms share: what it used, all would use",
		never: merge(ioPackages, map[string]string{
			"hash/maphash": "its seeds differ between processes, and all nodes must find the same answer",
			"math/rand/v2": "all nodes must find the same answer",
			"math/rand":    "all nodes must find the same answer",
			thirdParty:     "all nodes must find the same answer, whatever was built against what",
		}),
		pure: true,
	},
	{
		path: "cluster",
		uses: []string{"vipgroup"},
		why:  "the core is driven by whoever calls it: the daemon on a real wire, the simulation on an invented one",
		never: merge(ioPackages, map[string]string{
			"sync":        "one loop is its only caller, so that it needs no lock",
			"sync/atomic": "one loop is its only caller, so that it needs no lock",
			thirdParty:    "it must run in the simulation exactly as it runs in the daemon",
		}),
		pure: true,
	},
	{
		path: "cluster/multicast",
		why:  "it carries bytes and leaves their meaning to others",
	},
	{
		path: "netplumb",
		uses: []string{"vipgroup"},
		why:  "it makes the kernel match what is wanted and need not know why it is wanted",
	},
	{
		path: "internal/child",
		why:  "it runs any program alike, and what for is its callers'",
	},
	{
		path: "plugin",
		uses: []string{"vipgroup", "internal/child"},
		why:  "a plugin votes and listens; it can reach neither the cluster nor the kernel",
		never: map[string]string{
			"github.com/vishvananda/netlink/...": "a plugin can't reach the kernel's addresses",
		},
	},
	{
		path: "check",
		uses: []string{"plugin", "vipgroup", "internal/child"},
		why:  "a check is a plugin like any other and has no door of its own",
		never: map[string]string{
			"github.com/vishvananda/netlink/...": "a check can't reach the kernel's addresses",
		},
	},
	{
		path: "ctlsocket",
		why:  "it is a leaf: vippyctl and other programs link it and nothing more",
		never: map[string]string{
			thirdParty: "it is a leaf: vippyctl and other programs link it and nothing more",
		},
	},
	{
		path: "internal/config",
		uses: []string{"vipgroup"},
		why:  "it reads and checks a file; applying what it says is the daemon's",
		never: map[string]string{
			"github.com/vishvananda/netlink/...": "`vippyd check` must work where no interface exists yet",
		},
	},
	{
		path: "internal/hook",
		uses: []string{"ctlsocket", "internal/child"},
		why:  "it tells programs what the control socket tells people, and decides nothing",
		never: map[string]string{
			"github.com/vishvananda/netlink/...": "a hook can't reach the kernel's addresses",
		},
	},
	{
		path: "internal/guard",
		uses: []string{"vipgroup", "cluster", "cluster/multicast", "netplumb"},
		why:  "it acts when the daemon is dead, so it can't lean on it",
		never: map[string]string{
			"github.com/spf13/cobra": "its process is small, and started by vippyd alone",
			"net/http":               "its process is small, and talks to vippyd and the chat alone",
		},
	},
	{
		path: "internal/upgrade",
		why:  "it exchanges programs, and what they hand over is the daemon's",
	},
	{
		path: "internal/daemon",
		uses: []string{"vipgroup", "cluster", "cluster/multicast", "netplumb", "plugin", "ctlsocket", "internal/child", "internal/config", "internal/guard", "internal/hook", "internal/upgrade"},
		why:  "it is the one loop; which plugins are built in, and tests and drills, are decided above it",
		never: map[string]string{
			"github.com/spf13/cobra": "flags belong to cmd/vippyd",
			"flag":                   "flags belong to cmd/vippyd",
			"os/signal":              "signals belong to cmd/vippyd, which cancels the context",
		},
	},
	{
		path: "internal/sim",
		uses: []string{"vipgroup", "cluster", "netplumb"},
		why:  "a failing seed must replay exactly, so nothing in it may touch the real world",
		never: map[string]string{
			"net":       "a failing seed must replay exactly; the simulation has a network of its own",
			"os/signal": "a simulation ends by itself",
		},
	},
	{
		path: "internal/lab",
		uses: []string{"vipgroup", "netplumb", "ctlsocket"},
		why:  "it watches daemons from outside and must not share their opinions",
	},
	{
		path: "internal/bench",
		uses: []string{"internal/lab"},
		why:  "it judges vippy and keepalived by the same measure, so it may know no more of one than of the other",
	},
	{
		path: "internal/imports",
		why:  "it reads the source and uses none of it",
	},
	{
		path: "internal/docs",
		uses: []string{"ctlsocket", "internal/config"},
		why:  "it tries what the pages show, as a reader would: with the binaries and the config",
	},
	{
		path: "packaging",
		why:  "it holds files for an operating system, not code",
	},
	{
		path: "examples",
		uses: []string{"vipgroup", "plugin", "check", "cmd/vippyd"},
		why:  "an example shows what somebody outside can do",
	},
	{
		path: "cmd/vippyd",
		uses: []string{"vipgroup", "plugin", "check", "ctlsocket", "internal/child", "internal/config", "internal/daemon", "internal/guard", "internal/lab", "internal/upgrade"},
		why:  "it wires and leaves behaviour to the daemon",
	},
	{
		path: "cmd/vippyctl",
		uses: []string{"ctlsocket", "vipgroup", "internal/config"},
		why:  "it knows what the socket tells, as any other client does, and what a config file says",
		never: map[string]string{
			"github.com/vishvananda/netlink/...": "only the daemon touches the kernel",
		},
	},
}

// ioPackages are out of place where decisions are made.
var ioPackages = map[string]string{
	"net":         "deciding code opens no socket (net/netip is enough)",
	"net/http":    "deciding code opens no socket",
	"os/...":      "deciding code reads no file and no environment",
	"io/ioutil":   "deciding code reads no file",
	"syscall":     "deciding code makes no system call",
	"unsafe":      "deciding code makes no system call",
	"context":     "deciding code doesn't wait, so nobody needs to interrupt it",
	"log/...":     "deciding code returns what happened; the layer that handles it logs",
	"crypto/rand": "the same inputs must give the same answer",
}

func merge(ms ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range ms {
		maps.Copy(out, m)
	}
	return out
}
