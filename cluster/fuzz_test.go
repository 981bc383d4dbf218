package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

// FuzzReceive: whatever arrives, a node neither panics nor, where the packet isn't sealed,
// changes its mind. Sealed packets come from the fuzzer too: it has the key, and writes
// what stands behind a good envelope.
func FuzzReceive(f *testing.F) {
	_, have := blocks(f)
	for _, block := range have {
		if !strings.Contains(block, "bytes:\n") {
			continue
		}
		_, data := bytesOf(f, block)
		f.Add(data, byte(data[4]), false)
		r := reader{b: data[headerSize : len(data)-sealSize]}
		r.envelope()
		f.Add(r.b, byte(data[4]), true)
	}
	for heard := range uint64(4) { // one of them is the newest that the rig sent
		o := orderMessage{target: idOf("node1"), boot: 100, heard: heard, id: 1, Order: Order{Kind: OrderMove, By: "alice", At: time.Unix(9, 0)}}
		f.Add(o.append(nil), byte(kindOrder), true)
	}
	f.Add([]byte{}, byte(0), false)
	f.Fuzz(func(t *testing.T, data []byte, what byte, withEnvelope bool) {
		r := newRig(t, testPlan(t, 3, 9))
		s := r.peers[0]
		s.holds(0, 1, 2)
		for range 4 { // it listens, speaks, and is heard
			r.now = r.now.Add(100 * time.Millisecond)
			r.ready()
			r.say(s)
		}
		before := calm(r.status())

		if got := r.receive(s, data); got == "" {
			t.Fatal("bytes without our seal are believed")
		}
		if after := calm(r.status()); after != before {
			t.Fatalf("bytes without our seal changed\n%s\nto\n%s", before, after)
		}

		body := data
		if withEnvelope {
			s.seq++
			body = append(appendEnvelope(nil, "test", s.name, s.boot, s.seq), data...)
		}
		r.receive(s, testKey().sealFrame(append(testKey().frame(nil, kind(what)), body...)))
		for range 12 {
			for _, p := range r.ready().Neighbours {
				if p.Node != s.name || p.Part >= p.Of || p.Of > maxParts {
					t.Fatalf("a part %d of %d from %q", p.Part, p.Of, p.Node)
				}
				for _, h := range p.Hosts {
					if !h.shareable() || h.MAC[0]&1 != 0 || h.Age < 0 {
						t.Fatalf("%v comes out as a neighbour", h)
					}
				}
			}
			for _, g := range r.out.Orders {
				if g.From != s.name || g.For < 0 || g.For > maxFor || len(g.By) > maxBy {
					t.Fatalf("an order comes out as %+v", g)
				}
				r.n.Answer(r.now, g, Reply{Verdict: Done, Text: string(data)})
			}
			r.now = r.now.Add(50 * time.Millisecond)
		}
		r.status()
	})
}

// TestReplayChangesNothing: in a calm cluster everything that was ever recorded, sent
// again to everybody from anywhere, changes nothing but counters.
func TestReplayChangesNothing(t *testing.T) {
	m := newMesh(t, 3, 9)
	m.run(2 * time.Second)
	m.nodes[0].Drain(m.now, Drain{})
	m.run(time.Second)
	m.nodes[0].Undrain(m.now)
	m.run(2 * time.Second)
	for len(m.wire) > 0 { // nothing on the tape may be news
		m.run(time.Millisecond)
	}
	tape := m.tape
	if len(tape) < 100 {
		t.Fatalf("only %d datagrams were recorded", len(tape))
	}
	holds := m.count()
	for i, n := range m.nodes {
		n.Ready(m.now)
		before := calm(n.Status(m.now))
		received := n.Status(m.now).Stats.Received
		for _, data := range tape {
			for from := range m.nodes {
				if r := n.Receive(m.now, Packet{Data: data, From: host(from), TTL: 255}); r == "" {
					t.Fatalf("node%d believes a recording", i+1)
				}
			}
		}
		n.Ready(m.now)
		if after := calm(n.Status(m.now)); after != before {
			t.Errorf("recordings changed node%d from\n%s\nto\n%s", i+1, before, after)
		}
		if got := n.Status(m.now).Stats.Received; got != received {
			t.Errorf("node%d counts %d more packets as believed", i+1, got-received)
		}
	}
	m.run(2 * time.Second)
	if got := m.count(); !slices.Equal(got, holds) {
		t.Errorf("groups per node went from %v to %v", holds, got)
	}
}

// FuzzPlanFetch: whatever a peer sends for the plan that it announces, in whatever parts, a node
// keeps a bounded number of bytes of it, learns that plan or none, goes on holding what it has,
// and gets the plan of another peer afterwards.
func FuzzPlanFetch(f *testing.F) {
	for _, text := range []string{
		`{"version":9,"nodes":["node1","node2","node3"],"partition":"available","rebalance_ns":0,"groups":[{"name":"x","addresses":["10.0.0.97/32"],"preempt":true}]}["eth0"]`,
		`{"version":9,"nodes":["node2"],"partition":"available","rebalance_ns":0,"groups":null}`,
		`{"nodes":[`, "", "[]",
	} {
		f.Add([]byte(text), []byte{0, 1, 2, 3, 4, 5, 0, 0})
	}
	f.Fuzz(func(t *testing.T, data, script []byte) {
		five, seven := planOf(t, 5, 3, "a b"), planOf(t, 7, 3, "a b c")
		r := newRig(t, five)
		r.step = 5 * time.Millisecond
		r.pass(1500 * time.Millisecond)
		held := len(r.has)
		liar := r.peers[0]
		announced, err := vipgroup.Shared(data)
		if err != nil {
			announced = planOf(t, 6, 3, "a") // that is what it says
		}
		liar.plan = announced
		part := func(q planRequest, how byte) {
			p := planPart{q.digest, len(data), q.offset, nil}
			if q.offset < len(data) {
				p.data = data[q.offset:min(len(data), q.offset+partSize)]
			}
			switch how % 8 {
			case 1:
				p.total = maxPlanSize
			case 2:
				p.offset = int(how)
			case 3:
				p.data = p.data[:len(p.data)/2]
			case 4:
				p.digest[0] ^= how
			case 5:
				p.total = 0
			case 6:
				p.total, p.data = maxPlanSize, make([]byte, partSize)
			case 7:
				return
			}
			r.part(liar, p)
		}
		for i := 0; i < 4*len(script) && i < 400; i++ {
			r.pass(r.step)
			for _, m := range r.messages(kindPlanRequest) {
				part(m.req, script[i%len(script)])
			}
			if n := len(r.n.plans.fetch.data); n > maxPlanSize {
				t.Fatalf("%d bytes are kept", n)
			}
		}
		for d := range r.n.plans.tables {
			if d != five.Digest() && d != announced.Digest() {
				t.Fatalf("learnt plan %s, announced was %s", d, announced.Digest())
			}
		}
		if p, from, ok := r.n.Newer(); ok && (p.Version <= 5 || from != liar.name) {
			t.Fatalf("plan %d of %s is offered", p.Version, from)
		}
		if held > 0 && announced.Member("node1") >= 0 && len(r.has) == 0 {
			t.Fatal("lost what it held")
		}
		r.peers[1].plan = seven
		known := map[vipgroup.Digest][]byte{seven.Digest(): seven.Share()}
		r.serve(3*time.Second, func(d vipgroup.Digest) []byte { return known[d] })
		if r.n.plans.tables[seven.Digest()] == nil {
			t.Fatal("the plan of another peer doesn't come through")
		}
	})
}
