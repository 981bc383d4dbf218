package cluster

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// known makes n neighbours of 10.9.0.0/16.
func known(n int) (out []Neighbour) {
	for i := range n {
		h := Neighbour{Addr: netip.AddrFrom4([4]byte{10, 9}), MAC: [6]byte{2}, Age: time.Duration(i) * time.Second}
		a := h.Addr.As4()
		binary.BigEndian.PutUint16(a[2:], uint16(i+1))
		binary.BigEndian.PutUint16(h.MAC[4:], uint16(i+1))
		h.Addr = netip.AddrFrom4(a)
		out = append(out, h)
	}
	return out
}

// near delivers a part as if the speaker had sent it.
func (r *rig) near(s *speaker, p NeighbourPart) Refusal {
	s.seq++
	v := vector{secret: "secret", what: kindNeighbours, cluster: "test", sender: s.name, boot: s.boot, seq: s.seq, near: p}
	return r.receive(s, v.seal())
}

// TestShare: a table goes to the group in datagrams of their own, once, when the node has
// listened; what means nothing to others stays here.
func TestShare(t *testing.T) {
	r := newRig(t, testPlan(t, 2, 1))
	hosts := known(MaxNeighbours + 100)
	private := Neighbour{Addr: netip.MustParseAddr("fe80::1"), MAC: [6]byte{2}}
	r.n.Share(r.now, append([]Neighbour{private}, hosts...))
	if r.ready(); len(r.out.Send) > 0 {
		t.Fatal("a node that only listens shares")
	}
	var got []Neighbour
	for range 40 {
		r.now = r.now.Add(10 * time.Millisecond)
		r.ready()
		for i, v := range r.messages(kindNeighbours) {
			if v.near.Part != i || v.near.Of != len(r.messages(kindNeighbours)) {
				t.Errorf("part %d of %d is number %d", v.near.Part, v.near.Of, i)
			}
			got = append(got, v.near.Hosts...)
		}
		for _, d := range r.out.Send {
			if len(d.Data) > maxDatagram || d.To.IsValid() {
				t.Fatalf("%d bytes to %v", len(d.Data), d.To)
			}
		}
	}
	if len(got) != MaxNeighbours {
		t.Fatalf("%d of %d hosts were shared, want %d, and once", len(got), len(hosts), MaxNeighbours)
	}
	for i, h := range got {
		if h != hosts[i] {
			t.Fatalf("host %d is %v, want %v", i, h, hosts[i])
		}
	}

	// Nothing left to share is told, too: else the others would keep what was.
	r.n.Share(r.now, nil)
	r.ready()
	if m := r.messages(kindNeighbours); len(m) != 1 || m[0].near.Of != 1 || len(m[0].near.Hosts) != 0 {
		t.Errorf("an empty table is told as %v", m)
	}
}

// TestNeighboursFit: however long the addresses are, a table fits the parts that a reader
// accepts.
func TestNeighboursFit(t *testing.T) {
	hosts := known(MaxNeighbours)
	for i := range hosts {
		a := netip.MustParseAddr("2001:db8::").As16()
		binary.BigEndian.PutUint16(a[14:], uint16(i))
		hosts[i].Addr, hosts[i].Age = netip.AddrFrom16(a), 2*maxAge
	}
	if n := len(partsOf(hosts)); n > maxParts {
		t.Errorf("%d parts, at most %d are read", n, maxParts)
	}
}

// TestNeighboursAreChecked: a part is believed only from the process that is heard, and
// only when every entry is a host's.
func TestNeighboursAreChecked(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 1))
	s := r.peers[0]
	fine := NeighbourPart{Of: 1, Hosts: known(3)}
	if got := r.near(s, fine); got != SupersededBoot {
		t.Errorf("from a node that was never heard: %q", got)
	}
	r.say(s)
	if got := r.near(s, fine); got != "" {
		t.Fatalf("refused: %s", got)
	}
	s.seq--
	if got := r.near(s, fine); got != Replayed {
		t.Errorf("again: %q", got)
	}
	if r.ready(); len(r.out.Neighbours) != 1 || r.out.Neighbours[0].Node != s.name || len(r.out.Neighbours[0].Hosts) != 3 {
		t.Errorf("came out as %v", r.out.Neighbours)
	}
	if r.ready(); len(r.out.Neighbours) != 0 {
		t.Error("came out twice")
	}

	at := func(addr string) Neighbour { return Neighbour{Addr: netip.MustParseAddr(addr), MAC: [6]byte{2}} }
	group, nobody, old := at("10.9.0.1"), at("10.9.0.1"), at("10.9.0.1")
	group.MAC[0], nobody.MAC, old.Age = 3, [6]byte{}, maxAge+time.Second
	for name, h := range map[string]Neighbour{
		"a group's hardware address": group, "none": nobody,
		"a multicast address": at("224.0.0.5"), "IPv6 multicast": at("ff02::1"), "everybody": at("255.255.255.255"), "nobody": at("0.0.0.0"),
		"loopback": at("127.0.0.1"), "a link's own": at("fe80::1"), "IPv4 in IPv6 form": at("::ffff:10.9.0.1"),
	} {
		if got := r.near(s, NeighbourPart{Of: 1, Hosts: []Neighbour{h}}); got != Malformed {
			t.Errorf("%s: %q", name, got)
		}
		if parts := partsOf([]Neighbour{h}); len(parts[0]) > 0 {
			t.Errorf("%s would be shared", name)
		}
	}
	for name, p := range map[string]NeighbourPart{
		"a part beyond the end": {Part: 2, Of: 2}, "of none": {}, "of too many": {Of: maxParts + 1}, "too many hosts": {Of: 1, Hosts: known(maxPartHosts + 1)},
	} {
		if got := r.near(s, p); got != Malformed {
			t.Errorf("%s: %q", name, got)
		}
	}
	if r.near(s, NeighbourPart{Of: 1, Hosts: []Neighbour{old}}) != "" {
		t.Error("a writer doesn't bound the age")
	}

	// A flood of parts is cut.
	for range 3 * maxParted {
		r.near(s, fine)
	}
	if r.ready(); len(r.out.Neighbours) != maxParted {
		t.Errorf("%d parts in one turn, want %d", len(r.out.Neighbours), maxParted)
	}
	s.boot++
	if got := r.near(s, fine); got != SupersededBoot {
		t.Errorf("from a process that was never heard: %q", got)
	}
}

// What is shared in the same turn can't make an announcement void that it overtakes: a claim,
// say, of which there are but three.
func TestShareOvertakesNothing(t *testing.T) {
	r := matureRig(t, 2, 1)
	r.n.Share(r.now, known(MaxNeighbours))
	r.n.Vote(r.now, Vote{Source: "test", Bar: true, Reason: "news"})
	before := r.said.seq
	r.ready()
	tables := uint64(len(r.messages(kindNeighbours)))
	if want := before + tables + 1; tables == 0 || r.said.seq != want {
		t.Errorf("after announcement %d and %d parts of a table comes announcement %d, want %d", before, tables, r.said.seq, want)
	}
}
