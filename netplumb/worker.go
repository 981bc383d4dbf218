package netplumb

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

const (
	// batch is how many addresses are changed before they are read back and reported,
	// and before a newer desired state is looked for: a peer waits for it.
	batch = 32
	// lookEvery is how often everything is read anew, whatever events say.
	lookEvery = time.Second
	// pollEvery is how often links are looked at: the kernel holds back carrier events
	// for up to a second, and the frame counter has none.
	pollEvery = 50 * time.Millisecond
)

// worker is the state of one Run. One goroutine owns it.
type worker struct {
	k       *kernel
	events  *events
	speaker *speaker
	orders  *orders
	reports *reports
	census  *census

	seq      uint64 // of want; 0 before the first Set
	settled  uint64 // the newest seq that the kernel was brought to
	want     Desired
	wanted   map[place]bool        // of want.VIPs
	plan     map[place]bool        // of want.Managed
	linkOf   map[netip.Addr]string // of want.Managed
	prefixOf map[netip.Addr]netip.Prefix
	links    map[string]*link
	frames   uint64
	gateways []netip.Addr

	have    []Observed            // as last seen
	own     map[string]netip.Addr // by link: what is Own of have
	known   map[place]bool        // what ever was Own
	present map[place]Observed
	held    map[place]*holding
	lost    map[place]bool
	failed  map[place]Failure

	stale     bool // have must be read before anything is compared with it
	suspect   bool // have should be read soon
	differs   bool // want and have must be compared
	ungranted bool // something was not done for want of a grant
	pollAt    time.Duration
	lookAt    time.Duration
	extension extension

	// inherited is when the first desired state's addresses expire, by the program before;
	// 0 when there was none, or what it left has been found.
	inherited time.Duration

	report bool // there is something new to report
	ops    []Op
	errs   []error
	// deleted are addresses that somebody else removed.
	deleted []vipgroup.VIP
}

// A holding is a wanted address that this process has put into the kernel.
type holding struct {
	op Op // as it was added
	// expires is when the kernel may drop it (CLOCK_BOOTTIME), or zero for an address that
	// was found there when it became wanted.
	expires time.Duration
}

func newWorker(k *kernel, e *events, s *speaker, o *orders, r *reports, c *census) *worker {
	return &worker{k: k, events: e, speaker: s, orders: o, reports: r, census: c,
		links: make(map[string]*link), held: make(map[place]*holding), lost: make(map[place]bool), known: make(map[place]bool)}
}

func (w *worker) close() {
	w.speaker.close()
	w.events.close()
}

func (w *worker) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.turn()
		timer.Reset(w.wake() - Boottime())
		select {
		case <-ctx.Done():
			return
		case <-w.orders.wake:
		case <-w.events.wake:
		case <-timer.C:
		}
	}
}

// turn does what is to be done now, what a peer waits for first.
func (w *worker) turn() {
	o := w.orders.take()
	w.adopt(o)
	if o.notify != nil {
		w.speaker.tell(*o.notify)
	}
	if w.seq == 0 {
		return // nobody has said what is wanted
	}
	w.notice(len(o.ask) > 0)
	if w.stale {
		w.look()
	}
	if w.inherited != 0 {
		if w.stale {
			w.differs = false // nothing may be added before it is known what was there
			return
		}
		w.inherit()
	}
	if w.differs {
		w.reconcile() // by the last look: a peer waits
	}
	if !w.differs {
		w.speaker.second(w.want.GrantUntil)
	}
	if w.suspect {
		w.look()
	}
	for _, addr := range o.ask {
		w.ask(addr)
	}
	for _, addr := range o.echo {
		link := w.linkOf[addr]
		from, _ := w.sourceFor(link, addr)
		w.speaker.echo(link, from, addr)
	}
	for _, addr := range o.announce {
		w.speaker.again(addr)
	}
	w.extend()
	w.speaker.announce(w.want.GrantUntil)
	if w.report {
		w.publish()
	} else {
		w.reports.count(w.frames, w.speaker.dropped.Load())
	}
	w.joinRounds() // a peer may have waited for the report
}

// adopt makes the newest desired state the one to work on.
func (w *worker) adopt(o order) {
	if !o.fresh {
		return
	}
	first, same, old := w.seq == 0, w.seq == o.seq, w.want
	w.seq, w.want = o.seq, o.desired
	w.extension.granted()
	if w.ungranted {
		w.ungranted, w.differs = false, true
	}
	if same {
		return // but for the grant
	}
	planned := first || !slices.Equal(old.Managed, w.want.Managed)
	if planned {
		w.plan = make(map[place]bool, len(w.want.Managed))
		w.linkOf = make(map[netip.Addr]string, len(w.want.Managed))
		w.prefixOf = make(map[netip.Addr]netip.Prefix, len(w.want.Managed))
		for _, v := range w.want.Managed {
			w.plan[placeOf(v)] = true
			w.linkOf[v.Address.Addr()] = v.Interface
			w.prefixOf[v.Address.Addr()] = v.Address
		}
		w.census.manage(w.want.Managed)
	}
	if planned || !slices.Equal(old.Links, w.want.Links) {
		w.useLinks()
		w.stale = true
	}
	w.stale = w.stale || !slices.Equal(old.Elsewhere, w.want.Elsewhere)
	if first || !slices.Equal(old.VIPs, w.want.VIPs) || len(o.dropped) > 0 {
		w.wish(o.dropped)
	}
	w.differs = true // to report the new number
}

// wish takes in which addresses are wanted. One that was lost may come back when it was
// not wanted for a while, be it in a state that nobody took.
func (w *worker) wish(dropped map[place]bool) {
	lost, own := w.lost, make(map[netip.Addr]bool, len(w.want.VIPs))
	w.lost = make(map[place]bool)
	w.wanted = make(map[place]bool, len(w.want.VIPs))
	for _, v := range w.want.VIPs {
		at := placeOf(v)
		w.wanted[at] = true
		own[at.addr] = true
		if lost[at] && !dropped[at] {
			w.lost[at] = true
		}
	}
	w.events.extended.Store(&own)
}

// notice takes in what the kernel said and what the clock demands.
func (w *worker) notice(asking bool) {
	now := Boottime()
	if err := w.events.failure.Load(); err != nil && now >= w.lookAt {
		w.resubscribe(*err)
	}
	if w.events.links.Swap(false) {
		clear(w.k.names)
		w.pollAt, w.stale = 0, true
	}
	if w.events.addresses.Swap(false) {
		w.suspect = true
	}
	if now >= w.lookAt {
		w.lookAt = now + lookEvery
		w.suspect = true
		w.lookAtGateways()
	}
	if w.pollDue(now, asking) {
		w.pollAt = now + pollEvery
		w.poll()
	}
}

// pollDue says whether the links are to be looked at. While somebody is asked that is twice
// as often: whether frames arrive then tells a silent address from a dead wire.
func (w *worker) pollDue(now time.Duration, asking bool) bool {
	return now >= w.pollAt || asking && now >= w.pollAt-pollEvery/2
}

func (w *worker) resubscribe(cause error) {
	w.fault(cause)
	e, err := subscribe(eventBuffer, w.k.pid)
	if err != nil {
		w.fault(err)
		return // everything is still read once a second, when this is tried again
	}
	w.events.close()
	go e.listen()
	w.events = e
	e.all()
}

// fault keeps an error for the next report.
func (w *worker) fault(err error) {
	w.errs = append(w.errs, err)
	w.report = true
}

// wake returns when the next turn is due by the clock.
func (w *worker) wake() time.Duration {
	if w.seq == 0 {
		return Boottime() + time.Hour
	}
	at := min(w.pollAt, w.lookAt)
	if len(w.held) > 0 {
		at = min(at, w.extension.wake())
	}
	if w.differs {
		return 0 // a newer desired state interrupted the work on the last
	}
	if Boottime() >= w.want.GrantUntil {
		return at // a grant wakes by itself
	}
	return w.speaker.wake(at)
}

// publish hands out what is new.
func (w *worker) publish() {
	w.report = false
	r := Report{
		Seq:          w.settled,
		Links:        w.linkReports(),
		Gateways:     w.gateways,
		Frames:       w.frames,
		HeardDropped: w.speaker.dropped.Load(),
		Ops:          w.ops,
		Deleted:      w.deleted,
		Errors:       w.errs,
	}
	for _, v := range w.want.Managed {
		if _, there := w.present[placeOf(v)]; there {
			r.Present = append(r.Present, v)
		}
	}
	for _, v := range w.want.VIPs {
		if w.lost[placeOf(v)] {
			r.Lost = append(r.Lost, v)
		}
	}
	for _, f := range w.failed {
		r.Failed = append(r.Failed, f)
	}
	slices.SortFunc(r.Failed, func(a, b Failure) int { return compareVIPs(a.VIP, b.VIP) })
	w.ops, w.deleted, w.errs = nil, nil, nil
	w.reports.put(r)
}

func compareVIPs(a, b vipgroup.VIP) int { return a.Address.Addr().Compare(b.Address.Addr()) }
