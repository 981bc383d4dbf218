// Package sim runs whole clusters of real cluster.Nodes in virtual time and checks what
// their kernels hold. It owns the imaginary world around the core: an event queue, a
// network that loses, delays, repeats and cuts, hosts with a kernel that keeps addresses
// of dead processes until their lifetime ends, a shell around each Node that does what
// the daemon does, an attacker, and a checker.
//
// The nodes exchange the sealed bytes of the real wire format; there is no friendlier
// message. The checker reads the address tables of the fake kernels after every event
// and never asks a node for its opinion. It checks five promises (README, "What it promises"):
// P1, one owner; P2, always an owner; P3, no needless move; P4, only the cluster speaks; and
// P5, the kernel is the truth.
//
// It leaves alone real I/O, real time and goroutines: one run is one thread, and the
// same seed gives the same trace, event by event.
//
// To search for long, in as many hours and threads as wanted:
//
//	go test ./internal/sim -run TestFresh -sim.hours=200 -sim.workers=2 -timeout 0
//
// To see one seed again, with every event:
//
//	go test ./internal/sim -run TestFresh -sim.seed=SEED -v
package sim
