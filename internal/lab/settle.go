package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

const (
	// pollEvery is how often the lab looks whether the kernels have settled.
	pollEvery = 25 * time.Millisecond
	// statusEvery is how often it asks the daemons, too, which takes milliseconds of their time
	// and its own: on one machine with them, it must not be what delays a move.
	statusEvery = 5 * pollEvery
)

// calm is how long the cluster must look settled before the lab believes it.
func (c *cluster) calm() time.Duration {
	return max(2*servedWithin, 3*c.interval, 3*c.probe.turn())
}

// patience is how long the lab waits for that. It only bounds a drill that fails.
func (c *cluster) patience() time.Duration { return 30*time.Second + 20*c.stale }

// settle waits until the cluster is settled, and has been for a while, at least for
// atLeast. emptied, if not nil, is a node that must have nothing any more. It returns what
// is still wrong when patience ends, "" when nothing is; see is called meanwhile.
func (c *cluster) settle(ctx context.Context, emptied *node, atLeast time.Duration, see func()) (wrong string, err error) {
	asked, said := instant(0), ""
	return c.until(ctx, atLeast, see, func() (string, error) {
		tables, err := c.tables()
		if err != nil {
			return "", err
		}
		if wrong := c.displaced(tables, emptied); wrong != "" {
			return wrong, nil
		}
		if asked.since() >= statusEvery {
			said, err = c.unsettled(ctx, tables)
			asked = now()
		}
		return said, err
	})
}

// until waits as settle does until look finds nothing wrong.
func (c *cluster) until(ctx context.Context, atLeast time.Duration, see func(), look func() (string, error)) (wrong string, err error) {
	begin := now()
	since := begin // when something was wrong last
	for {
		if wrong, err = look(); err != nil {
			return "", err
		}
		if wrong != "" {
			since = now()
		}
		if wrong == "" && since.since() >= c.calm() && begin.since() >= atLeast {
			return "", nil
		}
		if died := c.died(); died != "" {
			return died, nil
		}
		if wrong != "" && begin.since() > c.patience()+atLeast {
			return wrong, nil
		}
		if see != nil {
			see()
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return "", err
		}
	}
}

// died names a daemon that ended by itself, and shows its last words.
func (c *cluster) died() string {
	for _, n := range c.nodes {
		if n.wanted && !n.proc.running() {
			return fmt.Sprintf("%s: vippyd ended by itself: %v; the end of its log:\n%s", n.name, n.proc.result, tail(logPath(n.dir), 10))
		}
	}
	return ""
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// misplaced says what is wrong by the kernels and the client alone: every VIP must be on
// one node, and the client get its answers from there.
func (c *cluster) misplaced(emptied *node) (string, error) {
	tables, err := c.tables()
	if err != nil {
		return "", err
	}
	return c.displaced(tables, emptied), nil
}

func (c *cluster) displaced(tables map[netip.Addr][]*node, emptied *node) string {
	serving := c.probe.serving()
	for _, g := range c.groups {
		for _, v := range g.vips {
			has := tables[v]
			switch {
			case len(has) == 0:
				return fmt.Sprintf("%v (%s) is on no node", v, g.name)
			case len(has) > 1:
				return fmt.Sprintf("%v (%s) is on %s and %s", v, g.name, has[0].name, has[1].name)
			case has[0] == emptied:
				return fmt.Sprintf("%v (%s) is still on %s", v, g.name, emptied.name)
			case serving[v] == 0:
				return fmt.Sprintf("%v (%s) is on %s but the client gets no answer", v, g.name, has[0].name)
			case serving[v] != has[0].num:
				return fmt.Sprintf("%v (%s) is on %s but the client is answered by another", v, g.name, has[0].name)
			}
		}
	}
	return ""
}

// unsettled says why the cluster isn't settled although nothing is misplaced: the sound nodes
// don't agree or plan a move.
func (c *cluster) unsettled(ctx context.Context, tables map[netip.Addr][]*node) (string, error) {
	for _, n := range c.nodes {
		if !n.sound() {
			continue
		}
		st, err := n.ask(ctx)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return fmt.Sprintf("%s: %v", n.name, err), nil
		}
		if wrong := c.disagrees(st); wrong != "" {
			return n.name + ": " + wrong, nil
		}
		for _, g := range st.Groups {
			if i := c.group(g.Name); i >= 0 && tables[c.groups[i].vips[0]][0].name != g.Owner {
				return fmt.Sprintf("%s: takes %q for the owner of %s", n.name, g.Owner, g.Name), nil
			}
		}
	}
	return "", nil
}

// disagrees says what in a node's status shows that more is to come.
func (c *cluster) disagrees(st ctlsocket.Status) string {
	if !st.State.Mature {
		return "is not mature yet"
	}
	if !st.Guard.OK {
		return "has no guard"
	}
	if n := c.node(st.Identity); n != nil && st.Config.Version < n.conf.version {
		return fmt.Sprintf("has plan %d and not %d yet", st.Config.Version, n.conf.version)
	}
	if len(st.Groups) != len(c.groups) {
		return fmt.Sprintf("knows %d groups of %d", len(st.Groups), len(c.groups))
	}
	for _, g := range st.Groups {
		if !g.Once() {
			return fmt.Sprintf("sees %s on %d nodes", g.Name, max(len(g.Owners), min(len(g.Owner), 1)))
		}
		if g.Owner != g.Assigned {
			return fmt.Sprintf("%s is on %s and belongs to %q", g.Name, g.Owner, g.Assigned)
		}
	}
	for _, p := range st.Peers {
		if other := c.node(p.Node); other != nil && other.sound() && p.State != ctlsocket.PeerLive {
			return fmt.Sprintf("finds %s %s", p.Node, p.State)
		}
	}
	return ""
}

// group returns the place of a group by name, or -1.
func (c *cluster) group(name string) int {
	for i, g := range c.groups {
		if g.name == name {
			return i
		}
	}
	return -1
}

// Pause waits, or returns ctx's error when it ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
