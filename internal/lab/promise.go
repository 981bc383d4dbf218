package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// stirsNothing says whether a fault may change no kernel's addresses at all.
func stirsNothing(fault string) bool {
	return slices.Contains([]string{"none", "starve", "contest", "reload"}, fault)
}

// stirsItsOwn says whether a fault may change only the groups that its victim has.
func stirsItsOwn(fault string) bool { return fault == "meddle" || fault == "foreign-key" }

// keepsGuard says whether the victim has the same guard before and after a fault.
func keepsGuard(fault string) bool { return stirsNothing(fault) || fault == "meddle" }

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
	if !stirsNothing(r.Fault) && !stirsItsOwn(r.Fault) {
		return ""
	}
	may := map[netip.Addr]bool{}
	for _, g := range c.groups {
		for _, v := range g.vips {
			may[v] = stirsItsOwn(r.Fault) && r.Before[g.name] == victim.name
		}
	}
	moved := slices.DeleteFunc(stirred(history, at), func(v netip.Addr) bool { return may[v] })
	if len(moved) > 0 {
		return fmt.Sprintf("%v came or went, which %s must not touch", moved, r.Fault)
	}
	if got := took(history, victim.num, at); r.Fault == "foreign-key" && len(got) > 0 {
		return fmt.Sprintf("%s took %v without the cluster's secret", victim.name, got)
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

// sameGuard says what became of a guard that must not have fired, "" if it is still there.
func (d *driller) sameGuard(ctx context.Context, victim *node, before int) string {
	pid, err := victim.guardPID(ctx)
	switch {
	case err != nil:
		return err.Error()
	case pid != before:
		return fmt.Sprintf("%s: its guard was %d and is %d now", victim.name, before, pid)
	}
	return ""
}
