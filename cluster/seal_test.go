package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRefusals: each reason is found, and a packet with several faults is refused for
// the cheapest to find.
func TestRefusals(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 3))
	peer, other := r.peers[0], r.peers[1]
	peer.holds(0, 1, 2)
	if refusal := r.say(peer); refusal != "" {
		t.Fatalf("a good announcement is refused: %s", refusal)
	}
	last := peer.next(r)
	if refusal := r.receive(peer, last); refusal != "" {
		t.Fatalf("the next announcement is refused: %s", refusal)
	}
	old := other.next(r)
	other.mute = true
	r.pass(time.Second) // node2 becomes live
	// made returns an announcement of node2 with the next sequence, edited.
	made := func(edit func(*announcement)) []byte {
		a := announcement{cluster: "test", sender: "node2", boot: peer.boot, seq: peer.seq + 1, interval: 1e8, stale: 5e8}
		edit(&a)
		return testKey().sealFrame(a.append(testKey().frame(nil, kindAnnouncement)))
	}
	sealed := func(what kind, body string) []byte {
		return testKey().sealFrame(append(testKey().frame(nil, what), body...))
	}
	envelope := string(appendEnvelope(nil, "test", "node2", peer.boot, peer.seq+1))
	good := made(func(*announcement) {})
	flipped := func(at int) []byte {
		b := slices.Clone(good)
		b[at] ^= 1
		return b
	}
	other.boot++
	if refusal := r.say(other); refusal != "" {
		t.Fatalf("a restarted peer is refused: %s", refusal)
	}
	order := func(change func(*orderMessage)) []byte {
		o := orderMessage{target: r.n.id, boot: 100, heard: r.said.seq, id: 1, Order: Order{Kind: OrderDrain, By: "alice"}}
		change(&o)
		return sealed(kindOrder, envelope+string(o.append(nil)))
	}
	tests := []struct {
		name string
		data []byte
		ttl  int
		want Refusal
	}{
		{"through a router", good, 254, WrongTTL},
		{"through a router, and rubbish", []byte("x"), 64, WrongTTL},
		{"empty", nil, 255, TooShort},
		{"a byte less than frame and seal", good[:headerSize+sealSize-1], 255, TooShort},
		{"another protocol", bytes.Repeat([]byte{0}, 200), 255, WrongFormat},
		{"another magic", flipped(0), 255, WrongFormat},
		{"another format version", flipped(3), 255, WrongFormat},
		{"another key id", flipped(5), 255, UnknownKey},
		{"another kind", flipped(4), 255, BadSeal},
		{"a changed message", flipped(headerSize), 255, BadSeal},
		{"a changed seal", flipped(len(good) - 1), 255, BadSeal},
		{"cut short", good[:len(good)-1], 255, BadSeal},
		{"no message", sealed(kindAnnouncement, ""), 255, Malformed},
		{"half an envelope", sealed(kindAnnouncement, envelope[:9]), 255, Malformed},
		{"another cluster", made(func(a *announcement) { a.cluster = "tes" }), 255, WrongCluster},
		{"no cluster", made(func(a *announcement) { a.cluster = "" }), 255, WrongCluster},
		{"our own", made(func(a *announcement) { a.sender, a.boot = "node1", 100 }), 255, Reflected},
		{"our name", made(func(a *announcement) { a.sender, a.boot = "node1", 101 }), 255, DuplicateName},
		{"a stranger", made(func(a *announcement) { a.sender = "node4" }), 255, UnknownNode},
		{"an unknown kind", sealed(9, envelope), 255, WrongFormat},
		{"a second process", made(func(a *announcement) { a.boot++ }), 255, SecondProcess},
		{"a former process", old, 255, SupersededBoot},
		{"the same again", last, 255, Replayed},
		{"an older one", made(func(a *announcement) { a.seq = 1 }), 255, Replayed},
		{"only an envelope", sealed(kindAnnouncement, envelope), 255, Malformed},
		{"a request without a digest", sealed(kindPlanRequest, envelope+"short"), 255, Malformed},
		{"a request and more", sealed(kindPlanRequest, envelope+strings.Repeat("d", 16)+"\x01\x01"), 255, Malformed},
		{"a part beyond its end", sealed(kindPlanPart, envelope+strings.Repeat("d", 16)+"\x03\x02xx"), 255, Malformed},
		{"a part of a huge plan", sealed(kindPlanPart, envelope+strings.Repeat("d", 16)+"\xff\xff\xff\x7f\x00x"), 255, Malformed},
		{"a request of another boot", sealed(kindPlanRequest, string(appendEnvelope(nil, "test", "node2", 999, 99))+strings.Repeat("d", 16)+"\x01"), 255, SupersededBoot},
		{"an old request", sealed(kindPlanRequest, string(appendEnvelope(nil, "test", "node2", peer.boot, 1))+strings.Repeat("d", 16)+"\x01"), 255, Replayed},
		{"an order for a former process", order(func(o *orderMessage) { o.boot-- }), 255, Misaddressed},
		{"an order for another node", order(func(o *orderMessage) { o.target = idOf("node3") }), 255, Misaddressed},
		{"an order that names what was never sent", order(func(o *orderMessage) { o.heard += 1000 }), 255, Misaddressed},
		{"an order that names what was sent long ago", order(func(o *orderMessage) { o.heard = 1 }), 255, Misaddressed},
		{"an order with an id to come", order(func(o *orderMessage) { o.id = 99 }), 255, Malformed},
		{"an order for a century", order(func(o *orderMessage) { o.For = 100 * 365 * 24 * time.Hour }), 255, Malformed},
		{"an order and more", sealed(kindOrder, envelope+string(orderMessage{target: r.n.id, boot: 100, heard: r.said.seq, id: 1}.append(nil))+"x"), 255, Malformed},
		{"an answer for a former process", sealed(kindAnswer, envelope+string(answerMessage{target: r.n.id, boot: 99, id: 1}.append(nil))), 255, Misaddressed},
		{"an answer for another node", sealed(kindAnswer, envelope+string(answerMessage{target: idOf("node3"), boot: 100, id: 1}.append(nil))), 255, Misaddressed},
		{"half an answer", sealed(kindAnswer, envelope+"half"), 255, Malformed},
	}
	seen := map[Refusal]uint64{}
	r.ready()
	before := calm(r.status())
	for _, tt := range tests {
		if got := r.n.Receive(r.now, Packet{Data: tt.data, From: host(1), TTL: tt.ttl}); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		seen[tt.want]++
	}
	for _, refusal := range Refusals() {
		if seen[refusal] == 0 {
			t.Errorf("no test for %q", refusal)
		}
		if got := r.status().Stats.Refused[refusal]; got != seen[refusal] {
			t.Errorf("%q is counted %d times, want %d", refusal, got, seen[refusal])
		}
	}
	r.ready()
	if after := calm(r.status()); after != before {
		t.Errorf("refused packets changed the status from\n%s\nto\n%s", before, after)
	}
	if refusal := r.receive(peer, good); refusal != "" {
		t.Errorf("the refused packets used up a sequence: %s", refusal)
	}
}

// calm is a status without what any packet may change: counters, and the alarms that a
// packet which isn't believed raises.
func calm(s Status) string {
	s.Stats = Stats{}
	s.Alarms = slices.DeleteFunc(slices.Clone(s.Alarms), func(a Alarm) bool { return a.Name == "bad-seal" || a.Name == "duplicate-name" })
	return fmt.Sprintf("%+v", s)
}

// TestSealAlarms: who speaks with another secret is an alarm that says what to compare, and
// who has the right one but a wrong seal is another.
func TestSealAlarms(t *testing.T) {
	r := newRig(t, testPlan(t, 3, 3))
	forge := func(from int, k Key) {
		data := k.sealFrame(append(k.frame(nil, kindAnnouncement), "message"...))
		data[len(data)-1] ^= 1
		r.n.Receive(r.now, Packet{Data: data, From: host(from), TTL: 255})
	}
	forge(1, NewKey([]byte("another")))
	forge(2, testKey())
	var got []string
	for _, a := range r.status().Alarms {
		if a.Name == "bad-seal" {
			got = append(got, a.Detail)
		}
	}
	slices.Sort(got)
	want := []string{
		fmt.Sprintf("packets from %s are sealed with another secret: compare secret, secrets or the file of secret_file on the two hosts", host(1).Addr()),
		fmt.Sprintf("packets from %s have a wrong seal: the secret is the right one, but the packet was changed on its way, or forged", host(2).Addr()),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestKeys: a node opens with each of its keys and seals with the first.
func TestKeys(t *testing.T) {
	first, second, third := NewKey([]byte("one")), NewKey([]byte("two")), NewKey(nil)
	packet := func(k Key) []byte { return k.sealFrame(append(k.frame(nil, kindPlanPart), "message"...)) }
	for _, tt := range []struct {
		name string
		keys []Key
		by   Key
		want Refusal
	}{
		{"the first", []Key{first, second}, first, ""},
		{"the second", []Key{first, second}, second, ""},
		{"an empty secret", []Key{third}, third, ""},
		{"one that is gone", []Key{second}, first, UnknownKey},
		{"no keys", nil, first, UnknownKey},
		{"two with one id", []Key{{id: first.id, mac: second.mac}, first}, first, ""},
		{"another with its id", []Key{{id: first.id, mac: second.mac}}, first, BadSeal},
	} {
		what, body, got := unseal(tt.keys, 255, packet(tt.by))
		if got != tt.want || got == "" && (what != kindPlanPart || string(body) != "message") {
			t.Errorf("%s: kind %d, message %q, refusal %q, want %q", tt.name, what, body, got, tt.want)
		}
	}
	n := New(newRig(t, testPlan(t, 1, 1)).now, Options{Name: "node1", Cluster: "test", Boot: 1, Keys: []Key{first, second}, Plan: testPlan(t, 1, 1), Timing: testTiming()})
	if data := n.Farewell(n.born)[0].Data; !bytes.Equal(data[5:9], first.id[:]) {
		t.Error("a node seals with another key than its first")
	}
	n.Rekey([]Key{second, first})
	if data := n.Farewell(n.born)[0].Data; !bytes.Equal(data[5:9], second.id[:]) {
		t.Error("after Rekey a node seals with another key than its first")
	}
}

// TestEveryBitIsSealed: a packet with any one bit changed is refused.
func TestEveryBitIsSealed(t *testing.T) {
	v := vectors(t)[0]
	data := v.seal()
	for bit := range len(data) * 8 {
		data[bit/8] ^= 1 << (bit % 8)
		if _, _, refusal := unseal([]Key{NewKey([]byte(v.secret))}, 255, data); refusal == "" {
			t.Fatalf("bit %d of byte %d may be changed", bit%8, bit/8)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

// TestSecretIsHidden: no way of printing a key shows what it was made of.
func TestSecretIsHidden(t *testing.T) {
	k := NewKey([]byte("swordfish"))
	id := fmt.Sprintf("%x", k.id)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, x := range []any{k, []Key{k}, Options{Keys: []Key{k}}} {
			if s := fmt.Sprintf(verb, x); strings.Contains(s, "swordfish") || strings.Contains(s, id) {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}
