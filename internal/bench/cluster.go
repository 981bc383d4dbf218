package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vippy-ha/vippy/internal/lab"
)

// A cluster is one system on a stage of three hosts.
type cluster struct {
	*lab.Stage
	setup
	vips []netip.Addr
	// asked are those that the client probes.
	asked []netip.Addr
	nodes []*node
	// every is the time between two probes of one address.
	every time.Duration
}

// A node is a host and the system's program on it, nil where it was never started.
type node struct {
	*lab.Host
	program *lab.Program
	// left are processes that outlived the program's kill.
	left []member
}

// newCluster builds a stage, starts the system, and waits until the first host has
// everything. The caller closes it, where there is one, also after an error.
func newCluster(ctx context.Context, p programs, s System, l layout) (c *cluster, err error) {
	c = &cluster{setup: setup{system: s, programs: p, layout: l, secret: newSecret()}, vips: l.vips()}
	c.asked = probed(c.vips)
	if c.Stage, err = lab.OpenStage(len(priorities)); err != nil {
		return nil, err
	}
	c.hosts, c.client = c.Hosts, c.ClientAddr()
	for _, h := range c.Hosts {
		c.nodes = append(c.nodes, &node{Host: h})
	}
	if c.every, err = c.StartProbing(c.asked); err != nil {
		return c, err
	}
	for i := range c.nodes {
		if err := c.start(i); err != nil {
			return c, err
		}
	}
	return c, c.home(ctx)
}

// close ends all programs and takes the stage down.
func (c *cluster) close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.end())
	}
	return errors.Join(append(errs, c.Stage.Close())...)
}

// start starts the system on a host.
func (c *cluster) start(place int) error {
	path, args, err := c.command(place)
	if err != nil {
		return err
	}
	n := c.nodes[place]
	n.program, err = n.Start("log", path, args...)
	return err
}

// family returns all processes of the node.
func (n *node) family() ([]member, error) {
	if n.program == nil {
		return nil, nil
	}
	return family(n.program.PID())
}

// worker returns the process that does the work: the only child of keepalived's first
// process, or vippyd itself, whose child is the guard.
func (c *cluster) worker(all []member) ([]member, error) {
	i := 0
	if c.system.keepalived() {
		i = 1
	}
	if len(all) != 2 {
		return nil, fmt.Errorf("%s has %d processes on a host, not 2: %v", c.system, len(all), all)
	}
	return all[i : i+1], nil
}

// end kills whatever runs on the node, stopped or not, and waits for it.
func (n *node) end() error {
	if n.program == nil {
		return nil
	}
	all, err := n.family()
	all = append(all, n.left...)
	// The children first: nobody must act on their parent's death.
	for i := len(all) - 1; i >= 0; i-- {
		err = errors.Join(err, signal(all[i:i+1], unix.SIGKILL))
	}
	<-n.program.Ended()
	err = errors.Join(err, await(all))
	forget(all)
	n.left, n.program = nil, nil
	return err
}

// patience bounds the wait for a cluster that should come to rest.
const patience = 60 * time.Second

// calm is how long a cluster must look settled.
func (c *cluster) calm() time.Duration { return max(500*time.Millisecond, 4*c.every) }

// Where an address should be in the end.
const (
	athome    = 0  // on the first host
	elsewhere = -1 // on another
)

// mostAsked bounds the addresses that the client probes: the kernel has one neighbour table for
// all namespaces together, of 1024 entries by default, and one that overflows drops what it
// likes. The kernels' own tables are watched for all addresses.
const mostAsked = 100

// probed is so many of the addresses, evenly spread, the last one among them.
func probed(vips []netip.Addr) (out []netip.Addr) {
	n := min(len(vips), mostAsked)
	for i := range n {
		out = append(out, vips[(i+1)*len(vips)/n-1])
	}
	return out
}

// unsettled says why not every address is on exactly one host on the wire, on the right
// one, which answers the client; "" when all is so.
func (c *cluster) unsettled(where int) (string, error) {
	owners, err := c.Owners()
	if err != nil {
		return "", err
	}
	for _, vip := range c.vips {
		if has := owners[vip]; len(has) != 1 || (has[0] == 0) != (where == athome) {
			return fmt.Sprintf("%v is on %v", vip, c.names(has)), nil
		}
	}
	serving := c.Serving()
	for _, vip := range c.asked {
		if by := serving[vip]; by != owners[vip][0] {
			return fmt.Sprintf("%v is on %v and answered by %v", vip, c.names(owners[vip]), c.names([]int{by})), nil
		}
	}
	return "", nil
}

// names are those of hosts by their places, of which -1 is nobody's.
func (c *cluster) names(places []int) (out []string) {
	for _, i := range places {
		if i >= 0 {
			out = append(out, c.Hosts[i].Name)
		}
	}
	return out
}

// watch waits until the cluster is settled, at least for least and at most for most, and
// says why it is not; "" when it is.
func (c *cluster) watch(ctx context.Context, where int, least, most time.Duration) (wrong string, err error) {
	begin, since := time.Now(), time.Now()
	for {
		if wrong, err = c.unsettled(where); err != nil {
			return "", err
		}
		if wrong != "" {
			since = time.Now()
		}
		if wrong == "" && time.Since(since) >= c.calm() && time.Since(begin) >= least {
			return "", nil
		}
		if time.Since(begin) >= most {
			if wrong == "" {
				wrong = "it has only just come to rest"
			}
			return wrong, nil
		}
		if err := lab.Pause(ctx, 10*time.Millisecond+c.every/4); err != nil {
			return "", err
		}
	}
}

// home waits until the first host has everything and all is quiet.
func (c *cluster) home(ctx context.Context) error {
	wrong, err := c.watch(ctx, athome, time.Second, patience)
	if err != nil || wrong == "" {
		return err
	}
	return c.astray(wrong)
}

// errAstray is wrapped by the error of a cluster whose addresses don't come home.
var errAstray = fmt.Errorf("not every address is on the first host and answers after %v", patience)

// astray says what is wrong and what the programs said last.
func (c *cluster) astray(wrong string) error {
	var words strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintf(&words, "\n%s: %s", n.Name, n.program.LastWords())
	}
	return fmt.Errorf("%s: %w: %s%s", c.system, errAstray, wrong, &words)
}
