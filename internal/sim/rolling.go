package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// Where Config.Rolling is set, operators change plan, timings and secret while the cluster
// runs, and plans travel: who hears a higher version keeps it and goes over to it.
const (
	// Bump gives A's file plan Arg, which counts where its version is not below that of the
	// plan that A keeps.
	Bump FaultKind = "bump"
	// Retime gives A shorter timings, by Arg per cent; ends with those of the others.
	Retime FaultKind = "retime"
	// Rotate begins to give the whole cluster another secret, step by step.
	Rotate FaultKind = "rotate"
	// Disk loses A's state directory: its next process begins with the first plan.
	Disk FaultKind = "disk"
)

// The faults of operators: quiet ones move nothing, be it that the plan is the same.
var (
	rollingFaults = []FaultKind{Bump, Bump, Bump, Retime, Rotate, Disk}
	quietRolling  = []FaultKind{Bump, Retime, Rotate}
)

// rolling adds the faults of operators where there are any, in place of a plan that goes and
// comes. Where only a majority serves, all must have the same timings.
func (d *director) rolling(kinds, more []FaultKind) []FaultKind {
	if !d.w.cfg.Rolling {
		return kinds
	}
	return slices.DeleteFunc(slices.Concat(kinds, more), func(k FaultKind) bool { return k == Adopt || k == Retime && d.w.single })
}

// operate lets operators be busy for a time, whatever else happens.
func (d *director) operate(long time.Duration) {
	kinds := d.rolling(nil, rollingFaults)
	if len(kinds) == 0 {
		return
	}
	pause := time.Duration(500+d.rng.IntN(4000)) * time.Millisecond
	for at := time.Duration(0); at < long; at += time.Duration(d.rng.ExpFloat64() * float64(pause)) {
		f, lasting := d.draw(kinds)
		d.w.During(at, lasting, f)
	}
}

// rollingPlans are how many versions of the plan a rolling world has.
const rollingPlans = 30

// drawRolling makes many plans of the addresses of a first one, now and then one that lacks a
// node. In calm all have the same groups. Of two of one version, the second is the first with
// other preferences and one group taken apart: where both sides stay as they are and put an
// address together with others that the other side has elsewhere, nobody may take it until an
// operator raises the version again.
func drawRolling(c *Config, calm bool) []vipgroup.Plan {
	rng := rand.New(rand.NewPCG(c.Seed, 0x726f6c6c))
	first := c.Plans[0]
	var pool []int
	var sets [][]int
	var prefer []int
	for _, g := range first.Groups {
		var set []int
		for _, v := range g.VIPs {
			a := v.Address.Addr().As4()
			set = append(set, int(a[2])<<8|int(a[3]))
		}
		pool = append(pool, set...)
		sets = append(sets, set)
		at := -1
		if len(g.Prefer) > 0 {
			at = first.Node(g.Prefer[0])
		}
		prefer = append(prefer, at)
	}
	slices.Sort(pool)
	plans := []vipgroup.Plan{first}
	nodes, version := len(first.Nodes), first.Version
	for len(plans) < rollingPlans {
		lacks, twice := -1, len(plans) > 2 && plans[len(plans)-2].Version < version && rng.IntN(4) == 0
		if !twice || calm {
			version++
		}
		switch {
		case calm:
		case twice: // two people had the same idea
			if i := slices.IndexFunc(sets, func(set []int) bool { return len(set) > 1 }); i >= 0 {
				sets = append(slices.Clone(sets), sets[i][1:])
				sets[i] = sets[i][:1]
				prefer = append(slices.Clone(prefer), -1)
			}
			prefer = slices.Clone(prefer)
			prefer[rng.IntN(len(prefer))] = rng.IntN(nodes)
		default:
			sets, prefer = nil, nil
			for rest := pool; len(rest) > 0; {
				n := min(1+rng.IntN(3), len(rest))
				sets, rest = append(sets, rest[:n]), rest[n:]
				prefer = append(prefer, rng.IntN(3*nodes)-2*nodes)
			}
			if nodes > 3 && first.Partition != vipgroup.Single && rng.IntN(4) == 0 {
				lacks = rng.IntN(nodes)
			}
		}
		p := MakePlan(version, nodes, sets, prefer)
		if lacks >= 0 {
			p = without(p, lacks)
		}
		if first.Partition == vipgroup.Single {
			p = MakeSingle(p, c.Voters)
		}
		if !slices.ContainsFunc(plans, func(q vipgroup.Plan) bool { return q.Digest() == p.Digest() }) {
			plans = append(plans, p)
		}
	}
	return plans
}

// without takes a node out of a plan.
func without(p vipgroup.Plan, node int) vipgroup.Plan {
	name := p.Nodes[node]
	p.Nodes = slices.Delete(slices.Clone(p.Nodes), node, node+1)
	p.Groups = slices.Clone(p.Groups)
	for i := range p.Groups {
		p.Groups[i].Prefer = slices.DeleteFunc(slices.Clone(p.Groups[i].Prefer), func(n string) bool { return n == name })
	}
	p, err := vipgroup.NewPlan(p)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return p
}

// nextPlan is the plan that somebody thinks of next: mostly the one after the highest that
// anybody thought of, now and then an older one.
func (d *director) nextPlan() int {
	last := len(d.w.plans) - 1
	if d.bumped > 0 && d.rng.IntN(6) == 0 {
		return d.rng.IntN(d.bumped)
	}
	d.bumped = min(d.bumped+1, last)
	return d.bumped
}

// bump gives a host's file another plan: by a reload, or for its next process.
func (h *host) bump(plan int) {
	p := &h.w.plans[plan]
	if p.plan.Version < h.file.plan.Version || p == h.file {
		return
	}
	h.adopt(plan)
}

// follow goes over to a plan of a higher version that was heard, once it is kept: mostly
// soon, but disks may be slow.
func (h *host) follow() {
	p, _, ok := h.node.Newer()
	if !h.w.cfg.Rolling || h.following || !ok || p.Version <= h.file.plan.Version {
		return
	}
	h.following = true
	i := slices.IndexFunc(h.w.plans, func(q planning) bool { return q.plan.Digest() == p.Digest() })
	delay := 200_000 + h.w.upTo(20_000_000)
	if h.w.upTo(20) == 0 {
		delay += h.w.upTo(3_000_000_000)
	}
	process := h.process
	var keep func()
	keep = func() {
		switch {
		case h.process != process: // the next one doesn't know of it
		case h.state == off:
			h.following = false
		case h.w.plans[i].plan.Version <= h.file.plan.Version:
			h.following = false
		case !h.alive(): // nor does the disk
			h.w.after(int64(h.w.cfg.Interval)/4, keep)
		default:
			h.following, h.w.followed = false, h.w.now
			h.w.note(h.id, fmt.Sprintf("follows plan %d", h.w.plans[i].plan.Version), -1)
			h.adopt(i)
		}
	}
	h.w.after(delay, keep)
}

// mediate gives all hosts the plan of the highest version that one of them goes by, where some
// can't agree since the plan of one lacks another: what both sides put together with other
// addresses may have no owner until an operator does that. It says whether that was so.
func (w *World) mediate() bool {
	var newest *planning
	divided := false
	for _, h := range w.hosts {
		if h.node == nil || h.role != member {
			continue
		}
		if newest == nil || h.plan.plan.Version > newest.plan.Version {
			newest = h.plan
		}
		for _, o := range w.hosts {
			divided = divided || o.node != nil && o.role == member && o.plan != h.plan && w.lacks(h.id, o.id)
		}
	}
	if !divided {
		return false
	}
	w.note(-1, fmt.Sprintf("--- all files get plan %d", newest.plan.Version), -1)
	for i := range w.plans {
		if &w.plans[i] != newest {
			continue
		}
		for _, h := range w.hosts {
			if h.role == member && !h.spare() {
				h.bump(i)
			}
		}
	}
	return true
}

// rest runs until every address has its owner and no plan waits for a disk, nor did one within
// the bound: with a plan that is followed something may move.
func (w *World) rest(bound time.Duration) *Violation {
	for {
		if w.Settle(bound) != nil || w.Run(bound) != nil {
			return w.violation
		}
		if !w.follows(bound) {
			return nil
		}
	}
}

// follows says whether a plan waits for a disk, or did lately: until all go by it, what it puts
// together anew may have no owner.
func (w *World) follows(lately time.Duration) bool {
	return w.now-w.followed < int64(lately) || slices.ContainsFunc(w.hosts, func(h *host) bool { return h.following })
}

// retime gives a host timings that are shorter by so many per cent.
func (h *host) retime(percent int) {
	t := h.w.cfg.Timing
	shorter := func(d time.Duration) time.Duration {
		return (d * time.Duration(100-percent) / 100).Truncate(time.Millisecond)
	}
	t.Interval = shorter(t.Interval)
	if percent%2 == 0 {
		t.Stale = max(shorter(t.Stale), 3*t.Interval+50*time.Millisecond)
	}
	h.timing = t
	h.order(func(now time.Time) { h.node.Retime(now, t) })
}

// A rotation is a change of the secret under way: in three steps, each of which all hosts make
// before the first one makes the next.
type rotation struct {
	step    int
	secrets int // how many there were
}

// keys are what a file says at this step.
func (r *rotation) keys() []cluster.Key {
	key := func(n int) cluster.Key { return cluster.NewKey(fmt.Appendf(nil, "secret %d of the sim", n)) }
	switch r.step {
	case 1:
		return []cluster.Key{key(r.secrets), key(r.secrets + 1)}
	case 2:
		return []cluster.Key{key(r.secrets + 1), key(r.secrets)}
	}
	return []cluster.Key{key(r.secrets)}
}

// rotate makes the next step of a rotation, and begins one where none is under way. Each host
// makes it within a moment, and one that doesn't run when it does again; who is off reads the
// newest file when it starts.
func (w *World) rotate(begin bool) {
	r := &w.rotation
	if begin && r.step > 0 {
		return
	}
	if r.step++; r.step == 3 {
		r.step, r.secrets = 0, r.secrets+1
	}
	at, secrets := r.step, r.secrets
	w.note(-1, fmt.Sprintf("--- step %d to another secret", at), -1)
	var left int
	for _, h := range w.hosts {
		if h.role != member || h.spare() {
			continue
		}
		left++
		var turn func()
		turn = func() {
			switch {
			case h.state == off: // it reads the file when it starts
			case h.state == starting || !h.alive():
				w.after(int64(w.cfg.Interval)/4, turn)
				return
			case !h.foreign:
				h.node.Rekey(r.keys())
				h.willDue = 0
			}
			if left--; left == 0 && at > 0 {
				w.after(int64(w.cfg.Interval)+w.upTo(int64(w.cfg.Stale)), func() {
					if w.rotation.step == at && w.rotation.secrets == secrets {
						w.rotate(false)
					}
				})
			}
		}
		w.after(1+w.upTo(200_000_000), turn)
	}
}

// keys are those of a process that starts now.
func (h *host) keys() []cluster.Key {
	if h.foreign {
		return []cluster.Key{h.w.foreignKey}
	}
	return h.w.rotation.keys()
}

// planned notes which plan rules. What the kernel has of groups that are new is reported, as
// the core may take them for its own until it is told.
func (h *host) planned(p *planning) {
	for g := range h.due {
		h.due[g] = slices.Contains(p.groups, g) && (h.due[g] || !slices.Contains(h.plan.groups, g))
	}
	if !slices.Equal(p.plan.Members(), h.plan.plan.Members()) {
		h.regrouped = h.w.now
	}
	h.plan = p
}
