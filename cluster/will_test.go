package cluster

import (
	"bytes"
	"testing"
	"time"
)

// TestWillIsAFarewell: what another says for a dead node ends that node's boot for its
// peers, once and for this boot only.
func TestWillIsAFarewell(t *testing.T) {
	r := matureRig(t, 3, 2)
	will := r.n.Will(r.now)
	if len(will) != 3 || will[0].To.IsValid() || !will[1].To.IsValid() {
		t.Fatalf("the will goes to %v, want the group and a copy for each peer", will)
	}
	v, err := open("secret", will[2].Data)
	if err != nil {
		t.Fatal(err)
	}
	if !v.ann.farewell || v.ann.eligible || v.boot != 100 || v.seq != farewellSeq || !v.ann.held.empty() || len(v.ann.claims) > 0 {
		t.Errorf("the will says %+v of boot %d with sequence %d", v.ann, v.boot, v.seq)
	}

	peer := New(r.now, Options{Name: "node2", Cluster: "test", Boot: 300, Keys: []Key{testKey()}, Plan: r.n.plan, Timing: testTiming()})
	receive := func(data []byte) Refusal {
		return peer.Receive(r.now, Packet{Data: data, From: host(0), TTL: 255})
	}
	if refusal := receive(r.n.announce(r.now, false)); refusal != "" {
		t.Fatalf("an announcement is refused: %s", refusal)
	}
	if refusal := receive(will[0].Data); refusal != "" {
		t.Fatalf("the will is refused: %s", refusal)
	}
	if !peer.Status(r.now).Peers[0].Farewell {
		t.Error("the peer does not know of the farewell")
	}
	if refusal := receive(r.n.announce(r.now, false)); refusal != SupersededBoot {
		t.Errorf("an announcement after the will: %q, want it refused", refusal)
	}
	r.n.boot++
	if refusal := receive(r.n.announce(r.now, false)); refusal != "" {
		t.Errorf("an announcement of the next boot is refused: %s", refusal)
	}
	if refusal := receive(will[0].Data); refusal != SupersededBoot {
		t.Errorf("the old will after the next boot: %q, want it refused", refusal)
	}
}

// TestWillChangesNothing: a node that makes its will all the time says the same as one
// that never does, also with claims open.
func TestWillChangesNothing(t *testing.T) {
	a, b := matureRig(t, 3, 4), matureRig(t, 3, 4)
	spoke := 0
	for ms := range 2000 {
		for _, r := range []*rig{a, b} {
			switch ms {
			case 300:
				r.peers[0].mute = true
			case 900:
				r.peers[1].frees(1)
			}
		}
		b.n.Will(b.now)
		a.pass(time.Millisecond)
		b.n.Will(b.now)
		b.pass(time.Millisecond)
		if len(a.out.Send) != len(b.out.Send) {
			t.Fatalf("after %d ms one speaks %d times, the other %d times", ms, len(a.out.Send), len(b.out.Send))
		}
		for i := range a.out.Send {
			spoke++
			if !bytes.Equal(a.out.Send[i].Data, b.out.Send[i].Data) {
				t.Fatalf("after %d ms the two say different things", ms)
			}
		}
	}
	if spoke == 0 || len(a.has) == 0 {
		t.Errorf("they spoke %d times and hold %d groups: nothing was tested", spoke, len(a.has))
	}
}
