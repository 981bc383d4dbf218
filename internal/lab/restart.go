package lab

import (
	"context"
	"time"
)

// A restart is so many kills and new starts, so far apart.
const (
	restartTimes = 8
	restartEvery = time.Second
)

// restart kills a node's daemon and starts it again, over and over, as a service manager
// does with a daemon that crashes. It ends with the daemon running.
func (c *cluster) restart(ctx context.Context, n *node) error {
	for range restartTimes {
		begin := now()
		if err := n.proc.kill(); err != nil {
			return err
		}
		if err := c.start(n); err != nil {
			return err
		}
		if err := Pause(ctx, restartEvery-begin.since()); err != nil {
			return err
		}
	}
	return nil
}

// killPeers kills daemon and guard of all nodes but one.
func (c *cluster) killPeers(ctx context.Context, n *node) error {
	for _, other := range c.others(n) {
		if err := other.killBoth(ctx); err != nil {
			return err
		}
	}
	return nil
}

// returnAll starts every daemon that doesn't run.
func (c *cluster) returnAll(ctx context.Context) error {
	for _, n := range c.nodes {
		if n.proc.running() {
			continue
		}
		if err := c.bringBack(ctx, n); err != nil {
			return err
		}
	}
	return nil
}
