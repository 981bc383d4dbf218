package sim

import (
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// A handover is what a program leaves for the one that replaces it.
type handover struct {
	snapshot cluster.Snapshot
	at       int64 // on the host's clock
}

// upgrade replaces the running program by itself, as execve(2) does: from one moment to
// the next its sockets and plans are gone, while kernel and guard stay. The next one goes
// on so many ns later.
func (h *host) upgrade(after int64) {
	if !h.alive() || h.leaving {
		return
	}
	now := h.clock.time(h.w.now)
	if h.node.Unheard(now) != "" {
		return // refused
	}
	h.w.note(h.id, "upgrade", -1)
	h.left = handover{h.node.Snapshot(now), h.clock.at(h.w.now)}
	h.gen++
	h.state = upgrading
	h.inbox = h.inbox[:0]
	h.plumbAt, h.wakeAt, h.wakeSet = 0, 0, 0
	if after > int64(h.w.cfg.Stale)/4 {
		h.idle = h.w.now // a program that takes so long to start is like one that hangs
	}
	h.forsake()
	h.continueIn(after)
}

// continueIn has the next program go on, as soon as it can after so many ns.
func (h *host) continueIn(ns int64) {
	gen := h.gen
	h.w.after(max(ns, 1), func() {
		switch {
		case h.gen != gen || h.state != upgrading: // killed
		case !h.running() || h.stopped > 0:
			h.continueIn(1 + h.w.upTo(1_000_000))
		default:
			h.goOn()
		}
	})
}

// goOn is the new program's start.
func (h *host) goOn() {
	w := h.w
	h.forsake()
	h.state = running
	if h.late() {
		h.rebirth()
		return
	}
	now := h.clock.time(w.now)
	plan := h.node.Plan() // what the file says is adopted afterwards, as a reload would
	after := time.Duration(h.clock.at(w.now) - h.left.at)
	if after > w.cfg.Stale/4 {
		h.speaks = w.now // as a third it was no way round a cut meanwhile
	}
	h.node = cluster.Resume(now, after, cluster.Options{Name: h.name, Cluster: "sim",
		Keys: h.keys(), Plan: plan, Timing: h.timing}, h.left.snapshot)
	if w.cfg.Gateway {
		h.node.Witness(now, []netip.Addr{w.addrs[w.hosts[w.gateway].addr]})
	}
	if plan.Digest() != h.file.plan.Digest() {
		h.node.Adopt(now, h.file.plan)
	}
	h.reload = false
	h.hear(now)
	h.findHeld()
	clear(h.known)
	h.lastFrame, h.willDue = 0, 0
	h.resume()
}

// findHeld makes what is held wanted. An address that was there and is not any more isn't
// put there again: the core has to claim it anew.
func (h *host) findHeld() {
	h.held = h.held[:0]
	clear(h.want)
	clear(h.put)
	for _, x := range h.left.snapshot.Groups {
		g := h.w.byKey[x.Key]
		h.due[g] = true // it is read back, whatever becomes of it
		if !x.Wanted {
			continue
		}
		h.held = append(h.held, x.Key)
		for _, a := range h.w.groups[g].addrs {
			h.want[a] = true
			h.put[a] = x.Plumbed && h.w.cfg.Bug != BugResumeRestores || h.kernel.has[a]
		}
	}
}

// hear tells the new program what operators and checks say, which it asks anew.
func (h *host) hear(now time.Time) {
	for _, f := range h.w.faults {
		if f.A != h.id {
			continue
		}
		switch f.Kind {
		case Bar:
			h.node.Vote(now, cluster.Vote{Source: "sim", Bar: true, Strict: h.w.cfg.Drop, Reason: "sim"})
		case BarOne:
			h.node.Vote(now, cluster.Vote{Source: "sim", Group: &h.w.groups[f.Arg].key, Bar: true, Strict: h.w.cfg.Drop, Reason: "sim"})
		case Worse:
			h.node.Vote(now, cluster.Vote{Source: "sim", Group: &h.w.groups[f.Arg].key, Penalty: 10, Reason: "sim"})
		}
	}
	h.drainAgain(now)
}
