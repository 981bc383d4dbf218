package daemon

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// repairs bounds how often a group is claimed anew at once whose addresses somebody else
// deletes: ten times, and once more for each second of peace. Beyond that it is barred for
// ever longer pauses, and goes to a node where nobody meddles, if there is one.
type repairs struct {
	left   float64
	filled time.Time
}

// maxRepairs is how many repairs are made at once after a long peace.
const maxRepairs = 10

// spend takes a repair, and says whether there was one left.
func (r *repairs) spend(now time.Time) bool {
	if peace := now.Sub(r.filled); peace > 0 {
		r.left, r.filled = min(maxRepairs, r.left+peace.Seconds()), now
	}
	if r.left < 1 {
		return false
	}
	r.left--
	return true
}

// judgeDeleted takes in that somebody else deleted addresses. That they are gone is in the
// same report, so the core claims their groups anew, unless they are barred here.
func (b *ballots) judgeDeleted(now time.Time, core voter, groups []vipgroup.Group, deleted []vipgroup.VIP) {
	if len(deleted) == 0 {
		return
	}
	gone := make(map[netip.Addr]bool, len(deleted))
	for _, v := range deleted {
		gone[v.Address.Addr()] = true
	}
	for _, g := range groups {
		for _, v := range vips(g) {
			if !gone[v.Address.Addr()] {
				continue
			}
			r := b.repairs[g.Key]
			if r == nil {
				r = &repairs{left: maxRepairs, filled: now}
				b.repairs[g.Key] = r
			}
			if !r.spend(now) {
				reason := fmt.Sprintf("another program deletes %s from %s again and again", v.Address.Addr(), v.Interface)
				r.filled = b.refuse(now, core, g.Key, reason) // the pause is no peace
			}
			break
		}
	}
}

// warn says what to do about a program that deletes addresses, once a minute and link.
func (l *loop) warn(now time.Time, deleted []vipgroup.VIP) {
	count, first := map[string]int{}, map[string]netip.Addr{}
	for _, v := range deleted {
		if count[v.Interface]++; count[v.Interface] == 1 {
			first[v.Interface] = v.Address.Addr()
		}
	}
	for link, n := range count {
		if !l.due(now, "deleted on "+link) {
			continue
		}
		what := first[link].String()
		if n > 1 {
			what = fmt.Sprintf("%s and %d more", what, n-1)
		}
		l.log.Warn(fmt.Sprintf("another program deleted %s from %s; it is claimed anew. Keep that program from it: "+
			"for systemd-networkd set KeepConfiguration=yes in the .network file of %[2]s, for NetworkManager run nmcli device set %[2]s managed no", what, link),
			"link", link)
	}
}

// straysIn lists the addresses that a report is the first to have, or to have had removed, of
// groups that are not held and were seen gone: nobody here added them.
func (k *kernel) straysIn(r netplumb.Report) (out []vipgroup.VIP) {
	note := func(addr netip.Prefix, link string) {
		h := k.managed[addr.Addr()]
		if h != nil && !k.present[addr.Addr()] && !h.held && h.told.present == 0 {
			out = append(out, vipgroup.VIP{Address: addr, Interface: link})
		}
	}
	for _, v := range r.Present {
		note(v.Address, v.Interface)
	}
	for _, op := range r.Ops {
		if op.Kind == netplumb.Remove {
			note(op.Address, op.Link)
		}
	}
	return out
}

// warnOfStrays says what becomes of addresses that somebody else added, once a minute and link.
func (l *loop) warnOfStrays(now time.Time, strays []vipgroup.VIP) {
	for _, v := range strays {
		if !l.due(now, "appeared on "+v.Interface) {
			continue
		}
		l.log.Warn(fmt.Sprintf("another program put %v on %s, which is not this node's: it is removed. "+
			"Take it out of what configures %[2]s: vippyd alone adds it, where it belongs", v.Address.Addr(), v.Interface), "link", v.Interface)
	}
}
