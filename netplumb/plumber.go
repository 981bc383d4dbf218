package netplumb

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Options are what a Plumber starts with.
type Options struct {
	// NotifyRate is how many announcing frames a second may go out on a link for each
	// family; 0 means 1000. The first two frames of each address are never held back.
	NotifyRate int
	// Expires is set where this program took another's place: what that one's Expires said
	// of the addresses of the first desired state. Those that are there are held from then
	// on; what is not there any more is lost, and not added.
	Expires time.Duration
}

// Desired is the whole of what the kernel should have. It is given again each turn of
// the daemon's loop; the newest counts. Its slices must not be changed after Set.
type Desired struct {
	// VIPs should be in the kernel.
	VIPs []vipgroup.VIP
	// Managed are all addresses of the plan, those of VIPs included: what is present
	// and not in VIPs is removed. Only these are reported.
	Managed []vipgroup.VIP
	// Elsewhere are addresses that other nodes are known to have: what this host itself goes
	// by (Observed.Own) is removed all the same where it is among them.
	Elsewhere []netip.Addr
	// Links are further interfaces, beside those of Managed, to watch and to listen on
	// (the chat interfaces).
	Links []string
	// Lifetime is how long the kernel keeps an address that nobody extends: whole
	// seconds, at least one.
	Lifetime time.Duration
	// GrantUntil is the instant (Boottime) from which on nothing is added or extended.
	// Removals need no grant.
	GrantUntil time.Duration
}

// A Plumber keeps this host's kernel as desired. Make one with New and start Run once.
type Plumber struct {
	orders  *orders
	reports *reports
	speaker *speaker
	census  *census
	expires time.Duration
}

// New returns a Plumber. Nothing is opened before Run.
func New(o Options) *Plumber {
	if o.NotifyRate <= 0 {
		o.NotifyRate = 1000
	}
	return &Plumber{orders: newOrders(), reports: newReports(), speaker: newSpeaker(o.NotifyRate), census: newCensus(), expires: o.Expires}
}

// Run works until ctx ends. It opens all its sockets in the network namespace of the
// calling thread, and touches nothing before the first Set. It returns an error only when
// the kernel refuses netlink altogether; everything else is reported and tried again.
// Addresses stay as they are when it ends.
func (p *Plumber) Run(ctx context.Context) error {
	k, err := openKernel()
	if err != nil {
		return err
	}
	defer k.close()
	e, err := subscribe(eventBuffer, k.pid)
	if err != nil {
		return err
	}
	go e.listen()
	w := newWorker(k, e, p.speaker, p.orders, p.reports, p.census)
	defer w.close()
	handle, err := openCensus()
	if err != nil {
		return err
	}
	defer handle.Close()
	var census sync.WaitGroup
	defer census.Wait() // it ends with ctx, as this does
	census.Go(func() { p.census.run(ctx, handle) })
	if err := p.speaker.openEchoes(); err != nil {
		w.fault(err)
	}
	w.inherited = p.expires
	w.run(ctx)
	return nil
}

// Set makes d the desired state and returns its number, with which Report.Seq can be
// compared. States that differ in the grant alone share a number, and make no report.
func (p *Plumber) Set(d Desired) uint64 { return p.orders.set(d) }

// Expires returns the instant of CLOCK_BOOTTIME at which the kernel may drop the first of
// the held addresses unless it is extended before, 0 with none held.
func (p *Plumber) Expires() time.Duration { return time.Duration(p.reports.expires.Load()) }

// Changed delivers a value when there is something new to Report.
func (p *Plumber) Changed() <-chan struct{} { return p.reports.changed }

// Report returns the newest state of the kernel, together with all operations and errors
// since the last call.
func (p *Plumber) Report() Report { return p.reports.take() }

// Heard delivers what others said by ARP, neighbour discovery and echo replies. Who doesn't
// receive misses some (see Report.HeardDropped); the reader never waits.
func (p *Plumber) Heard() <-chan Heard { return p.speaker.heard }

// Ask sends a probe to everybody (RFC 5227 section 2.1.1 with the sender address 0; for
// IPv6 RFC 4862 section 5.4.2) for each address on the link of the plan's VIP; for others
// on the links that have the address's subnet, else on all links in use. Answers come by
// Heard. IPv6 can be asked only on links that have an IPv6 VIP of the plan, and nobody
// answers on a deaf link (see Link). More than 4096 waiting addresses are cut
// (see Report.HeardDropped).
func (p *Plumber) Ask(addrs ...netip.Addr) {
	if len(addrs) > 0 {
		p.speaker.dropped.Add(uint64(p.orders.queue(&p.orders.ask, addrs)))
	}
}

// Echo sends an ICMP echo request for each address of the plan on its VIP's link, whatever
// the routes say, to the hardware address last heard with it; the kernel learns no neighbour
// by that. Replies come by Heard, and so does what can't be sent, as if it had been answered:
// of an address that was never heard, or on a link where this host has no address of its own
// family beside those of the plan.
func (p *Plumber) Echo(addrs ...netip.Addr) {
	if len(addrs) == 0 {
		return
	}
	if cut := p.orders.queue(&p.orders.echo, addrs); cut > 0 {
		p.speaker.dropped.Add(uint64(cut))
	}
}

// Announce announces plumbed addresses once more now, beside their schedule and within
// the rate. Addresses that are not plumbed are passed over.
func (p *Plumber) Announce(addrs ...netip.Addr) {
	if len(addrs) > 0 {
		p.orders.queue(&p.orders.announce, addrs)
	}
}

// Notify changes who is told directly of each address that is taken from now on, within the
// rate, and how often this kernel's neighbours are read.
func (p *Plumber) Notify(n Notify) {
	p.census.pace(n.Every)
	p.orders.tell(n)
}

// Neighbours delivers, after each reading, the hosts that this kernel has confirmed on the
// links of the plan's VIPs within the last hour, the newest first and at most 1024; none of
// them is virtual. Who doesn't receive misses some.
func (p *Plumber) Neighbours() <-chan []Neighbour { return p.census.readings }

// Learn takes in a part of what another node's kernel has confirmed, in place of the former
// part with its number; the node has so many of them.
func (p *Plumber) Learn(node string, part, of int, hosts []Neighbour) {
	p.census.hosts.learn(Boottime(), node, part, of, hosts)
}

// Hosts returns the newest hosts of the collective table, this kernel's and what was learnt, at
// most so many.
func (p *Plumber) Hosts(most int) []Neighbour { return p.census.hosts.newest(Boottime(), most) }

// MAC returns the hardware address that was last heard with a host's address. A peer that
// never spoke ARP becomes known by asking its host address.
func (p *Plumber) MAC(host netip.Addr) (MAC, bool) { return p.speaker.neighbours.mac(host) }
