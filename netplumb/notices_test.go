package netplumb

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A tourist drives the notices of one link by hand.
type tourist struct {
	notices
	pace   bucket
	now    time.Duration
	rate   int
	subnet netip.Prefix
	round  *round // the next one that begins
	begun  int
}

func newTourist(routers, known, rate int, sweep ...string) *tourist {
	s := &tourist{now: time.Hour, rate: rate, subnet: netip.MustParsePrefix("10.1.0.0/16"), round: &round{routers: routers}}
	for i := range routers + known {
		a, m := numbered(i + 1)
		s.round.known = append(s.round.known, target{a, m})
	}
	var networks []netip.Prefix
	for _, n := range sweep {
		networks = append(networks, netip.MustParsePrefix(n))
	}
	s.round.sweep = newSweep(s.subnet, networks)
	return s
}

// vip is the i-th address that is taken.
func vipNumber(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, 255, byte(i)}) }

func (s *tourist) takes(vips ...int) {
	for _, i := range vips {
		s.take(s.now, vipNumber(i))
	}
	s.join(s.now, func(netip.Addr) netip.Prefix { return s.subnet }, func(netip.Prefix) *round { s.begun++; return s.round })
}

// pass lets time pass and returns what is sent meanwhile, as "vip>target", with a "?" for
// what everybody hears.
func (s *tourist) pass(d time.Duration) (out []string) {
	for end := s.now + d; ; {
		for {
			n, ok := s.router(s.now, &s.pace, s.rate)
			if !ok {
				n, ok = s.next(s.now, &s.pace, s.rate)
			}
			if !ok {
				break
			}
			a, v := n.to.addr.As4(), n.addr.As4()
			text := fmt.Sprintf("%d>%d", v[3], int(a[2])<<8|int(a[3]))
			if n.to.mac == (MAC{}) {
				text += "?"
			}
			out = append(out, text)
		}
		at, any := s.wake(s.now, false, &s.pace, s.rate)
		if !any || at > end {
			s.now = end
			return out
		}
		s.now = max(at, s.now+time.Microsecond)
	}
}

func TestNoticesBeginWithRouters(t *testing.T) {
	s := newTourist(1, 3, 1000)
	s.takes(1, 2)
	want := "1>1 2>1 1>2 2>2 1>3 2>3 1>4 2>4"
	if got := strings.Join(s.pass(900*time.Millisecond), " "); got != want {
		t.Errorf("at first %s, want %s", got, want)
	}
	// One that is taken later catches up, and all are told once more.
	s.takes(3)
	if s.begun != 1 {
		t.Errorf("%d rounds on one subnet", s.begun)
	}
	if got, want := strings.Join(s.pass(50*time.Millisecond), " "), "3>1 3>2 3>3 3>4"; got != want {
		t.Errorf("later %s, want %s", got, want)
	}
	if got, want := strings.Join(s.pass(5*time.Second), " "), "1>1 1>2 1>3 1>4 2>1 2>2 2>3 2>4 3>1 3>2 3>3 3>4"; got != want {
		t.Errorf("again %s, want %s", got, want)
	}
	if _, any := s.wake(s.now, false, &s.pace, s.rate); any || len(s.tours)+len(s.rounds) > 0 {
		t.Errorf("it never ends: %d tours, %d rounds", len(s.tours), len(s.rounds))
	}
}

func TestNoticesStop(t *testing.T) {
	s := newTourist(0, 100, 1000, "10.1.0.0/16")
	s.takes(1, 2)
	first := s.pass(20 * time.Millisecond)
	s.stop(vipNumber(1))
	rest := s.pass(3 * time.Second)
	if !slices.ContainsFunc(first, func(n string) bool { return strings.HasPrefix(n, "1>") }) {
		t.Fatalf("the first was never told of: %v", first)
	}
	for _, n := range rest {
		if !strings.HasPrefix(n, "2>") {
			t.Fatalf("%s after the address was gone", n)
		}
	}
	s.stop(vipNumber(2))
	if got := s.pass(time.Minute); len(got) > 0 || len(s.rounds) > 0 {
		t.Errorf("%d notices of nothing, %d rounds", len(got), len(s.rounds))
	}
}

// A /16 and 100 addresses: each of the hosts that nobody knows is asked for once, whatever
// the number of addresses, and everybody's part in that is a quarter of the rate. Who answers
// is told of all addresses.
func TestNoticesOfALargeNetwork(t *testing.T) {
	const vips, rate = 100, 1000
	s := newTourist(1, 2, rate, "10.1.0.0/16")
	s.round.spared = map[netip.Addr]bool{}
	for i := range vips {
		s.round.spared[vipNumber(i)] = true
	}
	for i := range vips {
		s.takes(i)
	}
	asked, told := map[string]int{}, map[string]int{}
	const there = 0x1234 // who answers
	for range 600 {
		sent := s.pass(time.Second)
		if len(sent) > rate+burst {
			t.Fatalf("%d frames in a second", len(sent))
		}
		everybody := 0
		for _, n := range sent {
			vip, to, _ := strings.Cut(n, ">")
			if host, broadcast := strings.CutSuffix(to, "?"); broadcast {
				everybody++
				asked[host]++
				if host == fmt.Sprint(there) {
					a, m := numbered(there)
					var v int
					fmt.Sscan(vip, &v)
					for range 3 { // kernels repeat themselves
						if !s.answered(Heard{Kind: Answer, Addr: a, MAC: m, Target: vipNumber(v)}) {
							t.Error("an answer isn't known as one")
						}
					}
				}
			} else {
				told[to]++
			}
		}
		if everybody > rate/4+burst+1 {
			t.Fatalf("%d frames to everybody in a second", everybody)
		}
	}
	if met := len(s.round.met); met != 4 || len(s.round.found) != 1 || len(s.round.sweep.spans) > 1 {
		t.Errorf("remembers %d hosts", met)
	}
	if got, want := len(asked), 1<<16-2-3-vips; got != want { // neither those that are known nor the virtual ones
		t.Errorf("%d hosts were asked for, want %d", got, want)
	}
	for host, n := range asked {
		if n != 1 {
			t.Fatalf("host %s was asked for %d times", host, n)
		}
	}
	for host, want := range map[string]int{"1": 2 * vips, "2": 2 * vips, "3": 2 * vips, fmt.Sprint(there): vips} {
		if told[host] != want {
			t.Errorf("host %s was told %d times, want %d", host, told[host], want)
		}
	}
	if len(s.rounds)+len(s.tours) > 0 {
		t.Error("it never ends")
	}
}

// What isn't the answer to a notice is for others to judge.
func TestOtherAnswersAreHeard(t *testing.T) {
	s := newTourist(0, 1, 1000, "10.1.0.0/24")
	s.round.spared = map[netip.Addr]bool{vipNumber(2): true}
	s.takes(1)
	a, m := numbered(50)
	for name, h := range map[string]Heard{
		"an announcement":      {Kind: Announcement, Addr: a, MAC: m, Target: vipNumber(1)},
		"an answer to another": {Kind: Answer, Addr: a, MAC: m, Target: host},
		"a virtual address":    {Kind: Answer, Addr: vipNumber(2), MAC: m, Target: vipNumber(1)},
		"another subnet":       {Kind: Answer, Addr: netip.MustParseAddr("10.2.0.1"), MAC: m, Target: vipNumber(1)},
	} {
		if s.answered(h) {
			t.Errorf("%s is taken for an answer to a notice", name)
		}
	}
	if len(s.round.found) > 0 {
		t.Errorf("found %v", s.round.found)
	}
}

func TestNoticesFindABoundedNumber(t *testing.T) {
	s := newTourist(0, 0, 1000, "10.1.0.0/16")
	s.takes(1)
	for i := range 2 * maxFound {
		a, m := numbered(i + 1)
		s.answered(Heard{Kind: Answer, Addr: a, MAC: m, Target: vipNumber(1)})
	}
	if len(s.round.found) != maxFound {
		t.Errorf("%d found, want %d", len(s.round.found), maxFound)
	}
}

// No tour outlives a change of who is to be told.
func TestNoticesAreCleared(t *testing.T) {
	s := newTourist(1, 5, 1000, "10.1.0.0/16")
	s.takes(1, 2, 3)
	s.take(s.now, vipNumber(4))
	s.clear()
	if got := s.pass(time.Minute); len(got) > 0 {
		t.Errorf("%d notices afterwards", len(got))
	}
	s.stop(vipNumber(1))
}

// However much there is to say, the worker isn't woken for less than it is worth: it has
// addresses to extend.
func TestNoticesDoNotSpin(t *testing.T) {
	const rate = 1000
	s := newTourist(2, 500, rate, "10.1.0.0/22")
	p := &port{portID: portID{link: "eth0"}, mac: us}
	now := s.now
	begin := func(vips int) {
		for i := range vips {
			a := vipNumber(i)
			frames, err := p.announcement(a)
			if err != nil {
				t.Fatal(err)
			}
			p.schedule.take(now, a, frames)
			p.notices.take(now, a)
		}
		p.notices.join(now, func(netip.Addr) netip.Prefix { return s.subnet }, func(netip.Prefix) *round {
			r := *s.round
			return &r
		})
	}
	begin(100)
	turns, frames := 0, 0
	for second := range 200 {
		if second == 150 {
			begin(100) // they are announced anew while all are told
		}
		turns, frames = 0, 0
		for end := now + time.Second; now < end; turns++ {
			for f := p.due(now, rate); f != nil; f = p.due(now, rate) {
				frames += len(f)
			}
			at, any := p.wake(now, rate)
			if !any {
				at = end
			}
			now = max(min(at, end), now+10*time.Microsecond)
		}
		if turns > rate {
			t.Fatalf("in second %d %d turns for %d frames", second, turns, frames)
		}
		if frames > rate+burst {
			t.Fatalf("%d frames in second %d", frames, second)
		}
	}
}
