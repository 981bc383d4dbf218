package netplumb

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// A link is an interface in use as it was last polled.
type link struct {
	facts  linkFacts
	exists bool
	// six: VIPs of this link are IPv6.
	six bool
	// deaf is why addresses can't be asked for here; told once.
	deaf error
}

// carries says whether frames can pass.
func (l *link) carries() bool { return l.exists && l.facts.up && l.facts.carrier }

// aliasOf names the interface of which the link's name is but an alternative one, which
// doesn't count as existing: by it addresses would be read back under another name.
func (l *link) aliasOf() string {
	if l.exists {
		return ""
	}
	return l.facts.name
}

// useLinks makes the links of the plan and those named besides the ones in use.
func (w *worker) useLinks() {
	old := w.links
	w.links = make(map[string]*link)
	use := func(name string) {
		switch {
		case name == "" || w.links[name] != nil:
		case old[name] != nil:
			w.links[name] = old[name]
		default:
			w.links[name] = &link{}
		}
	}
	for _, name := range w.want.Links {
		use(name)
	}
	six := make(map[string]bool)
	for at := range w.plan {
		use(at.link)
		six[at.link] = six[at.link] || at.addr.Is6()
	}
	for name, l := range w.links {
		if l.six = six[name]; !l.six {
			w.speaker.drop(portID{name, true})
		}
	}
	for name := range old {
		if w.links[name] == nil {
			w.speaker.leave(name)
		}
	}
	w.pollAt, w.report = 0, true
}

// poll looks at the links in use.
func (w *worker) poll() {
	for name, l := range w.links {
		w.pollLink(name, l)
	}
}

func (w *worker) pollLink(name string, l *link) {
	before := *l
	facts, exists, err := w.k.link(name)
	if err != nil {
		w.fault(err) // it is as it was until more is known
		return
	}
	l.facts, l.exists = facts, exists
	if !before.exists || before.facts.index != l.facts.index {
		before.facts.received = l.facts.received // counts from here
	}
	if n := l.facts.received; n > before.facts.received {
		w.frames += n - before.facts.received
	} else if n < before.facts.received {
		w.frames += n // the driver began anew
	}
	if before.exists != l.exists || before.facts.index != l.facts.index {
		w.stale = true
	}
	if l.deaf = w.tend(name, l); text(l.deaf) != text(before.deaf) {
		w.report = true
	}
	if !before.carries() && l.carries() {
		w.speaker.restart(name)
	}
	if before.exists && !before.facts.running && l.facts.running {
		w.census.linkReturned(l.facts.index)
	}
	if before.exists != l.exists || before.facts.up != l.facts.up || before.facts.carrier != l.facts.carrier ||
		before.facts.index != l.facts.index || before.aliasOf() != l.aliasOf() || before.facts.mac.String() != l.facts.mac.String() {
		w.report = true
	}
}

// tend keeps the ports of a link, and says why addresses can't be asked for there.
func (w *worker) tend(name string, l *link) (deaf error) {
	ports := []portID{{name, false}, {name, true}}
	if !l.six {
		ports = ports[:1]
	}
	for _, id := range ports {
		opened, err := w.speaker.tend(id, l.facts, l.exists)
		if deaf == nil {
			deaf = err
		}
		if err != nil && text(err) != text(l.deaf) && !errors.Is(err, errNoARP) && !errors.Is(err, errNoIPv6) {
			w.fault(fmt.Errorf("%v: %w", id, err))
		}
		if !opened {
			continue
		}
		for at := range w.held {
			if portOf(at) == id {
				w.speaker.take(at)
			}
		}
	}
	return deaf
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ask sends a probe where the address can be.
func (w *worker) ask(addr netip.Addr) {
	if name, planned := w.linkOf[addr]; planned {
		w.speaker.ask(name, addr)
		return
	}
	var links []string
	for _, o := range w.have {
		if w.links[o.Link] != nil && !o.Address.IsSingleIP() && o.Address.Contains(addr) && !slices.Contains(links, o.Link) {
			links = append(links, o.Link)
		}
	}
	if links == nil {
		links = slices.Collect(maps.Keys(w.links))
	}
	for _, name := range links {
		w.speaker.ask(name, addr)
	}
}

func (w *worker) lookAtGateways() {
	list := w.k.gateways()
	if !slices.Equal(list, w.gateways) {
		w.gateways, w.report = list, true
	}
}

// linkReports says how the links in use are.
func (w *worker) linkReports() []Link {
	out := make([]Link, 0, len(w.links))
	for _, name := range slices.Sorted(maps.Keys(w.links)) {
		l := w.links[name]
		out = append(out, Link{Name: name, AliasOf: l.aliasOf(), Exists: l.exists, Up: l.facts.up, Carrier: l.facts.carrier, Deaf: l.deaf, Own: w.own[name]})
	}
	return out
}
