package plugin

import (
	"context"
	"log/slog"
	"sync"
)

// queueLen is how many events a plugin may be behind.
const queueLen = 64

// host is the Host of one plugin.
type host struct {
	source string
	box    *box
	log    *slog.Logger
	status func() Status
	state  state

	mu     sync.Mutex // one emit at a time
	events chan Event
	lost   int
}

func newHost(name string, b *box, log *slog.Logger, status func() Status) *host {
	return &host{source: sourceOf(name), box: b, log: log, status: status, events: make(chan Event, queueLen)}
}

func sourceOf(name string) string { return "plugin " + name }

func (h *host) Vote(votes ...Vote)   { h.box.vote(h, votes) }
func (h *host) Events() <-chan Event { return h.events }

// Status never waits here.
func (h *host) Status(context.Context) (Status, error) { return h.status(), nil }

// note keeps what a program's life tells, for Reports.
func (h *host) note(f func(*Report)) { h.state.set(f) }

func (h *host) Log() *slog.Logger { return h.log }

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
