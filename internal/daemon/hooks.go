package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/hook"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// hooking decides which events are for hooks: those that a person would call by the name
// that they have in the config. All but runner belongs to the loop.
type hooking struct {
	runner *hook.Runner
	// eligible is what was last told; taken are the groups that were told as taken and not
	// as released since. Of a claim that came to nothing no hook knows.
	eligible bool
	taken    map[vipgroup.Key]bool
}

func hooksOf(c *config.Config) (out []hook.Hook) {
	for _, h := range c.Hooks {
		out = append(out, hook.Hook{Event: h.Event, Command: h.Command, Timeout: h.Timeout, User: h.User})
	}
	return out
}

// emit passes an event on to its hook. What it says is rendered already.
func (h *hooking) emit(l *loop, e plugin.Event, rendered ctlsocket.Event) {
	if !h.concerns(e) {
		return
	}
	out := hook.Event{Identity: l.name, Cluster: l.config.Cluster, Event: rendered}
	for _, v := range e.Group.VIPs {
		out.Interfaces = append(out.Interfaces, v.Interface)
	}
	h.runner.Emit(out)
}

// concerns says whether an event is news for a hook.
func (h *hooking) concerns(e plugin.Event) bool {
	switch e.Kind {
	case plugin.Taken:
		h.taken[e.Group.Key] = true
	case plugin.Released:
		taken := h.taken[e.Group.Key]
		delete(h.taken, e.Group.Key)
		return taken
	case plugin.Eligible, plugin.NotEligible:
		was := h.eligible
		h.eligible = e.Kind == plugin.Eligible
		return was != h.eligible
	}
	return true
}

// start runs hooks until the function that it returns is called, which lets what waits run
// until the given instant.
func (h *hooking) start() (finish func(by time.Time)) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.runner.Run(ctx) })
	return func(by time.Time) {
		h.runner.Finish()
		late := time.AfterFunc(time.Until(by), cancel)
		running.Wait()
		late.Stop()
		cancel()
	}
}
