package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/cluster/multicast"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// A world is what fake nodes share: the wire, and a diary of what happened on it and in
// the kernels, in order.
type world struct {
	mu      sync.Mutex
	sockets []*fakeSocket
	diary   []string
	cut     string            // the node whose packets go nowhere and come from nowhere
	states  map[string]*state // of the nodes, which outlive their processes
}

func (w *world) write(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diary = append(w.diary, fmt.Sprintf(format, args...))
}

// find returns the place of the first entry from a place on that has all words, or -1.
func (w *world) find(from int, words ...string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := from; i < len(w.diary); i++ {
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(w.diary[i], word) }) {
			return i
		}
	}
	return -1
}

func (w *world) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.diary)
}

// fakeSocket delivers what others send at once.
type fakeSocket struct {
	world  *world
	from   netip.AddrPort
	node   string
	in     chan multicast.Packet
	closed chan struct{}
	once   sync.Once
	// stuck, where set, keeps its reader from running until it is closed.
	stuck atomic.Pointer[chan struct{}]
}

func (w *world) socket(node string, from netip.AddrPort) *fakeSocket {
	s := &fakeSocket{world: w, node: node, from: from, in: make(chan multicast.Packet, 1000), closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets = append(w.sockets, s)
	return s
}

func (s *fakeSocket) Send(data []byte, to netip.AddrPort) error {
	s.world.write("%s sends %x", s.node, data)
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	for _, o := range s.world.sockets {
		if o != s && s.node != s.world.cut && o.node != s.world.cut && (!to.IsValid() || to == o.from) {
			select {
			case o.in <- multicast.Packet{Data: bytes.Clone(data), From: s.from, Link: "eth0", Index: 2, TTL: 255}:
			default:
			}
		}
	}
	return nil
}

func (s *fakeSocket) Waiting() bool { return len(s.in) > 0 }

func (s *fakeSocket) Read(b *multicast.Batch) error {
	select {
	case p := <-s.in:
		if c := s.stuck.Load(); c != nil {
			<-*c
		}
		b.Packets = append(b.Packets[:0], p)
		return nil
	case <-s.closed:
		return net.ErrClosed
	}
}

func (s *fakeSocket) Rescan() error {
	select {
	case <-s.closed:
		s.world.write("%s looks for links of a closed chat", s.node)
	default:
	}
	return nil
}

func (s *fakeSocket) Stats() multicast.Stats {
	return multicast.Stats{Links: []multicast.LinkStats{{Name: "eth0", Index: 2}}}
}

func (s *fakeSocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// fakeKernel does what it is told at once.
type fakeKernel struct {
	mu       sync.Mutex
	world    *world
	node     string
	boottime func() time.Duration
	seq      uint64
	have     map[vipgroup.VIP]bool
	desired  netplumb.Desired
	lost     map[vipgroup.VIP]bool
	link     netplumb.Link
	dropped  uint64       // HeardDropped
	refuse   error        // whatever should be added
	broken   error        // ends Run
	stuck    vipgroup.VIP // can't be removed
	jammed   bool         // nothing can
	hung     uint64       // where not 0, it came to no later Desired
	ops      []netplumb.Op
	deleted  []vipgroup.VIP
	asked    map[netip.Addr]int
	macs     map[netip.Addr]netplumb.MAC
	changed  chan struct{}
	heard    chan netplumb.Heard
	near     chan []netplumb.Neighbour
	// left is how long the kernel keeps the addresses; 0 for a second.
	left time.Duration
}

func newFakeKernel(w *world, node string, boottime func() time.Duration) *fakeKernel {
	return &fakeKernel{world: w, node: node, boottime: boottime, have: map[vipgroup.VIP]bool{}, lost: map[vipgroup.VIP]bool{}, asked: map[netip.Addr]int{},
		link:    netplumb.Link{Name: "eth0", Exists: true, Up: true, Carrier: true},
		changed: make(chan struct{}, 1), heard: make(chan netplumb.Heard), near: make(chan []netplumb.Neighbour)}
}

func (k *fakeKernel) Run(ctx context.Context) error {
	if k.broken != nil {
		return k.broken
	}
	<-ctx.Done()
	return nil
}

func (k *fakeKernel) Set(d netplumb.Desired) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	former := k.desired
	if k.desired = d; k.seq == 0 || !slices.Equal(d.VIPs, former.VIPs) || !slices.Equal(d.Managed, former.Managed) {
		k.seq++ // a grant alone makes no report
	}
	if k.hung != 0 {
		return k.seq
	}
	for v := range k.have {
		if !slices.Contains(d.VIPs, v) && v != k.stuck && !k.jammed {
			k.world.write("%s removes %s", k.node, v.Address)
			k.ops = append(k.ops, netplumb.Op{Kind: netplumb.Remove, Address: v.Address, Link: v.Interface})
			delete(k.have, v)
		}
	}
	for v := range k.lost {
		if !slices.Contains(d.VIPs, v) {
			delete(k.lost, v)
		}
	}
	for _, v := range d.VIPs {
		if !k.have[v] && !k.lost[v] && k.refuse == nil && k.boottime() < d.GrantUntil {
			k.world.write("%s adds %s", k.node, v.Address)
			k.ops = append(k.ops, netplumb.Op{Kind: netplumb.Add, Address: v.Address, Link: v.Interface})
			k.have[v] = true
		}
	}
	k.tell()
	return k.seq
}

// jam makes the kernel remove nothing from now on.
func (k *fakeKernel) jam() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jammed = true
}

func (k *fakeKernel) tell() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

func (k *fakeKernel) Changed() <-chan struct{}     { return k.changed }
func (k *fakeKernel) Heard() <-chan netplumb.Heard { return k.heard }

// Expires pretends that every address was extended just now, or that the kernel keeps it for
// as long as the test says.
func (k *fakeKernel) Expires() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.have) == 0 {
		return 0
	}
	return k.boottime() + cmp.Or(k.left, time.Second)
}

func (k *fakeKernel) Ask(addrs ...netip.Addr) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, a := range addrs {
		k.asked[a]++
	}
}

func (k *fakeKernel) Announce(addrs ...netip.Addr) {
	for _, a := range addrs {
		k.world.write("%s announces %s", k.node, a)
	}
}

func (k *fakeKernel) Echo(addrs ...netip.Addr) {
	for _, a := range addrs {
		k.world.write("%s echoes %s", k.node, a)
	}
}

func (k *fakeKernel) Notify(n netplumb.Notify) {
	k.world.write("%s notifies known %v networks %v every %v", k.node, n.Known, n.Networks, n.Every)
}

func (k *fakeKernel) Neighbours() <-chan []netplumb.Neighbour { return k.near }

func (k *fakeKernel) Learn(node string, part, of int, hosts []netplumb.Neighbour) {
	k.world.write("%s learns part %d of %d from %s: %v", k.node, part, of, node, hosts)
}

func (k *fakeKernel) Hosts(int) []netplumb.Neighbour {
	return []netplumb.Neighbour{{Addr: netip.MustParseAddr("10.0.0.51"), MAC: netplumb.MAC{2, 0, 0, 0, 0, 7}, Age: time.Minute}}
}

func (k *fakeKernel) MAC(host netip.Addr) (netplumb.MAC, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	mac, ok := k.macs[host]
	return mac, ok
}

func (k *fakeKernel) Report() netplumb.Report {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := netplumb.Report{Seq: k.seq, Links: []netplumb.Link{k.link}, Ops: k.ops, Deleted: k.deleted, HeardDropped: k.dropped}
	k.ops, k.deleted = nil, nil
	if k.hung != 0 {
		r.Seq = k.hung
	}
	for _, v := range k.desired.Managed {
		if k.have[v] {
			r.Present = append(r.Present, v)
		}
	}
	for v := range k.lost {
		r.Lost = append(r.Lost, v)
	}
	if k.refuse != nil {
		for _, v := range k.desired.VIPs {
			r.Failed = append(r.Failed, netplumb.Failure{VIP: v, Err: k.refuse})
		}
	}
	return r
}

// meddle changes something behind the daemon's back.
func (k *fakeKernel) meddle(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
	k.tell()
}

// drop deletes all addresses behind the daemon's back.
func (k *fakeKernel) drop() {
	k.meddle(func() {
		for v := range k.have {
			k.world.write("somebody deletes %s at %s", v.Address, k.node)
			delete(k.have, v)
			k.lost[v] = true
			k.deleted = append(k.deleted, v)
		}
	})
}

// addresses lists what the kernel has.
func (k *fakeKernel) addresses() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for v := range k.have {
		out = append(out, v.Address.Addr().String())
	}
	slices.Sort(out)
	return out
}

// logged is a log that tests read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A fakeNode is a daemon's loop between a fake kernel and a fake wire.
type fakeNode struct {
	t      *testing.T
	name   string
	loop   *loop
	kernel *fakeKernel
	log    *logged
	reload chan struct{}
	hurry  chan struct{}
	stop   func()
	ended  chan error
	state  *state // has a directory, and no lock

	mu      sync.Mutex
	file    string // the config's text
	plugins []plugin.Plugin
	skew    time.Duration // of CLOCK_BOOTTIME
}

const planText = `
secret: correct horse battery staple
nodes: [a, b]
vips:
  - {name: web, addresses: [{interface: eth0, ip: 10.0.0.1/24}]}
  - {name: db, addresses: [{interface: eth0, ip: 10.0.0.2/24}]}
`

func (n *fakeNode) setFile(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.file = text
}

func (n *fakeNode) setPlugins(p ...plugin.Plugin) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plugins = p
}

func (n *fakeNode) getPlugins() []plugin.Plugin {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.plugins
}

func (n *fakeNode) load(string, string) (*config.Config, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return config.Parse("vippy.conf", []byte(n.file))
}

// suspend makes CLOCK_BOOTTIME go on while the process did nothing.
func (n *fakeNode) suspend(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skew += d
}

// start runs a daemon with the config's text. Call it in a synctest bubble.
func (w *world) start(t *testing.T, name, text string, prepare ...func(*fakeNode)) *fakeNode {
	t.Helper()
	n := &fakeNode{t: t, name: name, file: text, log: &logged{}, reload: make(chan struct{}, 1), hurry: make(chan struct{}), ended: make(chan error, 1), state: w.states[name]}
	if n.state == nil {
		n.state = &state{dir: t.TempDir()}
		if w.states == nil {
			w.states = map[string]*state{}
		}
		w.states[name] = n.state
	}
	links := []hostLink{{"eth0", []netip.Prefix{netip.MustParsePrefix("10.0.0.100/16")}}, {"eth1", []netip.Prefix{netip.MustParsePrefix("10.1.0.100/16")}}}
	hostLinks := func() ([]hostLink, error) { return links, nil }
	file, err := n.load("", "")
	if err != nil {
		t.Fatal(err)
	}
	c, rule, err := n.state.recall(file, hostLinks)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	boottime := func() time.Duration {
		n.mu.Lock()
		defer n.mu.Unlock()
		return time.Since(began) + n.skew + time.Hour
	}
	n.kernel = newFakeKernel(w, name, boottime)
	boot := uint64(time.Now().UnixNano())
	from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 100 + byte(len(w.sockets))}), 5007)
	n.loop = newLoop(Options{
		Config: c, Node: name, Version: "test", Reload: n.reload, Hurry: n.hurry,
		Plugins: func(*config.Config) []plugin.Plugin { return n.getPlugins() },
		Log:     slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, parts{
		socket:    w.socket(name, from),
		plumber:   n.kernel,
		boottime:  boottime,
		nextBoot:  func() (uint64, error) { boot++; return boot, nil },
		saveDrain: n.state.saveDrain,
		rule:      rule,
		savePlan:  n.state.savePlan,
		hostLinks: hostLinks,
		openChat:  func(chatAt, socket) (socket, error) { return w.socket(name, from), nil },
		load:      n.load,
		watch:     func(ctx context.Context, _ string, _ chan<- struct{}) error { <-ctx.Done(); return nil },
	})
	for _, p := range prepare {
		p(n)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	n.stop = func() { cancel(errors.New("terminated")) }
	go func() {
		n.ended <- n.loop.live(ctx, boot)
	}()
	return n
}

// end stops the daemon and returns how it ended.
func (n *fakeNode) end() error {
	n.stop()
	return <-n.ended
}
