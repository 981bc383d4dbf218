package main

import (
	"context"
	"net"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// A dialCheck bars this node while nobody listens at an address, and logs what groups
// the node takes and releases.
type dialCheck struct {
	network, address string
	every            time.Duration
}

// Name implements plugin.Plugin.
func (d dialCheck) Name() string { return "dial " + d.address }

// Run implements plugin.Plugin.
func (d dialCheck) Run(ctx context.Context, host plugin.Host) error {
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		host.Vote(d.look(ctx))
		for looked := false; !looked; {
			select {
			case <-ctx.Done():
				return nil
			case e := <-host.Events():
				if e.Kind == plugin.Taken || e.Kind == plugin.Released {
					host.Log().Info("group "+string(e.Kind), "group", e.Group.Name)
				}
			case <-tick.C:
				looked = true
			}
		}
	}
}

// look asks once. A vote that says the same as the last one costs nothing.
func (d dialCheck) look(ctx context.Context) plugin.Vote {
	dialer := net.Dialer{Timeout: d.every}
	conn, err := dialer.DialContext(ctx, d.network, d.address)
	if err != nil {
		return plugin.Vote{Bar: true, Reason: err.Error()}
	}
	conn.Close()
	return plugin.Vote{}
}
