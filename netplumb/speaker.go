package netplumb

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// heardRoom is how many frames wait for the daemon before further ones are dropped.
const heardRoom = 1024

// speaker owns the sockets that ask, announce and hear: one for ARP on each link in use
// that can speak Ethernet, one for neighbour discovery where VIPs are IPv6, and those for
// echo. All methods but hear belong to one goroutine.
type speaker struct {
	ports map[portID]*port
	// echoes are one for IPv4 and one for IPv6; nil where the kernel refused it.
	echoes [2]*echo
	rate   int
	// seconds are the places whose announcement is not complete.
	seconds []place
	notify  Notify

	heard chan Heard
	// dropped counts answers that may have been lost, and questions that were not asked.
	dropped    atomic.Uint64
	neighbours neighbours
	// own are this host's hardware addresses: frames from them are no news.
	own atomic.Pointer[map[MAC]bool]
}

func newSpeaker(rate int) *speaker {
	return &speaker{ports: make(map[portID]*port), rate: rate, heard: make(chan Heard, heardRoom)}
}

// hear takes in a frame that a port's reader got. It never waits.
func (s *speaker) hear(h Heard) {
	if own := s.own.Load(); own != nil && (*own)[h.MAC] {
		return
	}
	s.neighbours.learn(h.Addr, h.MAC)
	if h.Kind == Other && len(s.heard) > heardRoom/2 {
		return // it only says that somebody lives, and must not displace answers
	}
	select {
	case s.heard <- h:
	default:
		s.dropped.Add(1)
	}
}

var (
	// errNoARP is why a loopback, point-to-point or other link without Ethernet addresses
	// is deaf.
	errNoARP = errors.New("the link does not speak ARP")
	// errNoIPv6 is why a link that should have IPv6 addresses is deaf.
	errNoIPv6 = errors.New("IPv6 is disabled")
)

// tend opens, replaces or closes a port of a link, as the link now is, and says whether
// it was opened: then it announces nothing yet. An error says why an existing link has
// none.
func (s *speaker) tend(id portID, f linkFacts, exists bool) (opened bool, err error) {
	able := exists && len(f.mac) == len(MAC{}) && MAC(f.mac) != MAC{}
	if p := s.ports[id]; p != nil {
		broken := p.broken.Load()
		if able && p.index == f.index && p.mac == MAC(f.mac) && broken == nil && !(id.six && f.noIPv6) {
			p.router = f.router
			s.dropped.Add(p.lost())
			return false, nil
		}
		s.drop(id)
		s.dropped.Add(1) // what comes before the next one is open
		if able && broken != nil {
			return false, *broken // tried again with the next look at the link
		}
	}
	switch {
	case !exists:
		return false, nil
	case !able:
		return false, errNoARP
	case id.six && f.noIPv6:
		return false, fmt.Errorf("%w (sysctl net.ipv6.conf.%s.disable_ipv6)", errNoIPv6, id.link)
	}
	p, err := openPort(id, f.index, MAC(f.mac))
	if err != nil {
		return false, err
	}
	p.router = f.router
	s.ports[id] = p
	s.listOwn()
	go p.listen(s.hear)
	return true, nil
}

// drop closes a port of a link, if it has one.
func (s *speaker) drop(id portID) {
	if p := s.ports[id]; p != nil {
		p.close()
		delete(s.ports, id)
		s.listOwn()
	}
}

// leave closes the ports of a link.
func (s *speaker) leave(link string) {
	s.drop(portID{link, false})
	s.drop(portID{link, true})
}

func (s *speaker) listOwn() {
	own := make(map[MAC]bool, len(s.ports))
	for _, p := range s.ports {
		own[p.mac] = true
	}
	s.own.Store(&own)
}

func (s *speaker) close() {
	for i, e := range s.echoes {
		if e != nil {
			e.close()
			s.echoes[i] = nil
		}
	}
	for id := range s.ports {
		s.drop(id)
	}
}

// take announces addresses that were just taken, at once and without regard to the rate,
// and from then on by the schedule. One form of each goes first, since clients wait for it;
// the others follow with second.
func (s *speaker) take(places ...place) {
	for _, at := range places {
		p := s.ports[portOf(at)]
		if p == nil {
			continue
		}
		frames, err := p.announcement(at.addr)
		if err != nil {
			continue // only an address of the wrong family can't be encoded
		}
		_ = p.send(frames[0]) // repeated in 20 ms
		now := Boottime()
		p.schedule.take(now, at.addr, frames)
		if s.notify.Known || len(s.notify.on(at.link)) > 0 {
			p.notices.take(now, at.addr)
		}
		if len(frames) > 1 {
			s.seconds = append(s.seconds, at)
		}
	}
}

// second sends the other forms of what take announced since and nothing stopped, until a
// grant ends.
func (s *speaker) second(grantUntil time.Duration) {
	for _, at := range s.seconds {
		p := s.ports[portOf(at)]
		if p == nil || Boottime() >= grantUntil {
			continue
		}
		for _, f := range p.schedule.frames(at.addr) {
			_ = p.send(f)
		}
	}
	s.seconds = s.seconds[:0]
}

// stop ends the announcing of an address. After it returns no frame claims the address.
func (s *speaker) stop(at place) {
	if p := s.ports[portOf(at)]; p != nil {
		p.schedule.stop(at.addr)
		p.notices.stop(at.addr)
	}
}

// tell changes who is told directly. Nobody is told any more of what was taken before.
func (s *speaker) tell(n Notify) {
	s.notify = n
	for _, p := range s.ports {
		p.notices.clear()
	}
}

// again announces an address beside its schedule.
func (s *speaker) again(addr netip.Addr) {
	for _, p := range s.ports {
		p.schedule.again(Boottime(), addr)
	}
}

// restart announces everything on a link anew, for it was cut off.
func (s *speaker) restart(link string) {
	for id, p := range s.ports {
		if id.link == link {
			p.schedule.restart(Boottime())
		}
	}
}

// ask sends a probe for an address on one link.
func (s *speaker) ask(link string, addr netip.Addr) {
	s.neighbours.keep(addr)
	p := s.ports[portOf(place{addr, link})]
	if p == nil {
		return
	}
	f, err := p.question(addr)
	if err != nil {
		return // only an address of the wrong family can't be encoded
	}
	if err := p.send(f); err != nil && !errors.Is(err, unix.ENETDOWN) {
		s.dropped.Add(1) // silence says nothing; of a link that is down it never does
	}
}

// openEchoes makes echo work. A host without IPv6 has none to ask.
func (s *speaker) openEchoes() error {
	for i, f := range []echoFamily{echo4, echo6} {
		e, err := openEcho(f)
		switch {
		case err == nil:
			s.echoes[i] = e
			go e.listen(s.hear)
		case !errors.Is(err, unix.EAFNOSUPPORT):
			return fmt.Errorf("open a socket for echo requests: %w", err)
		}
	}
	return nil
}

// echo asks for an address on one link by an echo request from another. What can't be asked
// counts as answered.
func (s *speaker) echo(link string, from, addr netip.Addr) {
	if !s.request(link, from, addr) {
		s.hear(Heard{Link: link, Kind: Echo, Addr: addr, At: time.Now()})
	}
}

// request sends an echo request, or returns false.
func (s *speaker) request(link string, from, addr netip.Addr) bool {
	e := s.echoes[0]
	if addr.Is6() {
		e = s.echoes[1]
	}
	p := s.ports[portOf(place{link: link, addr: addr})]
	to, known := s.neighbours.mac(addr)
	if p == nil || e == nil || !known || !from.IsValid() {
		return false
	}
	f, err := e.frame(p.mac, to, from, addr)
	return err == nil && p.send(f) == nil
}

// announce sends what is due, until a grant ends: a process that stood still must not
// speak for addresses that another node has by now.
func (s *speaker) announce(grantUntil time.Duration) {
	for _, p := range s.ports {
		for now := Boottime(); now < grantUntil; now = Boottime() {
			frames := p.due(now, s.rate)
			if frames == nil {
				break
			}
			for _, f := range frames {
				_ = p.send(f) // a link that is down loses it, and restarts when it is up
			}
		}
	}
}

// wake returns when announce should be called again, at the latest the instant given.
func (s *speaker) wake(latest time.Duration) time.Duration {
	for _, p := range s.ports {
		if at, any := p.wake(Boottime(), s.rate); any {
			latest = min(latest, at)
		}
	}
	return latest
}
