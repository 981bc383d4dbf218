package daemon

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/vipgroup"
)

// plumber is what the daemon uses of netplumb.Plumber.
type plumber interface {
	Run(ctx context.Context) error
	Set(d netplumb.Desired) uint64
	Changed() <-chan struct{}
	Report() netplumb.Report
	Expires() time.Duration
	Heard() <-chan netplumb.Heard
	Ask(addrs ...netip.Addr)
	Echo(addrs ...netip.Addr)
	Announce(addrs ...netip.Addr)
	MAC(host netip.Addr) (netplumb.MAC, bool)
	Notify(n netplumb.Notify)
	Neighbours() <-chan []netplumb.Neighbour
	Learn(node string, part, of int, hosts []netplumb.Neighbour)
	Hosts(most int) []netplumb.Neighbour
}

// holding follows one group between what the core wants and what the kernel has.
type holding struct {
	group vipgroup.Group
	held  bool
	// since is the number of the Desired that first said so; pending: it is yet to be set.
	since   uint64
	pending bool
	// whole: all addresses were seen in the kernel while held.
	whole bool
	// lost: an address is gone that was plumbed. The plumber adds it again only after a
	// Desired without it.
	lost bool
	told told
}

// told is what the core was last told of a group.
type told struct{ present, missing int }

var nothingTold = told{-1, -1}

// kernel turns held groups into desired addresses, and what the kernel has into reports
// on groups. It also keeps the groups of former plans until they are gone.
type kernel struct {
	plumber
	plan    vipgroup.Plan
	groups  map[vipgroup.Key]*holding
	desired netplumb.Desired
	managed map[netip.Addr]*holding // whose those of desired.Managed are
	hold    []vipgroup.Key          // as last desired
	// dirty: the desired addresses must be computed anew.
	dirty bool
	// unseen: the groups changed since a report was last compared with them.
	unseen bool
	seq    uint64 // of the newest Desired
	// report is the newest one, without what happened since the one before.
	report netplumb.Report
	// present has the addresses of the newest report. It is replaced, never changed.
	present map[netip.Addr]bool
	// strays are what somebody else had added by the newest report.
	strays []vipgroup.VIP
}

func newKernel(p plumber, plan vipgroup.Plan, lifetime time.Duration) *kernel {
	k := &kernel{plumber: p, groups: map[vipgroup.Key]*holding{}, present: map[netip.Addr]bool{}}
	k.desired.Lifetime = lifetime
	k.adopt(plan)
	return k
}

// adopt makes the plan's addresses the managed ones. Those of groups that it doesn't
// have any more stay managed until they were seen gone.
func (k *kernel) adopt(plan vipgroup.Plan) {
	k.plan = plan
	for _, g := range plan.Groups {
		if h := k.groups[g.Key]; h != nil {
			h.group = g
			continue
		}
		k.groups[g.Key] = &holding{group: g, told: nothingTold}
	}
	k.managed, k.desired.Managed = map[netip.Addr]*holding{}, nil
	manage := func(g vipgroup.Group) {
		for _, v := range vips(g) {
			if k.managed[v.Address.Addr()] == nil {
				k.managed[v.Address.Addr()] = k.groups[g.Key]
				k.desired.Managed = append(k.desired.Managed, v)
			}
		}
	}
	for _, g := range plan.Groups {
		manage(g)
	}
	for _, key := range slices.SortedFunc(maps.Keys(k.groups), vipgroup.Key.Compare) {
		h := k.groups[key]
		if plan.Group(key) >= 0 {
			continue
		}
		if k.gone(h) {
			delete(k.groups, key)
			continue
		}
		manage(h.group)
	}
	k.dirty, k.unseen = true, true
}

// gone says whether a group is not desired any more and left nothing behind.
func (k *kernel) gone(h *holding) bool {
	return !h.held && !h.pending && k.report.Seq >= h.since && !k.leaves(h)
}

// leaves says whether an address of a group is there that is no other group's by now: one
// whose addresses were shared out anew has them under another key.
func (k *kernel) leaves(h *holding) bool {
	return slices.ContainsFunc(vips(h.group), func(v vipgroup.VIP) bool {
		owner := k.managed[v.Address.Addr()]
		return k.present[v.Address.Addr()] && (owner == nil || owner == h)
	})
}

// vips are the addresses that a group plumbs.
func vips(g vipgroup.Group) []vipgroup.VIP {
	if g.Election {
		return nil
	}
	return g.VIPs
}

// desire hands the whole desired state to the plumber: the addresses of hold, and a
// grant until the given instant of CLOCK_BOOTTIME.
func (k *kernel) desire(hold []vipgroup.Key, grantUntil time.Duration) {
	if !k.dirty && grantUntil == k.desired.GrantUntil && slices.Equal(hold, k.hold) {
		return
	}
	k.desired.GrantUntil = grantUntil
	if k.dirty || !slices.Equal(hold, k.hold) {
		k.hold, k.dirty = slices.Clone(hold), false
		k.mark()
		k.resign()
		k.desired.VIPs = k.wanted()
	}
	k.seq = k.plumber.Set(k.desired)
	for _, h := range k.groups {
		if h.pending {
			h.pending, h.since = false, k.seq
			k.unseen = true
		}
	}
}

// concede names the addresses that other nodes have, of those that this host itself goes by.
func (k *kernel) concede(addrs []netip.Addr) {
	if !slices.Equal(addrs, k.desired.Elsewhere) {
		k.desired.Elsewhere, k.dirty = addrs, true
	}
}

// resign gives up the held groups that lost an address, for the next Desired to have
// them again. The core said nothing against it: it has claimed them anew already, or
// was still waiting for them to be there.
func (k *kernel) resign() {
	rest := k.wanted()
	for _, h := range k.groups {
		if h.lost {
			h.lost, h.pending = false, true
		}
	}
	if all := k.wanted(); len(all) != len(rest) {
		without := k.desired
		without.VIPs = rest
		k.plumber.Set(without)
	}
}

// wanted lists the addresses of the held groups that lost none.
func (k *kernel) wanted() []vipgroup.VIP {
	var out []vipgroup.VIP
	for _, key := range k.hold {
		if h := k.groups[key]; h != nil && !h.lost {
			out = append(out, vips(h.group)...)
		}
	}
	return out
}

// mark notes which groups are held from the next Desired on.
func (k *kernel) mark() {
	held := make(map[vipgroup.Key]bool, len(k.hold))
	for _, key := range k.hold {
		held[key] = true
	}
	for key, h := range k.groups {
		if h.held == held[key] {
			continue
		}
		h.held, h.pending, h.told = held[key], true, nothingTold
		if h.held {
			h.whole = false
		}
	}
}

// rejoin forgets what was held: nothing is desired any more.
func (k *kernel) rejoin() {
	k.desire(nil, 0)
	k.unseen = true
	for _, h := range k.groups {
		h.told = nothingTold
	}
}

// observe takes the newest report and returns what the core must be told. A report
// counts for a group only when the plumber has come to the Desired that changed it: an
// address that it is about to add must not be called gone.
func (k *kernel) observe() (r netplumb.Report, news []cluster.Report) {
	r = k.plumber.Report()
	same := slices.Equal(r.Present, k.report.Present)
	quiet := same && !k.unseen && r.Seq == k.report.Seq && slices.Equal(r.Lost, k.report.Lost)
	k.strays = k.straysIn(r)
	k.report = r
	k.report.Ops, k.report.Deleted, k.report.Errors = nil, nil, nil
	if !same {
		k.present = make(map[netip.Addr]bool, len(r.Present))
		for _, v := range r.Present {
			k.present[v.Address.Addr()] = true
		}
	}
	if quiet {
		return r, nil // but for counts and links
	}
	k.unseen = false
	lost := map[netip.Addr]bool{}
	for _, v := range r.Lost {
		lost[v.Address.Addr()] = true
	}
	for key, h := range k.groups {
		if h.group.Election {
			continue
		}
		now := k.count(h.group)
		reached := !h.pending && r.Seq >= h.since
		if h.held && reached && slices.ContainsFunc(h.group.VIPs, func(v vipgroup.VIP) bool { return lost[v.Address.Addr()] }) {
			h.lost, k.dirty = true, true
		}
		if now == h.told || !k.believed(h, now, reached) {
			continue
		}
		h.told = now
		h.whole = h.whole || h.held && now.missing == 0
		news = append(news, cluster.Report{Group: key, Present: now.present, Missing: now.missing})
	}
	slices.SortFunc(news, func(a, b cluster.Report) int { return a.Group.Compare(b.Group) })
	for key, h := range k.groups {
		if k.plan.Group(key) < 0 && k.gone(h) {
			k.adopt(k.plan) // which forgets it
			break
		}
	}
	return r, news
}

// believed says whether a report speaks about the group as it is desired now. Before
// the plumber has come to that, a removal is believed of addresses that were all there
// while desired: what is gone is not added again. So a long removal frees group by group.
func (k *kernel) believed(h *holding, now told, reached bool) bool {
	switch {
	case reached:
		return true
	case h.held:
		return false
	default:
		return now.present > 0 || h.whole
	}
}

// elections returns reports for held groups without addresses: they are there as soon
// as they are desired.
func (k *kernel) elections() (news []cluster.Report) {
	for key, h := range k.groups {
		if !h.group.Election {
			continue
		}
		now := told{missing: 1}
		if h.held {
			now = told{present: 1}
		}
		if now != h.told {
			h.told = now
			news = append(news, cluster.Report{Group: key, Present: now.present, Missing: now.missing})
		}
	}
	slices.SortFunc(news, func(a, b cluster.Report) int { return a.Group.Compare(b.Group) })
	return news
}

func (k *kernel) count(g vipgroup.Group) told {
	var t told
	for _, v := range vips(g) {
		if k.present[v.Address.Addr()] {
			t.present++
		} else {
			t.missing++
		}
	}
	return t
}

// empty says whether the newest report has none of our addresses, and the plumber has
// come to the newest Desired.
func (k *kernel) empty() bool {
	return len(k.report.Present) == 0 && k.report.Seq >= k.seq
}

// whyNotEmpty says what stands in the way of empty.
func (k *kernel) whyNotEmpty() string {
	for _, f := range k.report.Failed {
		return f.Err.Error()
	}
	if len(k.report.Present) > 0 {
		return k.report.Present[0].String() + " is still there"
	}
	return "the kernel does not answer"
}

// manages says whether an address is one of the plan's.
func (k *kernel) manages(addr netip.Addr) bool { return k.managed[addr] != nil }

// listen names the links on which frames matter beside those of the addresses.
func (k *kernel) listen(links []string) {
	k.desired.Links = links
	k.dirty = true
}

// unwanted returns the groups that are not held any more but still have addresses.
func (k *kernel) unwanted() map[vipgroup.Key]bool {
	var out map[vipgroup.Key]bool
	for key, h := range k.groups {
		if !h.held && k.count(h.group).present > 0 {
			if out == nil {
				out = map[vipgroup.Key]bool{}
			}
			out[key] = true
		}
	}
	return out
}
