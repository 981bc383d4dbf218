package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A Config is everything that makes a world; equal configs make equal traces.
type Config struct {
	Seed uint64
	// Nodes is how many hosts run the daemon; the last Voters of them are in no plan's nodes.
	Nodes, Voters int
	// Plans are the versions that nodes may adopt; every process starts with the first.
	Plans []vipgroup.Plan
	cluster.Timing
	// Gateway puts a host on the wire that is no node, answers ARP and broadcasts
	// once a second.
	Gateway bool
	// Attacker lets the stranger on the wire record, replay, forge and reflect.
	Attacker bool
	// Skew lets clocks run up to 1 % apart.
	Skew bool
	// Loss is how many of 1000 frames are lost in every direction.
	Loss int
	// Steady makes every delay the same, so that a trace tells of decisions only.
	Steady bool
	// NoGuard leaves the daemons without guards.
	NoGuard bool
	// Upgrades lets programs be replaced by others that go on.
	Upgrades bool
	// Drop makes bars strict: better nobody than a failing one.
	Drop bool
	// Orders lets operators at one node order others.
	Orders bool
	// Balance has the nodes even the load by themselves, often.
	Balance bool
	// Busy is how long a process has other things to do before the turn that follows an
	// input, as where a thousand groups make turns long and inputs many.
	Busy time.Duration
	// Share lets hosts share their neighbours.
	Share bool
	// Unicast lets the nodes talk to each other's hosts only, as with `chat: none`.
	Unicast bool
	// Pests adds the faults of pest.go, and the host of the twin.
	Pests bool
	// Rolling lets plans travel, and operators change plan, timings and secret.
	Rolling bool
	// Bug plants a fault into the shells or kernels.
	Bug Bug
	// Again, if set, are the flags of go test that play this world again; else the seed does.
	Again string
	// Log, if set, gets every event as a line.
	Log io.Writer
}

// A Bug is a fault planted into the world around the core, to see it caught.
type Bug string

// The bugs of the world. Those of the core itself are patches in testdata/bugs.
const (
	BugNoAsking      Bug = "nobody-asks"
	BugNoAnswers     Bug = "answers-not-delivered"
	BugNoEcho        Bug = "echo-replies-not-delivered"
	BugFarewellFirst Bug = "farewell-before-removal"
	BugExtendCreates Bug = "extension-creates"
	BugOldBoot       Bug = "restart-with-lower-boot"
	BugLateWake      Bug = "late-wake-restores"

	BugResumeRestores Bug = "upgrade-restores"

	BugGuardFarewellFirst Bug = "guard-says-farewell-before-removal"
	BugGuardSpares        Bug = "guard-does-not-kill"
	BugUntoldGrant        Bug = "grant-counts-untold"
)

// A group is one group of any plan.
type group struct {
	key   vipgroup.Key
	name  string
	addrs []int
}

// A planning is a plan with its groups' numbers in the world.
type planning struct {
	plan   vipgroup.Plan
	groups []int
}

// A World is one run.
type World struct {
	cfg      Config
	mode     Mode // for the command that shows a run again
	rng      *rand.Rand
	queue    queue
	now      int64 // ns since the start
	hosts    []*host
	gateway  int // the number of the gateway's host
	stranger int
	twin     *host       // nil without pests
	paths    [][]path    // from, to
	heard    [][]hearing // by host and sender
	addrs    []netip.Addr
	number   map[netip.Addr]int
	single   bool    // only a majority may serve: no cut is an excuse for two owners
	recalls  []int16 // by address: the host that last announced it, as a switch remembers; -1: none
	vips     int     // addresses below are VIPs, those from here on the hosts' own
	groups   []group
	byKey    map[vipgroup.Key]int
	plans    []planning
	rotation rotation
	followed int64 // when a host last went over to a plan that it heard of
	// foreignKey is a secret that somebody mistyped.
	foreignKey cluster.Key
	check      checker
	attacker   attacker
	faults     []*Fault
	orders     []given // all that were ever given to another node
	quiet      bool    // nobody may be drained by an order any more
	story      []line
	hash       uint64
	said       speech
	turns      uint64
	events     uint64
	violation  *Violation
}

// New makes a world whose processes all start at its beginning, within half a second.
func New(cfg Config) *World {
	if cfg.Balance {
		cfg.Plans = balanced(cfg.Plans)
	}
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x766970)), hash: 14695981039346656037,
		number: map[netip.Addr]int{}, byKey: map[vipgroup.Key]int{}, followed: never,
		foreignKey: cluster.NewKey([]byte("a secret of the sin"))}
	w.number0()
	n := cfg.Nodes + 2
	w.gateway, w.stranger = cfg.Nodes, cfg.Nodes+1
	if cfg.Pests {
		n++
	}
	for i := range n {
		h := &host{w: w, id: i, addr: w.vips + i, state: off, plan: &w.plans[0], file: &w.plans[0], timing: cfg.Timing,
			known: make([]bool, n), want: make([]bool, w.vips), put: make([]bool, w.vips), due: make([]bool, len(w.groups)),
			kernel: kernel{has: make([]bool, w.vips), expires: make([]int64, w.vips), sweep: make([]int64, w.vips), armed: make([]bool, w.vips)}}
		h.guard.h = h
		switch i {
		case w.gateway:
			h.name, h.role, h.down = "gateway", gateway, !cfg.Gateway
		case w.stranger:
			h.name, h.role = "stranger", stranger
		case w.stranger + 1:
			h.name, h.down, w.twin = "twin", true, h
		default:
			h.name = cfg.Plans[0].Members()[i]
			h.as = h.name
		}
		ip := netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)})
		w.addrs = append(w.addrs, ip)
		w.number[ip] = h.addr
		h.chat = netip.AddrPortFrom(ip, chatPort)
		h.clock.base = int64(1_800_000_000+i*977) * int64(time.Second)
		if cfg.Skew {
			h.clock.rate = int64(w.rng.IntN(201)) - 100
		}
		w.hosts = append(w.hosts, h)
		w.paths = append(w.paths, make([]path, n))
		w.heard = append(w.heard, make([]hearing, n))
	}
	for i := range w.paths {
		for j := range w.paths[i] {
			w.paths[i][j] = path{lastLink: never, lastUDP: never, linkSince: never, udpSince: never}
			w.heard[i][j].first = never
		}
	}
	for range w.vips {
		w.recalls = append(w.recalls, -1)
	}
	w.check.init(w)
	w.attacker.init(w)
	w.rewire()
	return w
}

// never is a moment long before the world.
const never = -int64(time.Hour)

// number0 gives every address and group of all plans its number.
func (w *World) number0() {
	for _, p := range w.cfg.Plans {
		for _, g := range p.Groups {
			for _, v := range g.VIPs {
				if a := v.Address.Addr(); !w.has(a) {
					w.number[a] = len(w.addrs)
					w.addrs = append(w.addrs, a)
				}
			}
		}
	}
	w.vips = len(w.addrs)
	w.single = w.cfg.Plans[0].Partition == vipgroup.Single
	for _, p := range w.cfg.Plans {
		pl := planning{plan: p}
		for _, g := range p.Groups {
			n, ok := w.byKey[g.Key]
			if !ok {
				n = len(w.groups)
				w.byKey[g.Key] = n
				wg := group{key: g.Key, name: g.Name}
				for _, v := range g.VIPs {
					wg.addrs = append(wg.addrs, w.number[v.Address.Addr()])
				}
				w.groups = append(w.groups, wg)
			}
			pl.groups = append(pl.groups, n)
		}
		w.plans = append(w.plans, pl)
	}
}

func (w *World) has(a netip.Addr) bool { _, ok := w.number[a]; return ok }

// Boot starts every process, spread over the given time.
func (w *World) Boot(within time.Duration) {
	for _, h := range w.hosts[:w.cfg.Nodes] {
		w.after(1+w.upTo(int64(within)+1), h.start)
	}
	if w.cfg.Gateway {
		w.beacon()
	}
	if w.cfg.Attacker {
		w.attacker.begin()
	}
}

// beacon lets the gateway broadcast something once a second.
func (w *World) beacon() {
	w.every(time.Second, func() { w.broadcast(&frame{kind: noise, src: int16(w.gateway)}) })
}

func (w *World) every(d time.Duration, fn func()) {
	w.after(int64(d)/2+w.upTo(int64(d)), func() { fn(); w.every(d, fn) })
}

// after runs fn when so many ns have passed.
func (w *World) after(ns int64, fn func()) {
	w.queue.push(event{at: w.now + ns, kind: call, fn: fn})
}

// opTime is how long a change of the kernel's addresses takes.
func (w *World) opTime() int64 { return 50_000 + w.upTo(450_000) }

// upTo draws a delay below most, or takes half of it in a steady world.
func (w *World) upTo(most int64) int64 {
	if w.cfg.Steady {
		return most / 2
	}
	return int64(w.rng.Uint64N(uint64(most)))
}

// Run lets the world go on for d, or to its first violation.
func (w *World) Run(d time.Duration) *Violation {
	until := w.now + int64(d)
	for w.violation == nil && len(w.queue.heap) > 0 && w.queue.heap[0].at <= until {
		e := w.queue.pop()
		w.now = e.at
		w.events++
		w.mix(uint64(e.at))
		w.mix(uint64(e.kind)<<32 | uint64(uint16(e.host))<<16 | uint64(uint16(e.arg)))
		w.dispatch(&e)
		w.check.after()
	}
	if w.violation == nil {
		w.now = until
	}
	return w.violation
}

func (w *World) dispatch(e *event) {
	if w.cfg.Log != nil {
		w.logEvent(e)
	}
	if e.kind == call {
		e.fn()
		return
	}
	h := w.hosts[e.host]
	switch e.kind {
	case deliver:
		w.arrive(h, e.frame)
		return
	case expire:
		h.expireNow(int(e.arg))
		return
	}
	if e.gen != h.gen {
		return
	}
	switch e.kind {
	case wake:
		h.woken()
	case plumb:
		if h.alive() && h.plumbAt == e.at {
			h.carryOut()
		}
	case report:
		h.reported(int(e.arg))
	case gratuitous:
		if h.alive() && h.kernel.has[e.arg] {
			w.broadcast(&frame{kind: arpAnnounce, src: e.host, addr: e.arg})
		}
	}
}

// mix adds to the hash of the trace (FNV-1a over words).
func (w *World) mix(v uint64) { w.hash = (w.hash ^ v) * 1099511628211 }

// Hash identifies everything that happened so far.
func (w *World) Hash() uint64 { return w.hash }

// Now is how long the world has been running.
func (w *World) Now() time.Duration { return time.Duration(w.now) }

func (w *World) fail(promise, format string, args ...any) {
	if w.violation == nil {
		w.violation = &Violation{Promise: promise, Detail: fmt.Sprintf(format, args...), At: w.Now(), World: w}
	}
}

// host returns the host of a name, or nil.
func (w *World) host(name string) *host {
	if i := slices.IndexFunc(w.hosts, func(h *host) bool { return h.name == name }); i >= 0 {
		return w.hosts[i]
	}
	return nil
}
