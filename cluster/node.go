package cluster

import (
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Node is the deciding core of one process.
type Node struct{}

// New returns a node that starts to listen at now.
func New(now time.Time, o Options) *Node { return &Node{} }

// Receive takes one datagram; "" means that it was believed.
func (n *Node) Receive(now time.Time, p Packet) Refusal { return "" }

// Sign takes something seen on the wire.
func (n *Node) Sign(now time.Time, s Sign) {}

// Witness names the addresses that are asked to judge isolation: the gateway and the
// configured witnesses.
func (n *Node) Witness(now time.Time, addrs []string) {}

// Tick lets time pass.
func (n *Node) Tick(now time.Time) {}

// Vote takes an opinion on this node's health.
func (n *Node) Vote(now time.Time, v Vote) {}

// Drain hands everything over while a successor exists; false undoes it.
func (n *Node) Drain(now time.Time, on bool) {}

// Report takes what the kernel holds of a group.
func (n *Node) Report(now time.Time, r Report) {}

// Adopt switches to another plan, which was checked before.
func (n *Node) Adopt(now time.Time, p vipgroup.Plan) {}

// Retime switches to other timings.
func (n *Node) Retime(now time.Time, t Timing) {}

// Rekey switches to other keys; the first one seals.
func (n *Node) Rekey(keys []Key) {}

// Leave hands over what has a successor and gives up the rest.
func (n *Node) Leave(now time.Time) {}

// Left says whether Leave is done: nothing is held any more.
func (n *Node) Left() bool { return false }

// Farewell returns the last datagram of this process; nothing may be held any more.
func (n *Node) Farewell(now time.Time) Datagram { return Datagram{} }

// Ready returns what to do now.
func (n *Node) Ready(now time.Time) Ready { return Ready{} }

// Status returns a copy of what the node knows.
func (n *Node) Status(now time.Time) Status { return Status{} }
