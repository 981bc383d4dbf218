package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A ruling is why the plan in force is in force, beside its version: the highest one wins,
// be it the file's, a peer's, or one that was kept.
type ruling struct {
	// From is where it came from: fromFile, fromDisk, or the peer that had it.
	From string
	// File is the config as last read from the file, with the file's plan. The one in force
	// is always derived from it: by another plan, some of the checks have nothing to say.
	File *config.Config
	// Trouble is what a restart will have to do without, "" for nothing. Unfit is why it
	// would refuse the file as it is by now.
	Trouble, Unfit string
}

// The places that a plan may come from, beside peers.
const (
	fromFile = "file"
	fromDisk = "state_dir"
)

// note says what a person should know who looks into the file.
func (r ruling) note(p vipgroup.Plan) string {
	var parts []string
	if file := r.File.Plan.Version; file < p.Version {
		parts = append(parts, fmt.Sprintf("the file has version %d, which is lower: its nodes and vips have no effect", file))
	}
	var homeless []string
	for _, g := range p.Groups {
		for _, v := range vips(g) {
			if v.Interface == "" {
				homeless = append(homeless, v.Address.String())
			}
		}
	}
	if n := len(homeless); n > 0 {
		parts = append(parts, fmt.Sprintf("no interface for %s: name it in the file", some(homeless, 3)))
	}
	if r.Trouble != "" {
		parts = append(parts, r.Trouble)
	}
	if r.Unfit != "" {
		parts = append(parts, "the file can't be used, and a restart would refuse it: "+r.Unfit)
	}
	return strings.Join(parts, "; ")
}

// some lists at most so many.
func some(all []string, most int) string {
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// A hostLink is an interface of this host, with the subnets that it is on.
type hostLink struct {
	name    string
	subnets []netip.Prefix
}

// hostLinks lists the interfaces of this host.
func hostLinks() ([]hostLink, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	var out []hostLink
	for _, i := range all {
		l := hostLink{name: i.Name}
		addrs, _ := i.Addrs() // one that has just gone has none
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				l.subnets = append(l.subnets, p)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// place gives each address of a plan that came from elsewhere this host's interface: the one
// that it has in a plan that this host knew, the first of which counts; else the one that the
// sender names, if there is one of that name here; else the one on its subnet; else none, and
// then this host can't have it.
func place(p vipgroup.Plan, links []hostLink, known ...vipgroup.Plan) vipgroup.Plan {
	own := map[netip.Addr]string{}
	for _, k := range slices.Backward(known) {
		for _, g := range k.Groups {
			for _, v := range g.VIPs {
				own[v.Address.Addr()] = cmp.Or(v.Interface, own[v.Address.Addr()])
			}
		}
	}
	p.Groups = slices.Clone(p.Groups)
	for i := range p.Groups {
		g := &p.Groups[i]
		g.VIPs = slices.Clone(g.VIPs)
		for j, v := range g.VIPs {
			g.VIPs[j].Interface = cmp.Or(own[v.Address.Addr()], named(links, v.Interface), onSubnet(links, v.Address.Addr()))
		}
	}
	return p
}

// named returns the name if there is such a link, else "".
func named(links []hostLink, name string) string {
	if slices.ContainsFunc(links, func(l hostLink) bool { return l.name == name }) {
		return name
	}
	return ""
}

// onSubnet returns the link with the smallest subnet that has the address, "" for none. A
// host's own address without a subnet says nothing.
func onSubnet(links []hostLink, addr netip.Addr) (name string) {
	bits := -1
	for _, l := range links {
		for _, s := range l.subnets {
			if !s.IsSingleIP() && s.Contains(addr) && s.Bits() > bits {
				name, bits = l.name, s.Bits()
			}
		}
	}
	return name
}

// planFile is where the plan in force is kept.
func (s *state) planFile() string { return filepath.Join(s.dir, "plan") }

// savePlan keeps a plan, whole or not at all.
func (s *state) savePlan(p vipgroup.Plan) error {
	if err := renameio.WriteFile(s.planFile(), append(p.Share(), '\n'), 0o600); err != nil {
		return fmt.Errorf("state_dir: keep plan %d: %w (the directory must be writable)", p.Version, err)
	}
	return nil
}

// loadPlan returns the plan that is kept; ok is false where there is none.
func (s *state) loadPlan() (p vipgroup.Plan, ok bool, err error) {
	text, err := os.ReadFile(s.planFile())
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err == nil {
		p, err = vipgroup.Shared(text)
	}
	if err != nil {
		return p, false, fmt.Errorf("state_dir: the plan that was kept: %w (that of the file rules until a peer has a higher version)", err)
	}
	return p, true, nil
}

// recall decides at the start between the file's plan and the one that was kept: the higher
// version rules, of equal ones the file's. What rules is kept.
func (s *state) recall(c *config.Config, links func() ([]hostLink, error)) (_ *config.Config, r ruling, err error) {
	r = ruling{From: fromFile, File: c}
	kept, ok, err := s.loadPlan()
	if ok && kept.Version > c.Plan.Version {
		here, e := links()
		notices := c.Notices
		c = c.With(place(kept, here, c.Plan, kept))
		c.Notices = append(slices.Clone(notices), c.Notices...)
		r.From = fromDisk
		return c, r, errors.Join(err, e)
	}
	if !ok || kept.Digest() != c.Plan.Digest() {
		if e := s.savePlan(c.Plan); e != nil {
			r.Trouble = e.Error()
			err = errors.Join(err, e)
		}
	}
	return c, r, err
}

// An offer is a plan of a higher version that a peer announces.
type offer struct {
	plan vipgroup.Plan
	from string
}

// offerAgain is how long a plan that could not be followed waits for the next try.
const offerAgain = 5 * time.Second

// follow has a plan checked and kept that is to come into force because a peer has a higher
// version. Away from the loop, which goes on meanwhile.
func (l *loop) follow(now time.Time) {
	p, from, ok := l.node.Newer()
	if !ok || l.leaving.asked || p.Digest() == l.offered && now.Before(l.offerAt) {
		return
	}
	select {
	case l.reloader.offers <- offer{p, from}:
		l.offered, l.offerAt = p.Digest(), now.Add(offerAgain)
	default: // one is being looked at
	}
}

// adopt brings a peer's plan into force, or says why not.
func (r *reloader) adopt(ctx context.Context, o offer) {
	l, old := r.loop, r.current
	if o.plan.Version <= old.Plan.Version {
		return // a reload was quicker
	}
	if err := r.take(ctx, o); err != nil {
		l.log.Error(fmt.Sprintf("plan %d of %s is not followed, plan %d stays", o.plan.Version, o.from, old.Plan.Version), "err", err)
	}
}

func (r *reloader) take(ctx context.Context, o offer) error {
	l, old := r.loop, r.current
	links, err := l.hostLinks()
	if err != nil {
		l.log.Warn("a new plan gets no interfaces but those that are known", "err", err)
	}
	c := r.ruling.File.With(place(o.plan, links, r.ruling.File.Plan, old.Plan))
	if c.Plan.Node(l.name) >= 0 {
		if err := permitted(c); err != nil {
			return err
		}
	}
	rule := ruling{From: o.from, File: r.ruling.File}
	if err := l.runner.Set(l.plugins(c)); err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	if err := r.bring(ctx, swap{config: c, plan: true}, rule); err != nil {
		return err
	}
	l.log.Info(fmt.Sprintf("%s, from %s", difference(old.Plan, c.Plan), o.from))
	return nil
}

// hand has the loop make a swap.
func (r *reloader) hand(ctx context.Context, s swap) error {
	s.done = make(chan struct{})
	select {
	case r.loop.swaps <- s:
	case <-ctx.Done():
		return errors.New("stopping")
	}
	<-s.done
	r.current, r.ruling = s.config, s.ruling
	return nil
}

// bring keeps the plan of a swap and has the loop make it. A disk that refuses keeps nobody
// from going with the others: after a restart the plan is heard again.
func (r *reloader) bring(ctx context.Context, s swap, rule ruling) error {
	l := r.loop
	if s.plan {
		if err := l.savePlan(s.config.Plan); err != nil {
			l.log.Error(err.Error())
			rule.Trouble = err.Error()
		}
	} else {
		rule.Trouble = r.ruling.Trouble
	}
	s.ruling = rule
	if err := r.hand(ctx, s); err != nil {
		return err
	}
	for _, notice := range s.config.Notices {
		l.log.Info(notice)
	}
	if note := rule.note(s.config.Plan); note != "" && s.plan {
		l.log.Warn("plan: " + note)
	}
	return nil
}
