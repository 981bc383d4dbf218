package plugin

import (
	"log/slog"
	"sync"
)

// queueLen is how many events a plugin may be behind.
const queueLen = 64

// host is the Host of one child.
type host struct {
	source string
	box    *box
	log    *slog.Logger

	mu     sync.Mutex // one emit at a time
	events chan Event
	lost   int
}

func newHost(name string, b *box, log *slog.Logger) *host {
	return &host{source: sourceOf(name), box: b, log: log, events: make(chan Event, queueLen)}
}

func sourceOf(name string) string { return "plugin " + name }

func (h *host) Vote(votes ...Vote)   { h.box.vote(h, votes) }
func (h *host) Events() <-chan Event { return h.events }
func (h *host) Log() *slog.Logger    { return h.log }

// emit makes room by throwing away the oldest event.
func (h *host) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		e.Lost = h.lost
		select {
		case h.events <- e:
			h.lost = 0
			return
		default:
		}
		select {
		case old := <-h.events:
			h.lost += 1 + old.Lost
		default: // the plugin made room just now
		}
	}
}
