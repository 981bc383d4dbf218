package ctlsocket

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Event is something that happened to the node that tells it, to a group, or to another
// node as this one sees it. It has the words and the kinds of plugins and hooks.
type Event struct {
	// Seq numbers the events of one daemon from 1 on.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Kind says what happened: taking, taken, releasing, released, conflict, still-owner,
	// moved, peer, eligible, not-eligible, alarm, alarm-over, plan-changed, stopping.
	Kind string `json:"event"`
	// Group, Key and Addresses are those of the group that the event is about.
	Group     string         `json:"group,omitempty"`
	Key       string         `json:"key,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	// Node is the other node that the event is about: who has the group now, or whose
	// state changed.
	Node string `json:"node,omitempty"`
	// Former is the node that had the group before.
	Former string `json:"former,omitempty"`
	// Reason says why, or what, in a few words.
	Reason string `json:"reason,omitempty"`
	// PlanVersion is the version of the plan that ruled.
	PlanVersion uint64 `json:"plan_version,omitempty"`
	// Lost is how many events right before this one the reader doesn't get: they are
	// forgotten, because there were too many or he read too slowly.
	Lost uint64 `json:"lost,omitempty"`
}

const (
	// remembered is how many events a History keeps: what happens when 1,000 groups move
	// to and fro.
	remembered = 4096
	// page is how many of them are handed out at once.
	page = 256
)

// A History keeps the newest events, bounded, for any number of readers. Who adds never
// waits for who reads. The zero value is empty.
type History struct {
	mu sync.Mutex
	// ring has the event with number seq at (seq - 1 - base) % remembered, once it is that long.
	ring  []Event
	base  uint64 // the last number that was forgotten before the ring began
	last  uint64
	grown chan struct{} // closed at the next event; nil while nobody waits
}

// Add numbers an event, remembers it in place of the oldest, and returns it.
func (h *History) Add(e Event) Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	e.Seq, e.Lost = h.last, 0
	if len(h.ring) < remembered {
		h.ring = append(h.ring, e)
	} else {
		h.ring[(h.last-1-h.base)%remembered] = e
	}
	if h.grown != nil {
		close(h.grown)
		h.grown = nil
	}
	return e
}

// Newest returns the newest events, at most so many, the oldest of them first.
func (h *History) Newest(most int) []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []Event
	for n := h.last - uint64(min(most, len(h.ring))); n < h.last; n++ {
		events = append(events, h.ring[(n-h.base)%remembered])
	}
	return events
}

// GoOn makes an empty History go on after what another one's Newest returned.
func (h *History) GoOn(after []Event) {
	if len(after) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring = slices.Clone(after[max(0, len(after)-remembered):])
	h.base, h.last = h.ring[0].Seq-1, h.ring[len(h.ring)-1].Seq
}

// After returns the oldest events that are remembered of those after number seq, some at
// a time. Without any, more is closed when there is one. A number that was not given yet
// is that of another daemon, and counts as 0.
func (h *History) After(seq uint64) (events []Event, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq > h.last {
		seq = 0
	}
	if seq == h.last {
		if h.grown == nil {
			h.grown = make(chan struct{})
		}
		return nil, h.grown
	}
	from := max(seq, h.last-uint64(len(h.ring)))
	for n := from; n < min(h.last, from+page); n++ {
		events = append(events, h.ring[(n-h.base)%remembered])
	}
	events[0].Lost = from - seq
	return events, nil
}
