package daemon

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/guard"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// handoverFormat changes whenever a handover says something else than before: in its own
// fields, in cluster.Snapshot, or in what is said to a guard.
const handoverFormat = 7

// A handover is what one program of this process leaves to the next. What is in the
// kernel is not in it: that is read back. Instants are of CLOCK_BOOTTIME.
type handover struct {
	Format  int
	Version string // of the program that leaves it

	// What only a new process can change.
	Node, Cluster, Management, StateDir string

	Plan vipgroup.Plan
	From string // whence the plan is (ruling)
	Core cluster.Snapshot
	// At is when Core was made, Turned the last turn, and Expires when the kernel may drop
	// the first address.
	At, Turned, Expires time.Duration
	Term, Grant         time.Duration
	Votes               []plugin.Ballot
	Guard               *guard.Heirloom // nil where there is none
	Changes             uint64          // of owners, for the count to go on
	Drain               *drain          // nil while no order to drain is in force

	// What happened, and the hosts that the kernels of the cluster speak with: the newest
	// of them. A rehearsal goes without.
	Events []ctlsocket.Event
	Hosts  []netplumb.Neighbour
}

// How much of what could be done without is handed over: it costs time in which nobody
// listens.
const (
	handedEvents = 1024
	handedHosts  = 1024
)

// The places of a handover's files; the last one is there where Guard is.
const (
	lockFile = iota
	controlFile
	guardFile
)

// instead is what to do where no handover is possible.
const instead = "restart instead, which hands over to the other nodes: systemctl restart vippyd"

// readHandover reads what another program wrote.
func readHandover(text []byte) (*handover, error) {
	var of struct {
		Format  int
		Version string
	}
	if err := json.Unmarshal(text, &of); err != nil {
		return nil, fmt.Errorf("handover: %w (%s)", err, instead)
	}
	if of.Format != handoverFormat {
		return nil, fmt.Errorf("handover: vippyd %s leaves format %d, and this one knows format %d (%s)",
			of.Version, of.Format, handoverFormat, instead)
	}
	h := &handover{}
	err := json.Unmarshal(text, h)
	if err == nil {
		h.Plan, err = vipgroup.NewPlan(h.Plan)
	}
	if err != nil {
		return nil, fmt.Errorf("handover: %w (%s)", err, instead)
	}
	return h, nil
}

// fits says why a program with this config and name can't go on from a handover.
func (h *handover) fits(c *config.Config, node string) error {
	for _, x := range []struct{ what, was, is string }{
		{"the node's name", h.Node, node},
		{"cluster", h.Cluster, c.Cluster},
		{"management", h.Management, c.Management},
		{"state_dir", h.StateDir, c.StateDir},
	} {
		if x.was != x.is {
			return fmt.Errorf("%s was %q and is %q in %s (%s)", x.what, x.was, x.is, c.Path, instead)
		}
	}
	return nil
}

// planned returns the config with the plan that was in force and why it was, and whether the
// file's is another, which a reload is to look at afterwards.
func (h *handover) planned(c *config.Config) (_ *config.Config, _ ruling, other bool) {
	if samePlan(c.Plan, h.Plan) {
		return c, ruling{From: h.From, File: c}, false
	}
	file := *c
	file.Hash = [len(c.Hash)]byte{} // of no file: for the reload to look closer
	return file.With(h.Plan), ruling{From: h.From, File: &file}, true
}

// handover is what this program would leave at this moment.
func (l *loop) handover(now time.Time) *handover {
	h := &handover{
		Format: handoverFormat, Version: l.version,
		Node: l.name, Cluster: l.config.Cluster, Management: l.config.Management, StateDir: l.config.StateDir,
		Plan: l.config.Plan, From: l.ruling.From, Core: l.node.Snapshot(now),
		At: l.boottime(), Turned: l.turned, Expires: l.kernel.Expires(), Term: l.term, Grant: l.grant,
		Changes: l.story.changes, Drain: l.drained,
	}
	for _, b := range l.ballots.plugins {
		h.Votes = append(h.Votes, b)
	}
	return h
}
