package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// newTwin makes the host on which a second process of one name runs: on the same switch, with
// an address of its own. It has no service, since it must never have a VIP.
func (c *cluster) newTwin() error {
	p := c.wire.ports[len(c.wire.ports)-1]
	c.twin = &node{port: p, name: "twin", num: byte(len(c.nodes) + 1), dir: filepath.Join(c.dir.path, "twin")}
	c.twin.stamps = stampReader{path: logPath(c.twin.dir), node: c.twin.num}
	if err := os.Mkdir(c.twin.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(c.twin.stamps.path, nil, 0o600)
}

// hosts are all machines on which a vippyd may run.
func (c *cluster) hosts() []*node {
	if c.twin == nil {
		return c.nodes
	}
	return append(c.nodes[:len(c.nodes):len(c.nodes)], c.twin)
}

// double starts another vippyd by a node's name, on the twin's host, and with a state
// directory of its own: somebody copied a config and forgot to change the name.
func (c *cluster) double(n *node) (err error) {
	t := c.twin
	t.conf = n.conf
	t.conf.mature = foreignMature
	if err := c.configure(t); err != nil {
		return err
	}
	t.proc, err = spawn(t.space, logPath(t.dir), c.vippyd, "-c", configPath(t.dir), "-n", n.name, "--log-level", "debug")
	return err
}

// doubleIdle does so with a node that holds nothing, because it was drained. The twin is not.
func (c *cluster) doubleIdle(ctx context.Context, n *node) error {
	if err := n.do(ctx, ctlsocket.Drain); err != nil {
		return err
	}
	wrong, err := c.until(ctx, 0, nil, func() (string, error) {
		has, err := n.table()
		if len(has) > 0 {
			return fmt.Sprintf("%s was drained and has %d addresses still", n.name, len(has)), err
		}
		return "", err
	})
	if err != nil {
		return err
	}
	if wrong != "" {
		return errors.New(wrong)
	}
	return c.double(n)
}

// endTwin ends the twin, and undrains the node.
func (c *cluster) endTwin(ctx context.Context, n *node) error {
	if !c.twin.proc.running() {
		return fmt.Errorf("the twin of %s ended by itself: %v; the end of its log:\n%s", n.name, c.twin.proc.result, tail(logPath(c.twin.dir), 10))
	}
	if err := c.twin.proc.kill(); err != nil {
		return err
	}
	return n.do(ctx, ctlsocket.Undrain)
}

// do orders a node's daemon to do something.
func (n *node) do(ctx context.Context, verb ctlsocket.Verb) error {
	if _, err := n.socket.Do(ctx, ctlsocket.Command{Verb: verb}); err != nil {
		return fmt.Errorf("%s: %s: %w", n.name, verb, err)
	}
	return nil
}
