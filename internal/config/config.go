package config

import (
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// DefaultPath is where vippyd looks for its file unless told otherwise.
const DefaultPath = "/etc/vippy.conf"

// A Config is one host's file, checked and with every default filled in. The Plan in it
// is what all nodes must agree on; everything else is this host's own.
type Config struct {
	// Path is the file it came from, as named by the caller.
	Path string
	// Hash is the SHA-256 of the file's bytes, so that a reload can tell "the same".
	Hash [32]byte
	// Notices are sentences that the daemon should log once: values that were adjusted, an
	// own name that the plan does not list.
	Notices []string

	// Plan is made by vipgroup.NewPlan; its VIPs carry this host's interface names.
	Plan vipgroup.Plan
	// Secrets open announcements; the first one signs. After Load there is at least one.
	Secrets []Secret
	// SecretFile is the file that Load reads the secret from, or "".
	SecretFile string

	// Chat is the IPv4 multicast group and port that the nodes talk on; with the address
	// 0.0.0.0 there is no group, and they talk by unicast only.
	Chat netip.AddrPort
	// ChatInterfaces are interface names or addresses; empty means all that can do multicast.
	ChatInterfaces []string
	// Peers are reached by unicast, beside the multicast group or instead of it. This
	// host's own address may be among them.
	Peers []netip.AddrPort
	// Cluster tells apart clusters that share a wire and a secret.
	Cluster string

	// Interval is the time between two announcements, at most Stale/5.
	Interval time.Duration
	// Stale is how long silence is borne, at least 3 Interval + 50 ms.
	Stale time.Duration
	// Mature bounds how long a new process listens for nodes that it doesn't hear.
	Mature time.Duration
	// Lifetime is how long the kernel keeps an address that nobody extends, in whole seconds.
	Lifetime time.Duration

	// ArpCache is the time between two readings of the local ARP table.
	ArpCache time.Duration
	// NotifyRate is the most ARP announcements per second and interface.
	NotifyRate int
	// Notify lists who is told by directed ARP when an address is taken.
	Notify []Notify
	// Witness are addresses that are asked to judge isolation, beside the gateway.
	Witness []netip.Addr

	// Management is the path of the control socket.
	Management string
	// StateDir holds the lock file and what must outlive the process.
	StateDir string
	// Logging says where the log goes and which severities are kept.
	Logging Logging
	// Reload says whether a changed file is applied or only reported.
	Reload Reload

	// Plugins are programs to run beside the daemon, in the order of the file.
	Plugins []Program
	// Checks are in the order of the file.
	Checks []Check
	// Hooks are in the order of the file.
	Hooks []Hook
	// WhenAllFail says what a failing check does when no node is healthy.
	WhenAllFail WhenAllFail
}

// Notify names hosts to be told of a taken address: those of a network, or (with
// ArpCache set) those in the cluster's collective ARP table.
type Notify struct {
	ArpCache  bool
	Interface string
	Network   netip.Prefix
}

// Reload is what to do when the file changes.
type Reload string

// The two answers to a changed file.
const (
	// Manual: report the change and wait for SIGHUP or `vippyctl reload`.
	Manual Reload = "manual"
	// Auto: apply it.
	Auto Reload = "auto"
)

// WhenAllFail is what becomes of a group when every node's checks fail.
type WhenAllFail string

// The answers to "nobody is healthy".
const (
	// Keep: the holder goes on serving, as if the checks had passed.
	Keep WhenAllFail = "keep"
	// Drop: nobody serves.
	Drop WhenAllFail = "drop"
)

// A Check looks at something again and again; what it sees is a vote. Exactly one of
// Command, HTTP, TCP, Process and File says what it looks at.
type Check struct {
	// Name is the vote's source.
	Name string
	// Command is the program and its arguments; a command written as one string becomes
	// /bin/sh -c STRING. User is who it runs as, "" the default; Nagios says that its exit
	// code is that of a Nagios plugin.
	Command []string
	User    string
	Nagios  bool
	// HTTP is a URL, Expect what the page must hold.
	HTTP, Expect string
	// TCP is HOST:PORT.
	TCP string
	// Process is a pid file's path or a program's name.
	Process string
	// File is a path; Missing says that it is healthy while nothing is there.
	File    string
	Missing bool
	// Interval is the time between two starts, Timeout the longest run.
	Interval, Timeout time.Duration
	// Rise is how many successes in a row make it healthy, Fall how many failures don't.
	Rise, Fall int
	// Bar takes the node (or the groups) out on failure; else Penalty makes it the worse choice.
	Bar     bool
	Penalty int
	// Groups are the groups that the check speaks for, in the plan's order; none means
	// the whole node.
	Groups []vipgroup.Key
	// Named are the words by which the check itself names groups.
	Named []string
}

// A Program is a plugin that is a program of its own.
type Program struct {
	// Name is the source of its votes.
	Name string
	// Command is the program and its arguments, as in Check.
	Command []string
	// User is who it runs as, "" the default.
	User string
	// Timeout is how long it may say nothing; 0 means for ever.
	Timeout time.Duration
	// Bar takes the node (or the groups) out when it ends; else Penalty makes it the worse
	// choice, and 0 means nothing.
	Bar     bool
	Penalty int
	// Groups are the groups that its end means something to, as the file has them; none
	// means the whole node.
	Groups []string
}

// A Hook is a command that is told of an event.
type Hook struct {
	// Event is one of the names in HookEvents.
	Event string
	// Command is the program and its arguments, as in Check.
	Command []string
	// Timeout is how long it may take.
	Timeout time.Duration
	// User is who it runs as; "" means nobody where the daemon is root, else the daemon's own.
	User string
}

// MaxPenalty is the largest penalty that a check may give.
const MaxPenalty = 1_000_000

// MaxSecret is the longest secret, in bytes.
const MaxSecret = 4096

// HookEvents are the events that `hooks` may name.
var HookEvents = []string{"taken", "released", "moved", "eligible", "not-eligible", "conflict", "still-owner", "stopping"}
