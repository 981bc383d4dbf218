package sim

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A Mode says what a run goes through.
type Mode string

// The modes. Each starts with a cold start and ends with P2 and a calm time.
const (
	// Calm: nothing that may move an address; so nothing moves (P3, P4).
	Calm Mode = "calm"
	// Single: one fault after the other, each alone; P1 has no excuse.
	Single Mode = "single"
	// Chat: faults of chat and processes that overlap.
	Chat Mode = "chat"
	// Links: cuts of links, lost hosts, kills that overlap.
	Links Mode = "links"
	// Double: chat is impaired and stays so while a holder fails; P2 is due all the
	// same.
	Double Mode = "double"
	// Plans: two versions of the plan are in the cluster while nodes come and go.
	Plans Mode = "plans"
	// Thirds: two nodes are cut off from each other, and the third that hears both is
	// restarted.
	Thirds Mode = "thirds"
	// Memory: a switch answers ARP for hosts that are gone, and firewalls leave ARP alone.
	Memory Mode = "memory"
	// Pests: a node's twin is there, or one that is restarted again and again, while faults
	// come one by one.
	Pests Mode = "pests"
	// Torture: everything at once.
	Torture Mode = "torture"
	// Majority: only a majority may serve, and no cut is an excuse.
	Majority Mode = "majority"
)

// Modes lists the modes in the order in which seeds go round.
var Modes = []Mode{Calm, Single, Chat, Links, Torture, Double, Plans, Thirds, Majority, Memory, Pests}

// timings are pairs of interval and stale that are worth running.
var timings = []cluster.Timing{
	{Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond},
	{Interval: 100 * time.Millisecond, Stale: 500 * time.Millisecond},
	{Interval: 100 * time.Millisecond, Stale: time.Second},
	{Interval: 20 * time.Millisecond, Stale: 150 * time.Millisecond},
}

// Draw makes the config and the mode that belong to a seed.
func Draw(seed uint64) (Config, Mode) {
	mode := Modes[seed%uint64(len(Modes))]
	return DrawFor(seed, mode), mode
}

// DrawFor makes the config for a seed that runs in a given mode.
func DrawFor(seed uint64, mode Mode) Config {
	rng := rand.New(rand.NewPCG(seed, 0x64726177))
	c := Config{Seed: seed, Nodes: 2 + rng.IntN(3), Timing: timings[rng.IntN(len(timings))], Skew: rng.IntN(2) == 0}
	if rng.IntN(8) == 0 {
		c.Nodes = 5 + rng.IntN(2)
	}
	c.Lifetime = time.Second
	c.Mature = c.Stale
	c.Gateway = rng.IntN(3) > 0
	c.Attacker = rng.IntN(3) == 0
	if rng.IntN(3) == 0 {
		c.Loss = []int{20, 50, 200}[rng.IntN(3)]
	}
	switch mode {
	case Thirds:
		c.Nodes, c.Loss = 3, 0
	case Plans:
		c.Nodes = max(c.Nodes, 3)
	}
	if mode == Majority {
		c.Nodes = max(c.Nodes, 3)
		if rng.IntN(2) == 0 {
			c.Voters = 1
			c.Nodes |= 1 // an odd number of voters
		}
	}
	c.Plans = drawPlans(rng, c.Nodes-c.Voters)
	if mode == Majority {
		for i, p := range c.Plans {
			c.Plans[i] = MakeSingle(p, c.Voters)
		}
	}
	c.NoGuard = rng.IntN(4) == 0
	c.Upgrades = rng.IntN(2) == 0
	c.Pests = rng.IntN(4) == 0 && mode != Majority && mode != Memory || mode == Pests
	c.Share = rng.IntN(3) == 0
	c.Unicast = rng.IntN(4) == 0
	c.Drop = rng.IntN(4) == 0
	c.Orders = rng.IntN(2) == 0
	c.Rolling = rng.IntN(3) == 0
	c.Balance = rng.IntN(3) == 0 && (mode == Chat || mode == Links || mode == Torture)
	return c
}

// drawPlans makes a plan, and its successor in which groups were joined or taken apart.
func drawPlans(rng *rand.Rand, nodes int) []vipgroup.Plan {
	var sets [][]int
	next := 1
	for range 1 + rng.IntN(4) {
		set := []int{next}
		next++
		for rng.IntN(3) == 0 && len(set) < 3 {
			set = append(set, next)
			next++
		}
		sets = append(sets, set)
	}
	prefer := make([]int, len(sets))
	for i := range prefer {
		prefer[i] = rng.IntN(3*nodes) - 2*nodes
	}
	first := MakePlan(1, nodes, sets, prefer)
	if len(sets) > 1 && rng.IntN(2) == 0 {
		sets = append([][]int{append(append([]int{}, sets[0]...), sets[1]...)}, sets[2:]...)
		prefer = prefer[1:]
	} else if len(sets[0]) > 1 {
		sets = append([][]int{sets[0][:1], sets[0][1:]}, sets[1:]...)
		prefer = append([]int{-1}, prefer...)
	}
	return []vipgroup.Plan{first, MakePlan(2, nodes, sets, prefer)}
}

// MakePlan makes a plan of nodes n0, n1, ... whose groups have the addresses 10.9.0.x;
// prefer names a node for each group, below 0 none.
func MakePlan(version uint64, nodes int, sets [][]int, prefer []int) vipgroup.Plan {
	p := vipgroup.Plan{Version: version}
	for i := range nodes {
		p.Nodes = append(p.Nodes, fmt.Sprintf("n%d", i))
	}
	for i, set := range sets {
		g := vipgroup.Group{Name: fmt.Sprintf("v%d-g%d", version, i), Preempt: true}
		for _, a := range set {
			ip := netip.AddrFrom4([4]byte{10, 9, byte(a >> 8), byte(a)})
			g.VIPs = append(g.VIPs, vipgroup.VIP{Address: netip.PrefixFrom(ip, 24)})
		}
		if i < len(prefer) && prefer[i] >= 0 {
			g.Prefer = []string{p.Nodes[prefer[i]%nodes]}
		}
		p.Groups = append(p.Groups, g)
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return p
}

// balanced has the load evened every 300 ms. Once nothing else happens, that comes to an end.
func balanced(plans []vipgroup.Plan) (out []vipgroup.Plan) {
	for _, p := range plans {
		p.Rebalance = 300 * time.Millisecond
		p, err := vipgroup.NewPlan(p)
		if err != nil {
			panic("sim: " + err.Error())
		}
		out = append(out, p)
	}
	return out
}

// MakeSingle lets only a majority serve a plan, with so many voters beside its nodes.
func MakeSingle(p vipgroup.Plan, voters int) vipgroup.Plan {
	p.Partition = vipgroup.Single
	if voters > 0 {
		p.Voters = p.Nodes
		for i := range voters {
			p.Voters = append(p.Voters[:len(p.Voters):len(p.Voters)], fmt.Sprintf("n%d", len(p.Nodes)+i))
		}
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return p
}

// Bound is P2's: how long after the last fault every address must have its owner back.
// A process that died or was cut off last may have left its addresses in a kernel
// (lifetime and sweep); the others then wait for stale and T; a node that has just
// started matures first; each further fault may add stale, an orphan its pause for each
// place in the rank.
func (c *Config) Bound() time.Duration {
	t := max(c.Interval/2, 50*time.Millisecond)
	mature := max(c.Mature, c.Stale+2*c.Interval)
	orphan := c.Stale/2 + 2*c.Interval*time.Duration(c.Nodes)
	b := c.Lifetime + time.Duration(sweepMax) + c.Stale + t + mature + c.Stale + orphan + 5*c.Interval
	if c.Loss > 0 {
		b += 10 * c.Interval
	}
	if c.Plans[0].Partition == vipgroup.Single {
		b += c.forgotten()
	}
	return b
}

// Play runs what belongs to a seed and returns its first violation.
func Play(c Config, m Mode) (*World, *Violation) {
	if c.Rolling {
		c.Plans = drawRolling(&c, m == Calm)
	}
	w := New(c)
	w.mode = m
	w.Boot(500 * time.Millisecond)
	d := director{w: w, rng: rand.New(rand.NewPCG(c.Seed, 0x706c6179))}
	bound := w.cfg.Bound()
	if w.Run(500*time.Millisecond) != nil || w.Settle(bound) != nil || w.Run(bound) != nil {
		return w, w.violation
	}
	switch m {
	case Calm:
		d.calm(60 * time.Second)
		return w, w.violation
	case Single:
		d.singles(8)
	case Chat:
		d.storm(60*time.Second, chatFaults)
	case Links:
		d.storm(60*time.Second, linkFaults)
	case Double:
		d.doubles(6)
	case Plans:
		d.plans(60 * time.Second)
	case Thirds:
		d.thirds(12)
	case Memory:
		d.memories(8)
	case Pests:
		d.pester(8)
	case Torture:
		d.storm(60*time.Second, allFaults)
	case Majority:
		d.majorities(10)
	}
	if w.violation != nil {
		return w, w.violation
	}
	w.EndAll()
	if w.rest(bound) != nil {
		return w, w.violation
	}
	w.Calm("P3", 0)
	w.Run(10 * time.Second)
	return w, w.violation
}
