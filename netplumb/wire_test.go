package netplumb

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// hears waits for a frame that ok accepts.
func (r *running) hears(what string, ok func(Heard) bool) Heard {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case h := <-r.Heard():
			if ok(h) {
				return h
			}
		case <-late:
			r.t.Fatalf("never heard %s", what)
		}
	}
}

func TestAskIsAnsweredByTheOtherKernel(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	plan := vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on eth0")
	there, absent := plan[0].Address.Addr(), plan[1].Address.Addr()
	p.reach(granted(nil, plan))
	net.b.add("10.1.2.3/32", "eth0")
	// The absent one is asked first: had it answered, it would be heard first.
	p.Ask(absent, there)
	h := p.hears("an answer", func(h Heard) bool {
		if h.Addr == absent {
			t.Errorf("an address that nobody has answered: %+v", h)
		}
		return h.Kind == Answer
	})
	if h.Addr != there || h.MAC != them || h.Link != "eth0" || h.At.IsZero() {
		t.Errorf("heard %+v", h)
	}
	if m, ok := p.MAC(there); !ok || m != them {
		t.Errorf("learned %v, %v", m, ok)
	}
	// A host outside the plan is asked on the link of its subnet.
	p.Ask(netip.MustParseAddr("10.1.2.2"))
	p.hears("the neighbour", func(h Heard) bool { return h.Kind == Answer && h.Addr == netip.MustParseAddr("10.1.2.2") })
}

// Taking an address moves a neighbour's fresh entry, and the neighbour's daemon hears it.
func TestAnnouncementMovesTheNeighbour(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	addr := plan[0].Address.Addr()
	old := MAC{2, 0, 0, 0, 0, 9}
	net.b.must(net.b.h.NeighSet(&netlink.Neigh{LinkIndex: net.b.link("eth0").Attrs().Index, IP: addr.AsSlice(),
		HardwareAddr: old[:], State: netlink.NUD_REACHABLE}))
	p, _ := net.a.start()
	q, _ := net.b.start()
	q.reach(granted(nil, plan))
	p.reach(granted(plan, plan))
	h := q.hears("an announcement", func(h Heard) bool { return h.Kind == Announcement })
	if h.Addr != addr || h.MAC != us {
		t.Errorf("heard %+v", h)
	}
	if n := net.b.neighbour(addr); n == nil || MAC(n.HardwareAddr) != us {
		t.Errorf("the neighbour has %v", n)
	}

	// The schedule: four times in the first 100 ms, in both forms, of which one was heard.
	for range 7 {
		q.hears("the schedule", func(h Heard) bool { return h.Kind == Announcement && h.Addr == addr })
	}
	// On demand: the schedule would need a quarter of an hour for as many.
	for range 20 {
		p.Announce(addr, netip.MustParseAddr("10.1.2.99"))
		for range 2 { // both forms
			q.hears("an announcement on demand", func(h Heard) bool { return h.Kind == Announcement && h.Addr == addr })
		}
	}

	// Once it is gone, nothing more is announced.
	p.reach(granted(nil, plan))
	q.follow(p)
	for range 20 { // one alone may be held back by the rate
		p.Announce(addr)
		if n := q.follow(p); n > 0 {
			t.Fatalf("%d announcements after it was removed", n)
		}
	}
}

// follow makes p send two questions, one turn after the other, and returns how many
// announcements are heard before the second: all that went out before follow was called,
// and what was ordered then.
func (r *running) follow(p *running) (announcements int) {
	r.t.Helper()
	for _, host := range []string{"10.1.2.253", "10.1.2.254"} {
		time.Sleep(2 * lullEvery) // or it may pass for a repetition
		p.Ask(netip.MustParseAddr(host))
		r.hears("the question", func(h Heard) bool {
			if h.Kind == Announcement {
				announcements++
			}
			return h.Kind == Other && h.Target == netip.MustParseAddr(host)
		})
	}
	return announcements
}

// Who has no grant may be the last to know that another node has the address by now.
func TestSilentWithoutGrant(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	p, _ := net.a.start()
	q, _ := net.b.start()
	q.reach(granted(nil, plan))
	d := granted(plan, plan)
	p.reach(d)
	d.GrantUntil = Boottime()
	p.Set(d)
	q.follow(p)
	p.Announce(plan[0].Address.Addr())
	p.until("expired", func(r Report) bool { return len(r.Lost) == 1 })
	if n := q.follow(p); n > 0 {
		t.Errorf("%d announcements without a grant", n)
	}
}

func TestOwnFramesAreNotHeard(t *testing.T) {
	net := newLAN(t)
	s := newSpeaker(1000)
	net.a.must(net.a.enter(func() error {
		_, err := s.tend(portID{link: "eth0"}, linkFacts{index: net.a.link("eth0").Attrs().Index, mac: us[:]}, true)
		return err
	}))
	defer s.close()
	s.hear(Heard{Addr: vip, MAC: us})
	s.hear(Heard{Addr: vip, MAC: them})
	if h := <-s.heard; h.MAC != them {
		t.Errorf("heard %+v", h)
	}
	// What only says that somebody lives takes no answer's place, and isn't missed.
	for range heardRoom {
		s.hear(Heard{Kind: Other, Addr: vip, MAC: them})
	}
	if room, got := heardRoom-len(s.heard), s.dropped.Load(); room < heardRoom/4 || got != 0 {
		t.Errorf("room for %d answers, %d dropped", room, got)
	}
	for range heardRoom - len(s.heard) + 5 {
		s.hear(Heard{Addr: vip, MAC: them})
	}
	if got := s.dropped.Load(); got != 5 {
		t.Errorf("%d dropped, want 5", got)
	}
}

// Answers that the kernel had no room for are told, and there is room for many more than
// by default: a thousand come at once when a node of a large cluster starts.
func TestLostAnswersAreTold(t *testing.T) {
	net := newLAN(t)
	s := newSpeaker(1000)
	index := net.a.link("eth0").Attrs().Index
	s.ports[portID{link: "eth0"}] = net.a.port(us)
	from := net.b.port(them)
	frame, err := probeFrame(them, vip)
	net.b.must(err)
	flood := func(n int) {
		t.Helper()
		for range n {
			net.b.must(from.send(frame))
		}
	}
	tend := func() uint64 {
		t.Helper()
		opened, err := s.tend(portID{link: "eth0"}, linkFacts{index: index, mac: us[:]}, true)
		if opened || err != nil {
			t.Fatalf("opened %v, %v", opened, err)
		}
		return s.dropped.Load()
	}
	flood(3000)
	if got := tend(); got != 0 {
		t.Errorf("%d of 3000 frames found no room", got)
	}
	flood(20000)
	lost := tend()
	if lost == 0 {
		t.Error("none of 20000 frames that nobody read was told to be lost")
	}
	if again := tend(); again != lost {
		t.Errorf("%d lost, then %d", lost, again)
	}
}

// What can't be asked must not look like silence.
func TestUnaskedIsTold(t *testing.T) {
	p := New(Options{})
	p.Ask(make([]netip.Addr, maxQueued)...)
	if got := p.speaker.dropped.Load(); got != 0 {
		t.Errorf("%d cut while there was room", got)
	}
	p.Ask(make([]netip.Addr, 7)...)
	if got := p.speaker.dropped.Load(); got != 7 {
		t.Errorf("%d cut, want 7", got)
	}
	o := p.orders.take()
	if len(o.ask) != maxQueued {
		t.Errorf("%d wait", len(o.ask))
	}
}

// The daemon hears of it without anything else to report.
func TestDroppedIsReported(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0")))
	p.speaker.dropped.Add(3)
	p.until("told", func(r Report) bool { return r.HeardDropped == 3 })
}

func TestDeafLinks(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	p.reach(granted(nil, vips(t, "10.1.2.3/32 on eth0", "10.1.2.4/32 on lo", "10.1.2.5/32 on eth9")))
	deaf := func(eth0 bool) func(Report) bool {
		return func(r Report) bool { // sorted by name, and lo is always there
			return len(r.Links) == 3 && (r.Links[0].Deaf != nil) == eth0 && r.Links[1].Deaf == nil && r.Links[2].Deaf != nil
		}
	}
	p.until("able on eth0", deaf(false))
	net.a.must(net.a.h.LinkSetARPOff(net.a.link("eth0")))
	r := p.until("deaf on eth0", deaf(true))
	if got, want := r.Links[0].Deaf.Error(), "the link does not speak ARP"; got != want {
		t.Errorf("deaf for %q, want %q", got, want)
	}
	before := r.HeardDropped
	net.a.must(net.a.h.LinkSetARPOn(net.a.link("eth0")))
	p.until("able again", deaf(false))
	if before == 0 {
		t.Error("that a socket was closed is not told")
	}
	if len(p.errs) != 0 {
		t.Errorf("errors: %v", p.errs)
	}
}

func TestFramesAreCounted(t *testing.T) {
	net := newLAN(t)
	p, _ := net.a.start()
	q, _ := net.b.start()
	plan := vips(t, "10.1.2.3/32 on eth0")
	p.reach(granted(nil, plan))
	q.reach(granted(nil, plan))
	r := p.until("a first count", func(r Report) bool { return len(r.Links) == 1 })
	before := r.Frames
	for range 100 {
		q.Ask(plan[0].Address.Addr())
	}
	p.until("counted", func(r Report) bool { return r.Frames >= before+100 })
}

// A link that was cut announces everything once more when it is back.
func TestAnnouncedAgainWhenTheLinkIsBack(t *testing.T) {
	net := newLAN(t)
	plan := vips(t, "10.1.2.3/32 on eth0")
	p, _ := net.a.start()
	q, _ := net.b.start()
	q.reach(granted(nil, plan))
	p.reach(granted(plan, plan))
	for range 8 { // all of the first 100 ms
		q.hears("the schedule", func(h Heard) bool { return h.Kind == Announcement })
	}
	net.b.down("eth0")
	p.until("without carrier", func(r Report) bool { return !r.Links[0].Carrier })
	for len(q.Heard()) > 0 {
		<-q.Heard()
	}
	net.b.up("eth0")
	for range 8 {
		q.hears("an announcement", func(h Heard) bool { return h.Kind == Announcement })
	}
}
