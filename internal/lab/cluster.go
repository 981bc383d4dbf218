package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// stopLimit is how long an ordered stop may take before the lab calls it hung: vippyd's
// own deadline is 5 s.
const stopLimit = 15 * time.Second

// A node is one member of the cluster under test.
type node struct {
	*port
	name string
	// voter: it only counts for a majority and is none of the plan's nodes.
	voter bool
	// num is its number in probes and changes: its place among the hosts, from 1.
	num  byte
	dir  string
	proc *process
	// service is the process that a check watches.
	service *process
	wanted  bool // its daemon should be running
	hung    bool
	cut     bool // some direction of its link is dead
	// foreign: its daemon runs with another secret than the others'.
	foreign bool
	// frozen is the process id of its guard while that is stopped, else 0.
	frozen int
	conf   settings // as its file has them
	socket ctlsocket.Client

	responder *responder
	talker    *talker // while its cable is pulled
	stamps    stampReader
}

// sound says whether the node can be expected to know the state of the cluster.
func (n *node) sound() bool { return n.proc.running() && !n.hung && !n.cut && !n.foreign }

// state is one word for the live table.
func (n *node) state() string {
	switch {
	case !n.proc.running():
		return "stopped"
	case n.hung:
		return "hung"
	case n.cut:
		return "cut off"
	case n.foreign:
		return "foreign"
	}
	return "running"
}

// A cluster is nodes that run vippyd, a client that asks for their VIPs, and the switch
// between them.
type cluster struct {
	vippyd string
	dir    *workdir
	wire   *wire
	client *port
	nodes  []*node
	// twin, where there is one, is a host for a second process of a node's name.
	twin   *node
	groups []group
	vips   []netip.Addr
	// noMulticast is the switch's filter where the nodes talk by unicast.
	noMulticast *filter
	// undo are what faults put on the wire, until heal.
	undo []interface{ close() error }
	// flooded is how many datagrams a second a flood sent that has ended and wasn't told of yet,
	// floodFor how long one lasts.
	flooded  int
	floodFor time.Duration
	closed   bool
	probe    *prober
	census   *census
	lookout  *lookout
	moved    moved
	// conf is what all nodes have in common, with the highest version of any.
	conf settings
	// interval and stale are the ones in force.
	interval, stale time.Duration
}

// vippyd's defaults (docs/reference.md "Keys"), which scale how long the lab watches.
const (
	defaultInterval = 100 * time.Millisecond
	defaultStale    = 500 * time.Millisecond
)

const (
	// single is the plan's partition of which only a majority serves.
	single = "single"
	// voterName is the third voter beside two nodes.
	voterName = "voter"
)

// newCluster builds the lab and starts every daemon.
func newCluster(o Options) (_ *cluster, err error) {
	c, names := plan(o)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.build(names, o.Unicast); err != nil {
		return nil, err
	}
	if err := c.observe(); err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		if err := c.start(n); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// plan is a cluster of which nothing is built yet, and the names of its nodes.
func plan(o Options) (c *cluster, names []string) {
	c = &cluster{vippyd: o.Vippyd, interval: cmp.Or(o.Interval, defaultInterval), stale: cmp.Or(o.Stale, defaultStale), floodFor: o.Flood,
		conf: settings{service: true, secret: newSecret(), interval: o.Interval, stale: o.Stale}}
	for i := range o.Nodes {
		names = append(names, fmt.Sprintf("node%d", i+1))
	}
	c.groups = layout(names, o.Groups)
	if o.VIPs > 0 {
		c.groups = homes(names, o.VIPs)
	}
	c.vips = vipsOf(c.groups)
	if o.Single {
		c.conf.partition = single
	}
	if o.Notify {
		c.conf.notify = notifyAll()
	}
	if o.Single && o.Nodes == 2 {
		names = append(names, voterName)
		c.conf.voters = names
	}
	return c, names
}

// build makes the wire and the hosts, with what the daemons need to start.
func (c *cluster) build(names []string, unicast bool) (err error) {
	if c.dir, err = newWorkdir(); err != nil {
		return err
	}
	if c.wire, err = newWire(append(names, "client", "twin")); err != nil {
		return err
	}
	c.client = c.wire.ports[len(names)]
	if unicast {
		for _, p := range c.wire.ports[:len(names)] {
			c.conf.peers = append(c.conf.peers, p.addr) // its own as well: the list is the same on all
		}
		if c.noMulticast, err = c.wire.dropMulticast(); err != nil {
			return err
		}
	}
	for i, name := range names {
		n := &node{port: c.wire.ports[i], name: name, num: byte(i + 1), voter: name == voterName, dir: filepath.Join(c.dir.path, name), conf: c.conf}
		n.socket.Socket = socketPath(n.dir)
		n.stamps = stampReader{path: logPath(n.dir), node: n.num}
		c.nodes = append(c.nodes, n)
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			return err
		}
		if err := n.install(c.vippyd); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.serve(); err != nil {
			return err
		}
		if err := c.configure(n); err != nil { // with the names of all
			return err
		}
	}
	return c.newTwin()
}

// observe starts the instruments, and on the nodes what answers the client.
func (c *cluster) observe() (err error) {
	for _, n := range c.nodes {
		if n.responder, err = respond(n.port, n.num); err != nil {
			return err
		}
	}
	var ports []*port
	for _, n := range c.hosts() {
		ports = append(ports, n.port)
	}
	if c.lookout, err = lookOut(ports); err != nil {
		return err
	}
	if c.census, err = count(c.client, c.vips); err != nil {
		return err
	}
	c.probe, err = probe(c.client, c.vips, tick)
	return err
}

// times are the ones in force.
func (c *cluster) times() times {
	return times{interval: c.interval, stale: c.stale, lifetime: lifetime, flood: c.floodFor, single: c.conf.partition == single}
}

// configure writes a node's settings to its file.
func (c *cluster) configure(n *node) error {
	names := make([]string, 0, len(c.nodes))
	for _, n := range c.nodes {
		if !n.voter {
			names = append(names, n.name)
		}
	}
	return writeConfig(n.dir, n.conf, names, c.groups, c.client.addr)
}

// start starts a node's daemon.
func (c *cluster) start(n *node) (err error) {
	if n.proc.running() {
		return fmt.Errorf("%s: vippyd is running already", n.name)
	}
	n.wanted = true
	n.proc, err = spawn(n.space, logPath(n.dir), programOf(n.dir), "-c", configPath(n.dir), "-n", n.name, "--log-level", "debug")
	return err
}

// node returns a node by name, or nil.
func (c *cluster) node(name string) *node {
	for _, n := range c.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// tables reads who has each VIP from the kernels, in the order of the nodes.
func (c *cluster) tables() (map[netip.Addr][]*node, error) {
	out := map[netip.Addr][]*node{}
	for _, n := range c.hosts() {
		have, err := n.table()
		if err != nil {
			return nil, err
		}
		for addr := range have {
			out[addr] = append(out[addr], n)
		}
	}
	return out, nil
}

// owners says for each group who has it, from the kernels: a node's name, several with
// commas, "" for nobody.
func (c *cluster) owners() (map[string]string, error) {
	tables, err := c.tables()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, g := range c.groups {
		has := map[*node]bool{}
		for _, v := range g.vips {
			for _, n := range tables[v] {
				has[n] = true
			}
		}
		names := ""
		for _, n := range c.hosts() {
			if has[n] && names != "" {
				names += ","
			}
			if has[n] {
				names += n.name
			}
		}
		out[g.name] = names
	}
	return out, nil
}

// history is every hold since the mark, as exactly as kernels and daemons tell.
func (c *cluster) history() ([]hold, error) {
	kernel, err := c.lookout.seen()
	if err != nil {
		return nil, err
	}
	var stamps []change
	for _, n := range c.hosts() {
		said, err := n.stamps.read()
		if err != nil {
			return nil, err
		}
		stamps = append(stamps, said...)
	}
	return holds(refine(kernel, stamps)), nil
}

// mark drops from history what is over: only what the kernels have now is kept. A long
// drill would otherwise judge its whole past each time.
func (c *cluster) mark() error {
	for _, n := range c.hosts() {
		if _, err := n.stamps.read(); err != nil {
			return err
		}
		n.stamps.forget()
	}
	c.lookout.mark()
	return nil
}

// close ends everything, once. It kills: a namespace that is about to vanish needs no
// hand-over.
func (c *cluster) close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, f := range c.undo {
		errs = append(errs, f.close())
	}
	if c.noMulticast != nil {
		errs = append(errs, c.noMulticast.close())
	}
	for _, n := range c.hosts() {
		errs = append(errs, n.endFrozen())
		for _, p := range []*process{n.proc, n.service} {
			if p.running() {
				errs = append(errs, p.kill())
			}
		}
	}
	if c.probe != nil {
		c.probe.close()
	}
	if c.census != nil {
		c.census.close()
	}
	for _, n := range c.hosts() {
		n.talker.close()
		if n.responder != nil {
			n.responder.close()
		}
	}
	if c.lookout != nil {
		c.lookout.close()
	}
	if c.wire != nil {
		c.wire.close()
	}
	if c.dir != nil {
		errs = append(errs, c.dir.close())
	}
	return errors.Join(errs...)
}

// ask asks a node's daemon for its status.
func (n *node) ask(ctx context.Context) (ctlsocket.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return n.socket.Status(ctx)
}
