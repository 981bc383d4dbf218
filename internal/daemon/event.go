package daemon

import (
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/plugin"
)

// emit tells all who listen what happened. None of them keeps the loop waiting: a plugin
// that is behind loses the oldest events, and so does a reader of the history, or a hook.
func (l *loop) emit(e plugin.Event) {
	e.PlanVersion = l.config.Plan.Version
	l.runner.Emit(e)
	l.hooking.emit(l, e, l.history.Add(renderEvent(e)))
}

// Events returns what is remembered of what happened after event number after. It may be
// called from any goroutine.
func (l *loop) Events(after uint64) ([]ctlsocket.Event, <-chan struct{}) {
	return l.history.After(after)
}

func renderEvent(e plugin.Event) ctlsocket.Event {
	out := ctlsocket.Event{Time: e.Time, Kind: string(e.Kind), Node: e.Node, Former: e.Former, Reason: e.Reason, PlanVersion: e.PlanVersion}
	if e.Group.Name == "" {
		return out
	}
	out.Group, out.Key = e.Group.Name, e.Group.Key.String()
	for _, v := range e.Group.VIPs {
		out.Addresses = append(out.Addresses, v.Address)
	}
	return out
}
