package sim

import (
	"net/netip"
	"time"
)

// A frameKind says what a frame carries.
type frameKind uint8

const (
	// chatGroup is a datagram to the chat group.
	chatGroup frameKind = iota
	// chatDirect is a datagram to one host.
	chatDirect
	// arpAsk is a broadcast ARP probe for an address.
	arpAsk
	// arpAnswer is a kernel's answer to the host that asked.
	arpAnswer
	// arpAnnounce is a gratuitous ARP for an address.
	arpAnnounce
	// echoAsk is an ICMP echo request for an address, echoAnswer a kernel's reply.
	echoAsk
	echoAnswer
	// noise is a broadcast that means nothing to us.
	noise
)

// A frame is on its way, possibly to many hosts: it isn't changed after it was sent.
type frame struct {
	data []byte
	from netip.AddrPort // chat: the source
	src  int16          // the host whose hardware address it carries
	addr int16          // ARP: the number of the address
	ttl  uint8
	kind frameKind
	// forged marks bytes that no holder of the secret made, or that come back to
	// their sender: nobody may believe them.
	forged bool
}

// A recorded frame waits on the attacker's tape or in a socket: at is when it came.
type recorded struct {
	*frame
	at int64
}

// A path is one direction between two hosts.
type path struct {
	// link cuts everything, udp every chat datagram, group only those to the group; echo
	// drops echo requests and replies.
	link, udp, group, echo bool
	// loss and dup are in parts of 1000, delay is what every frame takes beyond the
	// wire's own, jitter the largest random extra.
	loss, dup     int
	delay, jitter int64
	// lastLink and lastUDP are when the cut was last in force.
	lastLink, lastUDP int64
	// linkSince and udpSince are when the cut last ended.
	linkSince, udpSince int64
}

const (
	wireDelay  = int64(30 * time.Microsecond)
	wireJitter = int64(120 * time.Microsecond)
	chatPort   = 8777
)

// usable says whether frames pass in this direction at all.
func (w *World) usable(from, to int) bool {
	return w.hosts[from].running() && w.hosts[to].running() && !w.paths[from][to].link
}

// broadcast sends a frame to every other host on the wire.
func (w *World) broadcast(f *frame) {
	if w.remind(f) {
		return
	}
	for to := range w.hosts {
		if to != int(f.src) && !w.hosts[to].spare() {
			w.send(f, to)
		}
	}
}

// send puts a frame on the way to one host. What happens to it is decided now: loss,
// delay and whether it comes twice.
func (w *World) send(f *frame, to int) {
	if !w.hosts[f.src].running() {
		return
	}
	p := &w.paths[f.src][to]
	if p.link || f.kind <= chatDirect && p.udp || f.kind == chatGroup && p.group || f.isEcho() && p.echo {
		return
	}
	w.transmit(f, to, p)
	if p.dup > 0 && int(w.rng.Uint32N(1000)) < p.dup {
		w.transmit(f, to, p)
	}
}

func (f *frame) isEcho() bool { return f.kind == echoAsk || f.kind == echoAnswer }

func (w *World) transmit(f *frame, to int, p *path) {
	if p.loss > 0 && int(w.rng.Uint32N(1000)) < p.loss {
		return
	}
	d := wireDelay + w.upTo(wireJitter) + p.delay
	if p.jitter > 0 {
		d += w.upTo(p.jitter)
	}
	w.queue.push(event{at: w.now + d, kind: deliver, host: int16(to), frame: f})
}

// answerTo is what a kernel that has the address sends to who asks.
var answerTo = map[frameKind]frameKind{arpAsk: arpAnswer, echoAsk: echoAnswer}

// arrive hands a frame to a host: the kernel first, which answers whatever the
// process does, then whoever runs there.
func (w *World) arrive(h *host, f *frame) {
	if !h.running() {
		return
	}
	if answer, ok := answerTo[f.kind]; ok && h.answers(int(f.addr)) {
		w.send(&frame{kind: answer, src: int16(h.id), addr: f.addr}, int(f.src))
	}
	if h.role != member {
		w.attacker.overhear(h, f)
		return
	}
	if f.kind <= chatDirect {
		w.heard[h.id][f.src].note(w.now, w.paths[f.src][h.id].linkSince)
	}
	h.receive(f)
}

// A hearing is when a host's chat arrived at another: for the first time since the link
// between them was last mended.
type hearing struct{ first int64 }

func (h *hearing) note(now, since int64) {
	if h.first < since {
		h.first = now
	}
}

// A speech is how many datagrams the nodes have sent, of how many bytes, and the largest.
type speech struct{ datagrams, bytes, largest int }

func (s *speech) note(size int) {
	s.datagrams++
	s.bytes += size
	s.largest = max(s.largest, size)
}
