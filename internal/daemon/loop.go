package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/cluster/multicast"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/hook"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// loop is the daemon's state. All of it belongs to the goroutine of run, except what
// says otherwise.
type loop struct {
	parts
	config  *config.Config
	ruling  ruling // of its plan
	name    string
	version string
	log     *slog.Logger
	reload  <-chan struct{}
	hurry   <-chan struct{}

	node    *cluster.Node
	chat    *chat
	kernel  *kernel
	ballots *ballots
	keeping keeping
	wire    wire
	trouble trouble
	leaving leaving
	story   story
	hooking hooking
	history ctlsocket.History // of events; anybody reads it
	links   []netplumb.Link   // as last judged
	mute    mute
	rejects rejects
	// done is what the plumber did since the last turn.
	done []netplumb.Op
	// complaints has when each trouble with the kernel was last logged.
	complaints map[string]time.Time

	// offered is the plan of a peer that the reloader was last told of; again from offerAt on.
	offered vipgroup.Digest
	offerAt time.Time

	plugins    func(*config.Config) []plugin.Plugin
	runner     *plugin.Runner
	reloader   *reloader
	management management
	notifier   *notifier
	helpers    *errgroup.Group
	life       context.Context // of the helpers

	upgrader upgrader
	ordering ordering
	boot     uint64
	started  time.Time

	drained *drain        // nil while no order to drain is in force
	drains  sync.Mutex    // held while its file is being written
	risen   time.Duration // CLOCK_BOOTTIME when the newest input came; nothing is extended from later
	turned  time.Duration // the same of the last turn
	term    time.Duration // CLOCK_BOOTTIME until which the last turn lets addresses live
	grant   time.Duration // CLOCK_BOOTTIME until which they may be added and extended
	wake    time.Time
	again   bool // the last turn gave rise to an input: don't sleep

	// tenants want to know at once whether this node has a group.
	tenants  map[*tenant]bool
	requests chan request
	swaps    chan swap
	// published is the newest snapshot, for who finds the loop busy. Anybody reads it.
	published atomic.Pointer[snapshot]
}

// maxDrain bounds how many inputs are taken before a turn, so that a flood can't keep
// the loop from its turns.
const maxDrain = 64

func newLoop(o Options, p parts) *loop {
	c := o.Config
	l := &loop{
		parts:      p,
		config:     c,
		ruling:     p.rule,
		name:       o.Node,
		version:    o.Version,
		log:        o.Log,
		reload:     o.Reload,
		hurry:      o.Hurry,
		chat:       newChat(p.socket, chatOf(c)),
		kernel:     newKernel(p.plumber, c.Plan, c.Lifetime),
		ballots:    newBallots(),
		wire:       newWire(),
		plugins:    o.Plugins,
		complaints: map[string]time.Time{},
		notifier:   newNotifier(),
		tenants:    map[*tenant]bool{},
		requests:   make(chan request),
		swaps:      make(chan swap),
		started:    time.Now(),
		drained:    p.drain,
		ordering:   newOrdering(),
	}
	l.ballots.strict = c.WhenAllFail == config.Drop
	l.runner = plugin.NewRunner(o.Log, l.pluginStatus)
	if l.guard == nil {
		l.guard = unguarded{}
	}
	if l.ruling.From == "" {
		l.ruling = ruling{From: fromFile, File: c}
	}
	l.hooking = hooking{runner: hook.NewRunner(o.Log), taken: map[vipgroup.Key]bool{}}
	l.story.log, l.story.emit = o.Log, l.emit
	l.reloader = newReloader(l)
	l.kernel.Notify(notifyOf(c))
	return l
}

// begin makes the core, at the moment from which on the loop listens.
func (l *loop) begin(now time.Time, boot uint64) {
	for _, notice := range l.config.Notices {
		l.log.Info(notice)
	}
	l.log.Info(fmt.Sprintf("vippyd %s is node %s of cluster %s: plan %d with %s",
		l.version, l.name, l.config.Cluster, l.config.Plan.Version, l.config.Plan.Size()))
	if l.drained != nil {
		l.log.Info("drained "+l.drained.note(), "by", l.drained.By, "from", l.drained.From)
	}
	l.newNode(now, boot)
	l.turned = l.boottime()
	l.wake = now
	l.publish(now)
	l.notifier.ready()
}

// newNode starts the core anew, and tells it all that stands.
func (l *loop) newNode(now time.Time, boot uint64) {
	l.disordered()
	l.node, l.boot = cluster.New(now, l.coreOptions(boot)), boot
	l.tellNode(now)
}

func (l *loop) coreOptions(boot uint64) cluster.Options {
	return cluster.Options{
		Name:    l.name,
		Cluster: l.config.Cluster,
		Boot:    boot,
		Keys:    keysOf(l.config),
		Plan:    l.config.Plan,
		Timing:  timingOf(l.config),
	}
}

// tellNode tells a core that has just begun what it can't know.
func (l *loop) tellNode(now time.Time) {
	l.ballots.replay(now, l.node, l.config.Plan)
	l.node.Witness(now, l.witnesses())
	l.kernelNews(now)
	if l.drained != nil {
		l.node.Drain(now, l.drained.order(now))
	}
	if l.leaving.asked {
		l.node.Leave(now)
	}
	l.keeping.stale()
}

func keysOf(c *config.Config) []cluster.Key {
	keys := make([]cluster.Key, len(c.Secrets))
	for i, s := range c.Secrets {
		keys[i] = cluster.NewKey(s.Reveal())
	}
	return keys
}

func timingOf(c *config.Config) cluster.Timing {
	return cluster.Timing{Interval: c.Interval, Stale: c.Stale, Mature: c.Mature, Lifetime: c.Lifetime}
}

// run is the loop. It returns nil once everything was given up and the farewell is
// said.
func (l *loop) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop, hurry := ctx.Done(), l.hurry
	for {
		if l.again {
			timer.Reset(0)
		} else {
			timer.Reset(time.Until(l.wake))
		}
		// Each input begins with arise: nothing may be decided before a gap is noticed.
		var now time.Time
		select {
		case b := <-l.chat.batches:
			now = l.arise()
			if !l.receive(now, b) {
				continue
			}
		case <-l.kernel.Changed():
			now = l.arise()
			if !l.kernelNews(now) {
				l.reassure()
				continue
			}
		case h := <-l.kernel.Heard():
			now = l.arise()
			if !l.hear(now, h) {
				continue
			}
		case list := <-l.kernel.Neighbours():
			now = l.arise()
			l.share(now, list)
		case <-timer.C:
			now = l.arise()
		case b := <-l.runner.Votes():
			now = l.arise()
			l.ballots.pluginVote(now, l.node, l.config.Plan, b)
		case r := <-l.requests:
			now = l.arise()
			r(now)
		case s := <-l.swaps:
			now = l.arise()
			l.swap(now, s)
		case names := <-l.chat.links:
			now = l.arise()
			l.chatOn(names)
		case <-l.guard.Changed():
			now = l.arise()
			l.story.stir(now)
		case <-l.reload:
			now = l.arise()
			l.reloader.ask(reloadRequest{why: "SIGHUP"})
		case <-stop:
			stop = nil
			now = l.arise()
			l.leave(now, context.Cause(ctx).Error())
		case <-hurry:
			hurry = nil
			now = l.arise()
			l.leaving.hurry = true
		case <-l.life.Done():
			return errHelper
		}
		l.drain(now)
		l.turn(now)
		if l.leaving.asked && l.left(now) {
			return l.farewell(now)
		}
	}
}

// drain takes what else is waiting, so that the turn decides on all that is known.
func (l *loop) drain(now time.Time) {
	for range maxDrain {
		select {
		case b := <-l.chat.batches:
			l.receive(now, b)
		case <-l.kernel.Changed():
			l.kernelNews(now)
		case h := <-l.kernel.Heard():
			l.hear(now, h)
		default:
			return
		}
	}
}

// arise begins each input: a loop that was not there for a lifetime has lost its
// addresses, and starts over before it does anything else.
func (l *loop) arise() time.Time {
	l.risen = l.boottime()
	gap := l.risen - l.turned
	if gap > l.config.Lifetime {
		l.rejoin(gap)
	} else if gap > 2*l.config.Interval {
		l.catchUp()
	}
	return time.Now()
}

// catchUp gives the reader of a process that was starved the time to bring what waits
// in the socket: silence must not be concluded from not having listened. A host that is
// short of processor time may let the reader wait once more, which the socket tells.
func (l *loop) catchUp() {
	const look, most = 2 * time.Millisecond, 50 * time.Millisecond
	for waited := time.Duration(0); waited == 0 || waited < most && l.chat.Waiting(); waited += look {
		late := time.NewTimer(look)
		select {
		case b := <-l.chat.batches:
			late.Stop()
			l.receive(time.Now(), b)
			return
		case <-late.C:
		}
	}
}

// rejoin takes a new boot id after a gap on CLOCK_BOOTTIME: others may have what was
// held here, so nothing is desired until the core, which knows nothing now, has claimed
// it.
func (l *loop) rejoin(gap time.Duration) {
	l.kernel.rejoin()
	l.term, l.grant = 0, 0
	now := time.Now()
	boot, err := l.bootSoon()
	if err != nil {
		// The clock alone keeps boot ids growing from one process to the next.
		boot = max(uint64(max(now.UnixNano(), 1)), l.boot+1)
		l.log.Error("cannot keep the boot id", "err", err)
	}
	text := fmt.Sprintf("this process did nothing for %v, longer than the addresses live: it starts over", gap.Round(time.Millisecond))
	l.log.Error(text)
	l.trouble.raise("clock-gap", now, text)
	l.newNode(now, boot)
	l.risen = l.boottime()
	l.turned = l.risen
}

// bootWithin is how long a node that starts over waits for its disk, whose standstill may be
// what kept it from running.
const bootWithin = 100 * time.Millisecond

// bootSoon is nextBoot, or an error where that takes too long.
func (l *loop) bootSoon() (uint64, error) {
	type kept struct {
		boot uint64
		err  error
	}
	done := make(chan kept, 1)
	go func() {
		boot, err := l.nextBoot()
		done <- kept{boot, err}
	}()
	late := time.NewTimer(bootWithin)
	defer late.Stop()
	select {
	case k := <-done:
		return k.boot, k.err
	case <-late.C:
		return 0, fmt.Errorf("state_dir: the disk took more than %v", bootWithin)
	}
}

// receive feeds a batch to the core, and says whether anything in it is worth a turn.
func (l *loop) receive(now time.Time, b *multicast.Batch) (told bool) {
	debug := l.log.Enabled(context.Background(), slog.LevelDebug)
	for _, p := range b.Packets {
		r := l.node.Receive(now, cluster.Packet{Data: p.Data, From: p.From, TTL: p.TTL})
		told = told || !r.Inert()
		switch {
		case r == "":
			l.meet(now, p.From.Addr())
		case debug && r != cluster.Reflected && l.rejects.tells(now, l.log):
			hint := slog.Attr{} // which is left out
			if text := r.Remedy(); text != "" {
				hint = slog.String("hint", text)
			}
			l.log.Debug("packet refused", "reason", string(r), "from", p.From, "link", p.Link, hint)
		}
	}
	l.chat.free <- b
	return told
}

// turn takes one Ready and does what it says, in the order in which others wait for it. It
// stands at the moment of the input: a process that is stopped after it extends nothing by
// what it knew before, and the next input finds the gap.
func (l *loop) turn(now time.Time) {
	boot := l.risen
	l.node.Tick(now)
	r := l.node.Ready(now)
	for _, d := range r.Send {
		l.send(now, d)
	}
	l.answered(r.Replies)
	for _, g := range r.Orders {
		l.obey(g)
	}
	hold := r.Hold
	if l.leaving.dropped {
		hold = nil
	}
	l.instruct(now)
	l.extend(boot, r.Announced, len(hold) == 0 && len(l.kernel.hold) == 0 && l.kernel.empty(), lapseOf(boot, r.Lapse))
	changed := !slices.Equal(hold, l.kernel.hold)
	l.kernel.concede(l.ownElsewhere())
	l.kernel.desire(hold, l.grant)
	if len(r.Ask) > 0 {
		l.kernel.Ask(r.Ask...)
	}
	if len(r.Echo) > 0 {
		l.kernel.Echo(r.Echo...)
	}
	if len(r.Announce) > 0 {
		l.kernel.Announce(r.Announce...)
	}
	l.befriend(r.Neighbours)
	l.again = false
	for _, report := range l.kernel.elections() {
		l.node.Report(now, report)
		l.again = true
	}
	l.drainEnds()
	l.follow(now)
	l.lookAtTenures()
	l.turned = boot
	l.logOps(l.done)
	l.done = l.done[:0]
	l.notifier.feed(now)
	if changed {
		l.story.stir(now)
	}
	if l.story.due(now) {
		l.publish(now)
	}
	// Not longer than a quarter of the lifetime: it is by turning that a grant lasts.
	l.wake = earliest(r.Wake, l.story.next, l.ballots.expire(now, l.node), l.ballots.believe(now, l.node, l.config.Plan), now.Add(l.config.Lifetime/4))
}

// send sends to one host, or to the group and to every configured peer. What fails is
// lost like a packet on the wire: a node that can't speak goes on serving.
func (l *loop) send(now time.Time, d cluster.Datagram) {
	err := l.chat.Send(d.Data, d.To)
	if !d.To.IsValid() {
		for _, peer := range l.config.Peers {
			err = errors.Join(err, l.chat.Send(d.Data, peer))
		}
	}
	l.mute.note(now, l.log, err)
}

// mute tells the log of failing sends: once, and again after a while.
type mute struct {
	failing bool
	said    time.Time
}

// muteSaid is the shortest time between two lines about failing sends.
const muteSaid = time.Minute

func (m *mute) note(now time.Time, log *slog.Logger, err error) {
	if err == nil && !m.failing || err != nil && m.failing && now.Sub(m.said) < muteSaid {
		return
	}
	m.failing = err != nil
	if now.Sub(m.said) < muteSaid {
		return // back and forth
	}
	if err != nil {
		m.said = now
		log.Error("cannot send to every node: does a firewall or a link hinder it?", "err", err)
		return
	}
	log.Info("sending works again")
}

// earliest is the first of the instants that are set; the last one always is.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// groupName names a group with its addresses for a sentence.
func groupName(g vipgroup.Group) string {
	var addrs []netip.Prefix
	for _, v := range vips(g) {
		addrs = append(addrs, v.Address)
	}
	switch {
	case len(addrs) == 0 || len(addrs) == 1 && addrs[0].String() == g.Name:
		return g.Name
	case len(addrs) > 4:
		return fmt.Sprintf("%s (%d addresses)", g.Name, len(addrs))
	}
	text := addrs[0].String()
	for _, a := range addrs[1:] {
		text += ", " + a.String()
	}
	return g.Name + " (" + text + ")"
}
