package config

import (
	"net/netip"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/vippy-ha/vippy/vipgroup"
)

// A draft is a group while it is being read.
type draft struct {
	vipgroup.Group
	at    node
	plumb bool
	// written is the first address as the file has it: the name of a group without one.
	written string
}

// vips reads the groups, in either of their forms.
func (w *walker) vips(n node) {
	names, owners := map[string]node{}, map[netip.Addr]node{}
	w.list(n, "groups", func(e node) {
		g := draft{at: e, plumb: true}
		g.Preempt = true
		seq, isList := e.ast.(*ast.SequenceNode)
		_, isText := scalarText(e.ast)
		switch {
		case isList:
			w.groupList(e, seq, &g, owners)
		case isText:
			w.fault(e, "expected a group such as [ { interface: eth0, ip: 10.8.3.195/24 } ], found %s", describe(e))
			return
		case isOneAddress(e):
			w.fault(e, "expected a group, found one address: put it in brackets, [ { interface: eth0, ip: 10.8.3.195/24 } ], or behind addresses")
			return
		case w.object(e, w.groupFields(&g, owners)) == nil:
			return
		}
		w.addGroup(&g, names)
	})
	w.overlaps(owners)
	if len(w.plan.Groups) > vipgroup.MaxGroups {
		w.fault(n, "%d groups; a plan has at most %d", len(w.plan.Groups), vipgroup.MaxGroups)
	}
}

// groupList reads Vippy's form: preferred nodes first, then addresses.
func (w *walker) groupList(n node, seq *ast.SequenceNode, g *draft, owners map[netip.Addr]node) {
	addresses := 0
	for i, v := range seq.Values {
		e := n.element(v, i)
		if s, ok := scalarText(v); ok && addresses > 0 {
			w.fault(e, "%s stands behind an address; preferred nodes come first", quote(s))
		} else if ok && isAddress(s) {
			addresses++
			w.fault(e, "%s is an address, and needs its interface: { interface: eth0, ip: %s }", quote(s), printable(s))
		} else if ok {
			w.prefer(e, g)
		} else {
			addresses++
			w.vip(e, g, owners)
		}
	}
	if addresses == 0 {
		w.fault(n, "a group without addresses; give it { interface, ip }, or write an election as { name: NAME }")
	}
}

// groupFields are the keys of a group that is an object.
func (w *walker) groupFields(g *draft, owners map[netip.Addr]node) fields {
	return fields{
		{"name", func(n node) { g.Name, _ = w.text(n, "the group's name") }},
		{"prefer", func(n node) { w.oneOrMore(n, func(e node) { w.prefer(e, g) }) }},
		{"addresses", func(n node) {
			w.list(n, "{ interface, ip }", func(e node) { w.vip(e, g, owners) })
		}},
		{"preempt", func(n node) {
			if b, ok := w.boolean(n); ok {
				g.Preempt = b
			}
		}},
		{"preempt_delay", w.duration(&g.PreemptDelay, 0, 86400)},
		{"partition", func(n node) { w.partition(n, &g.Partition) }},
		{"checks", func(n node) { w.oneOrMore(n, func(e node) { w.groupCheck(e, g) }) }},
		{"plumb", func(n node) {
			if b, ok := w.boolean(n); ok {
				g.plumb = b
			}
		}},
	}
}

// addressFields are the keys of one address of a group.
func (w *walker) addressFields(v *vipgroup.VIP, written *string) fields {
	return fields{
		{"interface", func(n node) { v.Interface, _ = w.link(n) }},
		{"ip", func(n node) { v.Address, *written, _ = w.virtual(n) }},
		{"state", func(n node) {
			s, ok := w.text(n, "no value at all")
			if ok && s == "preplumbed" {
				w.fault(n, `"preplumbed" is refused: an address that stays on every host has as many owners as hosts; remove state and let vippy add and remove the address`)
			} else if ok {
				w.fault(n, "%s means nothing here: remove state", quote(s))
			}
		}},
	}
}

func (w *walker) prefer(n node, g *draft) {
	s, ok := w.nodeName(n)
	if ok && slices.Contains(g.Prefer, s) {
		w.fault(n, "%s is preferred twice", quote(s))
	} else if ok {
		g.Prefer = append(g.Prefer, s)
	}
}

// vip reads one { interface, ip } and says who else has the address.
func (w *walker) vip(n node, g *draft, owners map[netip.Addr]node) {
	var v vipgroup.VIP
	var written string
	given := w.object(n, w.addressFields(&v, &written))
	w.complete(n, given, "interface", "ip")
	if !v.Address.IsValid() {
		return
	}
	at := given["ip"]
	if other, dup := owners[v.Address.Addr()]; dup {
		w.fault(at, "%s is given twice (first at %s)", v.Address.Addr(), other.at())
		return
	}
	owners[v.Address.Addr()] = at
	if len(g.VIPs) == 0 {
		g.written = written
	}
	g.VIPs = append(g.VIPs, v)
}

// virtual returns an address that a host can be given beside its own.
func (w *walker) virtual(n node) (p netip.Prefix, written string, ok bool) {
	p, s, ok := w.prefix(n)
	if !ok {
		return netip.Prefix{}, s, false
	}
	if err := vipgroup.VirtualAddress(p); err != nil {
		w.fault(n, "%s %v", quote(s), err)
		return netip.Prefix{}, s, false
	}
	return p, s, true
}

// addGroup names the group and puts it into the plan.
func (w *walker) addGroup(g *draft, names map[string]node) {
	if !g.plumb || len(g.VIPs) == 0 {
		// Its name makes its key, and no address of it may ever reach a kernel.
		g.Election, g.VIPs, g.written = true, nil, ""
	}
	if g.Name == "" {
		g.Name = g.written
	}
	switch other, dup := names[g.Name]; {
	case g.Name == "" && g.Election && !w.faultyBelow(g.at):
		w.fault(g.at, "an election (no addresses, or plumb: false) needs a name: its key is made of it")
	case g.Name == "":
	case len(g.Name) > 128:
		w.fault(g.at, "the name %s is longer than 128 bytes", quote(g.Name))
	case dup:
		w.fault(g.at, "the name %s is used twice (first at %s)", quote(g.Name), other.at())
	default:
		names[g.Name] = g.at
	}
	if g.PreemptDelay > 0 && (!g.Preempt || len(g.Prefer) == 0) {
		w.notice("%s: preempt_delay means something only with prefer and preempt: true", g.at.path)
	}
	w.plan.Groups = append(w.plan.Groups, g.Group)
}
