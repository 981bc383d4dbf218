package lab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// A scope says whose addresses a fault may move.
type scope int

const (
	// itsOwn: what the victim has before or afterwards.
	itsOwn scope = iota
	nothing
	// others: all but what the victim has before.
	others
	everything
)

// A promise is what the README ("What it promises") says, in numbers, about a fault.
type promise struct {
	moves scope
	// untouched: no address is touched, so that no probe of any may be lost.
	untouched bool
	// empties: its victim has nothing any more. takesAll: its victim has everything.
	empties, takesAll bool
	// lasts: the nodes can't agree as long as it lasts. So it is judged by kernels and
	// client alone, and its end belongs to it.
	lasts bool
	// twoOwners: an address may be on two nodes (a full cut).
	twoOwners bool
	// sameGuard: the victim has the same guard before and after.
	sameGuard bool
	// returns: what comes back counts as moved. takesNothing: its victim gets nothing.
	returns, takesNothing bool
	// watch is how long the cluster is watched at least.
	watch time.Duration
	// after, if not nil, says what is wrong in the end beside that, "" for nothing.
	after func(ctx context.Context, d *driller, r *Result, victim *node) string
	bounds
}

// Bounds are what a fault may cost. Those of the gap are above the noise floor of the same
// run; 0 for moved means that there is no bound.
type bounds struct{ median, worst, moved time.Duration }

// The times of a cluster, from which promises follow.
type times struct {
	interval, stale, lifetime time.Duration
	// flood is how long a flood lasts.
	flood time.Duration
	// single: only a majority serves. What nobody released must then have been silent for
	// longer than any grant may last.
	single bool
}

const (
	// lifetime is vippyd's default.
	lifetime = time.Second
	// overdue is by how much a kernel may exceed it.
	overdue = 1020 * time.Millisecond
)

// asked is T of docs/protocol.md.
func (t times) asked() time.Duration { return max(t.interval/2, 50*time.Millisecond) }

// silent is how long an address must have been silent that nobody released.
func (t times) silent() time.Duration {
	if t.single {
		return t.stale + t.lifetime + overdue + 30*time.Millisecond
	}
	return t.stale
}

// lost is when the last address of a lost host is taken.
func (t times) lost() time.Duration { return t.silent() + 2*t.interval }

// remembered is when the last address is taken of a lost host for which a switch answers.
func (t times) remembered() time.Duration { return t.lifetime + 1050*time.Millisecond + t.lost() }

// of is the promise about a fault; there must be one.
func (t times) of(fault string) promise {
	// No gap at all is noise too.
	p := promise{bounds: bounds{median: 2 * time.Millisecond, worst: 10 * time.Millisecond},
		// Whoever is wrongly thought dead is so by then.
		watch: t.stale + 5*t.interval}
	both := func(gap, moved time.Duration) bounds { return bounds{gap, gap, moved} }
	switch fault {
	case "none", "starve", "reload", "bump", "clash", "rekey":
		p.moves, p.sameGuard, p.untouched = nothing, true, true
	case "kill-guard", "upgrade":
		p.moves, p.untouched = nothing, true
	case "return", "wake", "link-up", "heal", "thaw":
	case "stop":
		p.empties = true
	case "drain":
		p.empties, p.sameGuard = true, true
	case "undrain":
		p.sameGuard = true
	case "move":
		p.sameGuard = true
		p.after = func(_ context.Context, d *driller, r *Result, _ *node) string { return d.arrived(r) }
	case "kill":
		p.empties = true
		p.bounds = bounds{10 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond}
	case "service":
		p.empties, p.sameGuard = true, true
		p.bounds = both(20*time.Millisecond, 50*time.Millisecond)
	case "plugins": // with the time to crash, and to be started again, several times
		p.moves, p.sameGuard = nothing, true
		p.watch = 3 * time.Second
		p.after = func(ctx context.Context, _ *driller, _ *Result, n *node) string { return n.pluginsFared(ctx) }
	case "restart": // the worst of several kills
		p.bounds = both(50*time.Millisecond, 0)
	case "meddle":
		p.sameGuard, p.returns = true, true
		p.bounds = bounds{10 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond}
	case "contest": // until it is defended, which may be every 100 ms
		p.moves, p.sameGuard = nothing, true
		p.bounds = both(100*time.Millisecond, 0)
		p.after = func(ctx context.Context, d *driller, _ *Result, n *node) string {
			return cmp.Or(d.defended(n), d.told(ctx, n))
		}
	case "hang":
		p.empties = true
		p.bounds = both(10*time.Millisecond, t.lifetime+50*time.Millisecond)
	case "kill-both", "freeze":
		p.empties = true
		p.bounds = both(t.silent()+t.asked(), t.lifetime+overdue+t.silent()+t.asked())
	case "all-peers-dead": // more than one fault: one more stale
		p.moves, p.takesAll = others, true
		p.bounds = both(2*t.stale+t.asked(), t.lifetime+overdue+2*t.stale+t.asked())
	case "link-down", "cut", "deaf":
		p.empties = true
		p.bounds = both(t.lost(), t.lost())
	case "memory":
		p.empties = true
		p.bounds = both(t.remembered(), t.remembered())
	case "one-way-out":
		p.empties, p.lasts = true, true
		p.bounds = both(100*time.Millisecond, t.lost())
	case "one-way-in": // whoever can't hear the holders is let have what it claims
		p.moves, p.lasts, p.takesAll = others, true, true
		p.bounds = both(100*time.Millisecond, t.lost())
	case "mute", "firewall", "firewall-in":
		// Longer than an address is believed whose host says nothing.
		p.moves, p.lasts, p.sameGuard, p.untouched = nothing, true, true, true
		p.watch = t.remembered() + t.stale
	case "flood":
		// The nodes may not hear each other for as long as it lasts.
		p.moves, p.lasts, p.sameGuard = nothing, true, true
		p.watch = t.flood
		// All of it, and the switch, share the processors of one machine with the client.
		p.bounds = bounds{median: 10 * time.Millisecond, worst: 50 * time.Millisecond}
	case "foreign-key":
		p.empties, p.takesNothing = true, true
		p.watch = foreignMature + t.lost() + 5*t.interval // it must have had the time to take something
	case "twin", "twin-idle":
		p.lasts, p.sameGuard = true, true
		p.watch = foreignMature + t.lost() + 5*t.interval // as with a foreign key
		if fault == "twin" {
			p.moves = nothing
		}
	case "split":
		if t.single {
			p.empties, p.lasts, p.watch = true, true, t.lost()+5*t.interval
			p.bounds = both(t.lost(), t.lost())
			break
		}
		p.moves, p.lasts, p.twoOwners = everything, true, true
		p.watch = 3*t.stale + 10*t.interval
		p.bounds = both(100*time.Millisecond, 0) // the client's way back, once healed
	default:
		panic("lab: nothing is promised about " + fault)
	}
	return p
}

// stirred lists the addresses that came to a kernel or left one since an instant, in order.
func stirred(all []hold, since instant) []netip.Addr {
	var out []netip.Addr
	for _, h := range all {
		if h.from >= since || h.to != forever && h.to >= since {
			out = append(out, h.addr)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// took lists the addresses that came to a node's kernel since an instant.
func took(all []hold, node byte, since instant) []netip.Addr {
	return stirred(slices.DeleteFunc(slices.Clone(all), func(h hold) bool { return h.node != node || h.from < since }), since)
}

// keptPeace says what a fault moved that it must not move, "" for nothing.
func (c *cluster) keptPeace(r *Result, victim *node, history []hold, at instant) string {
	promised := c.times().of(r.Fault)
	may := map[netip.Addr]bool{}
	for _, g := range c.groups {
		before, after := r.Before[g.name] == victim.name, r.After[g.name] == victim.name
		for _, v := range g.vips {
			switch promised.moves {
			case itsOwn:
				may[v] = before || after
			case others:
				may[v] = !before
			case everything:
				may[v] = true
			}
		}
	}
	moved := slices.DeleteFunc(stirred(history, at), func(v netip.Addr) bool { return may[v] })
	if len(moved) > 0 {
		return fmt.Sprintf("%v came or went, which %s must not touch", moved, r.Fault)
	}
	if c.twin != nil {
		if got := took(history, c.twin.num, at); len(got) > 0 {
			return fmt.Sprintf("%v went to a second process by the name of %s", got, victim.name)
		}
	}
	if got := took(history, victim.num, at); promised.takesNothing && len(got) > 0 {
		return fmt.Sprintf("%s took %v without the cluster's secret", victim.name, got)
	}
	return ""
}

// tookAll says which group a node doesn't have that should have all of them.
func (r *Result) tookAll() string {
	for name, owner := range r.meanwhile {
		if owner != r.Victim {
			return fmt.Sprintf("%s went to %q and not to %s, which should have everything", name, owner, r.Victim)
		}
	}
	return ""
}

// defended says what is wrong with the end of a contest: the holder must have the last
// word, for every host on the wire goes by it.
func (d *driller) defended(victim *node) string {
	vip, err := d.prey(victim)
	if err != nil {
		return err.Error()
	}
	switch last := d.census.lastWord(vip); {
	case last == nil:
		return fmt.Sprintf("nobody heard %v being contested", vip)
	case !bytes.Equal(last, victim.mac):
		return fmt.Sprintf("the last to announce %v is %v and not %s", vip, last, victim.name)
	}
	return ""
}

// told says what the status of a node lacks that was contested, "" for nothing: whoever reads it
// must find the stranger.
func (d *driller) told(ctx context.Context, victim *node) string {
	vip, err := d.prey(victim)
	if err != nil {
		return err.Error()
	}
	st, err := victim.ask(ctx)
	if err != nil {
		return fmt.Sprintf("%s: %v", victim.name, err)
	}
	for _, g := range st.Groups {
		for _, a := range g.Addresses {
			if a.Address.Addr() == vip && a.ContestedBy != stranger.String() {
				return fmt.Sprintf("%s: the status has %v contested by %q and not by %v", victim.name, vip, a.ContestedBy, stranger)
			}
		}
	}
	if !slices.ContainsFunc(st.Alarms, func(a ctlsocket.Alarm) bool {
		return a.Name == ctlsocket.AlarmContested && strings.Contains(a.Detail, vip.String())
	}) {
		return fmt.Sprintf("%s: no alarm names %v, which a stranger announced", victim.name, vip)
	}
	return ""
}

// guardKept says what became of a guard that must not have fired, "" if it is still there.
func (d *driller) guardKept(ctx context.Context, victim *node, before int) string {
	pid, err := victim.guardPID(ctx)
	switch {
	case err != nil:
		return err.Error()
	case pid != before:
		return fmt.Sprintf("%s: its guard was %d and is %d now", victim.name, before, pid)
	}
	return ""
}
