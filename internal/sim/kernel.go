package sim

import "time"

// sweepMax is how much later than its lifetime the kernel drops an address: the sweep
// of Linux runs when it likes (measured 0 to 1.02 s after the last extension's end).
const sweepMax = int64(1020 * time.Millisecond)

// A kernel is the address table of one host.
type kernel struct {
	has     []bool
	expires []int64 // world time at which the lifetime ends; only where has
	sweep   []int64 // how much later the kernel notices
	armed   []bool  // an expire event is under way
}

// answers says whether the kernel of h answers an ARP request for an address: its own,
// and every VIP that it has, whatever its daemon does.
func (h *host) answers(addr int) bool {
	if addr < h.w.vips {
		return h.kernel.has != nil && h.kernel.has[addr]
	}
	return addr == h.addr
}

// add puts an address into the kernel of h with one lifetime.
func (h *host) add(addr int, why string) {
	w, k := h.w, &h.kernel
	if !k.has[addr] {
		k.has[addr] = true
		w.check.changed(h.id, addr, true)
		w.note(h.id, why, addr)
	}
	h.prolong(addr, w.upTo(sweepMax))
}

func (h *host) prolong(addr int, sweep int64) {
	w, k := h.w, &h.kernel
	k.expires[addr], k.sweep[addr] = w.now+h.clock.span(int64(w.cfg.Lifetime)), sweep
	if !k.armed[addr] {
		k.armed[addr] = true
		w.queue.push(event{at: k.expires[addr], kind: expire, host: int16(h.id), arg: int16(addr)})
	}
}

// remove takes an address out of the kernel of h.
func (h *host) remove(addr int, why string) {
	if k := &h.kernel; k.has[addr] {
		k.has[addr] = false
		h.w.check.changed(h.id, addr, false)
		h.w.note(h.id, why, addr)
	}
}

// expireNow drops an address whose lifetime ended, and lets the shell know.
func (h *host) expireNow(addr int) {
	k, w := &h.kernel, h.w
	k.armed[addr] = false
	switch {
	case !k.has[addr]:
	case h.paused || h.frozen:
		// Nothing runs; thawing looks again.
	case k.expires[addr]+k.sweep[addr] > w.now:
		k.armed[addr] = true
		at := k.expires[addr]
		if at <= w.now {
			at += k.sweep[addr]
		}
		w.queue.push(event{at: at, kind: expire, host: int16(h.id), arg: int16(addr)})
	default:
		h.remove(addr, "expired")
		h.look(addr)
	}
}

// extend prolongs what is there. It changes and never creates.
func (h *host) extend() {
	sweep := h.w.upTo(sweepMax)
	if !h.granted() && h.w.cfg.Bug != BugExtendCreates {
		return
	}
	for a, wanted := range h.want {
		switch {
		case !wanted || !h.put[a]:
		case h.kernel.has[a]:
			h.prolong(a, sweep)
		case h.w.cfg.Bug == BugExtendCreates:
			h.add(a, "created by an extension")
		}
	}
}

// look has the shell read back every group that has the address, a moment later, as a
// netlink event would.
func (h *host) look(addr int) {
	for g := range h.w.groups {
		for _, a := range h.w.groups[g].addrs {
			if a == addr {
				h.w.queue.push(event{at: h.w.now + int64(100*time.Microsecond), kind: report,
					host: int16(h.id), arg: int16(g), gen: h.gen})
			}
		}
	}
}

// count reads back how much of a group the kernel holds.
func (h *host) count(g int) (present, missing int) {
	for _, addr := range h.w.groups[g].addrs {
		if h.kernel.has[addr] {
			present++
		} else {
			missing++
		}
	}
	return present, missing
}
