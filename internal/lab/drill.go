package lab

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A driller does faults and hands out a Result for each.
type driller struct {
	*cluster
	screen *screen
	// turn goes round the nodes, so that one scenario after the other finds its victim.
	turn int
	// sampled counts the samples taken.
	sampled int
	// always, if not nil, is the victim of everything.
	always *node
}

// run does every scenario of a drill that has a wanted fault, runs times. A fault that only leads to
// a wanted one is not reported, unless it went wrong.
func (d *driller) run(ctx context.Context, drill []scenario, wanted []string, runs int) (results []Result, err error) {
	for range runs {
		for _, s := range drill {
			if !slices.ContainsFunc(s.faults, func(f string) bool { return slices.Contains(wanted, f) }) {
				continue
			}
			err := d.scenario(ctx, s, func(r Result) {
				if slices.Contains(wanted, r.Fault) || !r.Good() {
					results = append(results, r)
					d.screen.result(r)
				}
			})
			if err != nil {
				return results, err
			}
		}
	}
	d.unstamped()
	return results, nil
}

// unstamped says so when the daemons' logs told nothing: the times then are when the lab
// got the kernels' events, which is good to some milliseconds.
func (d *driller) unstamped() {
	for _, n := range d.nodes {
		if n.stamps.told {
			return
		}
	}
	d.screen.say("lab: the daemons' logs have no line %q with a stamp; times of addresses are less exact", addedMessage)
}

// scenario does the faults of a scenario to one victim and mends what is left.
func (d *driller) scenario(ctx context.Context, s scenario, report func(Result)) error {
	victim, err := d.pick(s.faults[0])
	if err != nil {
		return err
	}
	for _, fault := range s.faults {
		mend := ""
		if d.times().of(fault).lasts {
			mend = s.mend
		}
		r, err := d.fault(ctx, fault, victim, mend)
		if err != nil {
			return err
		}
		report(r)
	}
	if s.mend == "" || d.times().of(s.faults[0]).lasts {
		return nil
	}
	if err := d.inflict(ctx, s.mend, victim); err != nil {
		return err
	}
	wrong, err := d.settle(ctx, nil, 0, d.see)
	if wrong != "" {
		report(Result{Fault: s.mend, Victim: victim.name, Note: "after " + s.faults[0] + ": " + wrong, failed: true})
	}
	return err
}

// pick returns a node that holds something, and something to be moved where that is to be:
// for an ordered stop or a drain the preferred one, so that its return moves something too.
func (d *driller) pick(fault string) (*node, error) {
	if d.always != nil {
		return d.always, nil
	}
	tables, err := d.tables()
	if err != nil {
		return nil, err
	}
	holds := map[*node]bool{}
	for _, g := range d.groups {
		for _, n := range tables[g.vips[0]] {
			holds[n] = holds[n] || fault != "move" || g.prefer == ""
		}
	}
	if (fault == "stop" || fault == "drain") && holds[d.nodes[0]] {
		return d.nodes[0], nil
	}
	for range d.nodes {
		d.turn++
		if n := d.nodes[d.turn%len(d.nodes)]; holds[n] && n.sound() {
			return n, nil
		}
	}
	return d.nodes[0], nil // nobody holds anything: the result will say so
}

// fault does one fault and watches until all is settled again. mend, where not empty, is
// done on the way.
func (d *driller) fault(ctx context.Context, fault string, victim *node, mend string) (Result, error) {
	r := Result{Fault: fault, Victim: victim.name}
	promised := d.times().of(fault)
	var err error
	if r.Before, err = d.owners(); err != nil {
		return r, err
	}
	guard := 0
	if promised.sameGuard && victim.sound() {
		if guard, err = victim.guardPID(ctx); err != nil {
			return r, err
		}
	}
	d.screen.doing(fault, victim.name)
	if err := d.mark(); err != nil {
		return r, err
	}
	d.census.begin()
	d.probe.focus(d.sample(r.Before, victim))
	d.probe.begin()
	at := now()
	if err := d.inflict(ctx, fault, victim); err != nil {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		r.fail(err.Error())
	}
	wrong, err := d.outcome(ctx, &r, promised, victim, mend)
	if err != nil {
		return r, err
	}
	r.HeldOnce = wrong == ""
	r.failIf(wrong)
	if guard != 0 {
		r.failIf(d.guardKept(ctx, victim, guard))
	}
	if d.flooded != 0 { // it has ended, as part of this fault or left by another
		d.screen.say("lab: the flood was %d forged datagrams a second", d.flooded)
		r.Rate, d.flooded = d.flooded, 0
	}
	if promised.untouched {
		r.failIf(d.probe.unanswered())
	}
	if err := d.judge(&r, promised, victim, at); err != nil {
		return r, err
	}
	if promised.after != nil {
		r.failIf(promised.after(ctx, d, &r, victim))
	}
	return r, nil
}

// sample returns some of the VIPs that a fault of a node concerns, others each time: those
// that it has, or where it has none, those that it is about to get.
func (d *driller) sample(owners map[string]string, n *node) (out []netip.Addr) {
	var its, due []netip.Addr
	for _, g := range d.groups {
		if owners[g.name] == n.name {
			its = append(its, g.vips...)
		}
		if g.prefer == n.name {
			due = append(due, g.vips...)
		}
	}
	if len(its) == 0 {
		its = due
	}
	d.sampled++
	for i := range min(inFocus, len(its)) {
		out = append(out, its[(d.sampled+i*len(its)/inFocus)%len(its)])
	}
	return out
}

// outcome watches what comes of a fault, mends one that lasts, and says what is wrong in the
// end.
func (d *driller) outcome(ctx context.Context, r *Result, promised promise, victim *node, mend string) (wrong string, err error) {
	var emptied *node
	if promised.empties {
		emptied = victim
	}
	if !promised.lasts {
		if wrong, err = d.settle(ctx, emptied, promised.watch, d.see); err == nil {
			r.meanwhile, err = d.owners()
		}
		return wrong, err
	}
	if promised.twoOwners {
		err = d.look(ctx, promised.watch)
	} else {
		wrong, err = d.until(ctx, promised.watch, d.see, func() (string, error) { return d.misplaced(emptied) })
	}
	if err != nil {
		return "", err
	}
	if r.meanwhile, err = d.owners(); err != nil {
		return "", err
	}
	if mend == "" && promised.twoOwners { // nobody mends it: an answer about now
		return d.misplaced(nil)
	}
	if mend == "" {
		return wrong, nil
	}
	if err := d.inflict(ctx, mend, victim); err != nil {
		return "", err
	}
	after, err := d.settle(ctx, nil, promised.watch/2, d.see)
	return cmp.Or(wrong, after), err
}

// look watches for a while.
func (d *driller) look(ctx context.Context, length time.Duration) error {
	for begin := now(); begin.since() < length; {
		d.see()
		if err := Pause(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil
}

// judge fills in what client, kernels and daemons saw since at.
func (d *driller) judge(r *Result, promised promise, victim *node, at instant) (err error) {
	silence, late := d.probe.end()
	doubles := d.census.end()
	end := now()
	if r.After, err = d.owners(); err != nil {
		return err
	}
	history, err := d.history()
	if err != nil {
		return err
	}
	movers := map[netip.Addr]byte{}
	var all, own time.Duration
	concerned := false
	for _, g := range d.groups {
		before, after := r.Before[g.name], r.After[g.name]
		its := slices.Contains([]string{before, r.meanwhile[g.name], after}, victim.name)
		concerned = concerned || its
		for _, v := range g.vips {
			all = max(all, silence[v])
			if its {
				own = max(own, silence[v])
			}
			// What a meddler deleted counts as moved where it came back, wherever that is.
			if n := d.node(r.meanwhile[g.name]); n != nil && (before != n.name || promised.returns) {
				movers[v] = n.num
			}
		}
	}
	if !concerned { // only the victim's count, where it has any
		own = all
	}
	r.GapMS = Milliseconds(own)
	r.LateMS = Milliseconds(late)
	if moved, any := taken(history, movers, at); any {
		ms := Milliseconds(moved)
		r.MovedMS = &ms
	}
	dual := overlap(history, at, end)
	r.DualMS = Milliseconds(dual)
	if promised.takesAll {
		r.failIf(r.tookAll())
	}
	if promised.twoOwners {
		return nil
	}
	r.failIf(d.keptPeace(r, victim, history, at))
	if dual > 0 {
		r.fail("two nodes had the same address" + shared(history, at, end))
	}
	if doubles > 0 {
		r.fail(fmt.Sprintf("two nodes answered %d ARP requests", doubles))
	}
	return nil
}

// see draws the live table.
func (d *driller) see() { d.screen.live(d.table) }

// table is who holds what, by the kernels, and each node's longest silence since the
// fault.
func (d *driller) table() []string {
	tables, err := d.tables()
	if err != nil {
		return []string{err.Error()}
	}
	gaps := d.probe.gaps()
	lines := []string{fmt.Sprintf("%-8s %-8s %10s  %s", "node", "state", "last gap", "groups held")}
	for _, n := range d.nodes {
		var held []string
		gap := time.Duration(0)
		for _, g := range d.groups {
			if slices.Contains(tables[g.vips[0]], n) {
				held = append(held, g.name)
			}
			for _, v := range g.vips {
				if slices.Contains(tables[v], n) {
					gap = max(gap, gaps[v])
				}
			}
		}
		lines = append(lines, fmt.Sprintf("%-8s %-8s %7.1f ms  %s", n.name, n.state(), Milliseconds(gap), strings.Join(held, " ")))
	}
	return lines
}
