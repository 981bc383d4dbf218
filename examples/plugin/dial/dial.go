// Package dial is a health check as somebody outside of vippy would write it: one small
// type. It runs compiled into vippyd (../vippyd) or as a program of its own (..).
package dial

import (
	"context"
	"net"
	"time"

	"github.com/vippy-ha/vippy/plugin"
)

// A Check bars this node while nobody listens at an address, and logs what groups the
// node takes and releases.
type Check struct {
	// Network and Address are what net.Dial takes.
	Network, Address string
	// Every is the time between two looks.
	Every time.Duration
}

// Name implements plugin.Plugin.
func (c Check) Name() string { return "dial " + c.Address }

// Run implements plugin.Plugin.
func (c Check) Run(ctx context.Context, host plugin.Host) error {
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		host.Vote(c.look(ctx))
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
func (c Check) look(ctx context.Context) plugin.Vote {
	dialer := net.Dialer{Timeout: c.Every}
	conn, err := dialer.DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return plugin.Vote{Bar: true, Reason: err.Error()}
	}
	conn.Close()
	return plugin.Vote{}
}
