package cluster

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vippy-ha/vippy/vipgroup"
)

var update = flag.Bool("update", false, "rewrite the test vectors in docs/protocol.md")

const protocolDoc = "../docs/protocol.md"

// A vector is one message of docs/protocol.md.
type vector struct {
	name            string
	secret          string
	what            kind
	cluster, sender string
	boot, seq       uint64
	// One of these, by kind.
	ann  announcement
	req  planRequest
	part planPart
	near NeighbourPart
	ord  orderMessage
	rep  answerMessage
}

// vectorPlan is the plan that the vectors speak of.
func vectorPlan(t testing.TB) vipgroup.Plan {
	t.Helper()
	vip := func(s string) vipgroup.VIP { return vipgroup.VIP{Address: netip.MustParsePrefix(s)} }
	p, err := vipgroup.NewPlan(vipgroup.Plan{
		Version: 6, Nodes: []string{"node1", "node2", "node3"},
		Groups: []vipgroup.Group{
			{Name: "web", VIPs: []vipgroup.VIP{vip("10.1.2.30/24"), vip("10.1.2.4/24")}, Prefer: []string{"node2"}, Preempt: true, PreemptDelay: 12 * time.Second},
			{VIPs: []vipgroup.VIP{vip("10.1.2.5/32")}, Preempt: true},
			{VIPs: []vipgroup.VIP{vip("2001:db8::5/128")}, Preempt: true, Checks: []string{"pg"}},
			{Name: "leader"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func setOf(places ...int) set {
	s := newSet(vipgroup.MaxGroups)
	for _, i := range places {
		s.add(i)
	}
	return s
}

func span(from, to int) (places []int) {
	for i := from; i < to; i++ {
		places = append(places, i)
	}
	return places
}

// vectors are the messages of docs/protocol.md.
func vectors(t testing.TB) []vector {
	plan := vectorPlan(t)
	ann := func(a announcement) announcement {
		a.interval, a.stale = 100*time.Millisecond, 500*time.Millisecond
		a.version, a.digest = plan.Version, plan.Digest()
		return a
	}
	encoded := plan.Encode()
	return []vector{{
		name: "calm", secret: "swordfish", what: kindAnnouncement, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: 42,
		ann: ann(announcement{eligible: true, held: setOf(0, 3), heard: []heard{
			{idOf("node2"), 1_700_000_000_000_000_777, 40}, {idOf("node3"), 9, 1_000_000}}}),
	}, {
		name: "everything", secret: "another secret", what: kindAnnouncement, cluster: "lab", sender: "node2", boot: 5, seq: 300,
		ann: ann(announcement{answer: true, reason: "tcpcheck: connection refused", held: setOf(span(3, 20)...),
			claims:     []claimed{{298, setOf(1)}, {300, setOf(2, 700)}},
			barred:     []barred{{vipgroup.Pull, setOf(21)}, {vipgroup.Barred, setOf(999)}, {5, setOf(span(0, 16)...)}},
			objections: []objection{{target: idOf("node1"), named: idOf("node3"), groups: setOf(0, 8)}, {target: idOf("node3"), named: idOf("node2"), all: true}},
			heard:      []heard{{idOf("node1"), 1_700_000_000_000_000_001, 42}}}),
	}, {
		name: "farewell", secret: "swordfish", what: kindAnnouncement, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: farewellSeq,
		ann: ann(announcement{farewell: true, reason: "stopping"}),
	}, {
		name: "plan-request", secret: "swordfish", what: kindPlanRequest, cluster: "vippy", sender: "node2", boot: 5, seq: 301,
		req: planRequest{digest: plan.Digest(), offset: 400},
	}, {
		name: "plan-part", secret: "swordfish", what: kindPlanPart, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: 43,
		part: planPart{digest: plan.Digest(), total: len(encoded), offset: 400, data: encoded[400:]},
	}, {
		name: "neighbours", secret: "swordfish", what: kindNeighbours, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: 44,
		near: NeighbourPart{Part: 1, Of: 3, Hosts: []Neighbour{
			{netip.MustParseAddr("10.1.2.254"), [6]byte{2, 0, 0, 0, 0, 0xfe}, 0},
			{netip.MustParseAddr("2001:db8::9"), [6]byte{2, 0, 0, 0, 0, 9}, 200 * time.Second}}},
	}, {
		name: "order-move", secret: "swordfish", what: kindOrder, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: 46,
		ord: orderMessage{target: idOf("node2"), boot: 5, heard: 301, id: 45,
			Order: Order{Kind: OrderMove, Group: plan.Groups[1].Key, By: "alice", At: time.Unix(1_800_000_000, 0)}},
	}, {
		name: "order-drain", secret: "swordfish", what: kindOrder, cluster: "vippy", sender: "node1", boot: 1_700_000_000_000_000_001, seq: 49,
		ord: orderMessage{target: idOf("node2"), boot: 5, heard: 303, id: 47,
			Order: Order{Kind: OrderDrain, For: 30 * time.Minute, By: "root", At: time.Unix(1_800_000_001, 0)}},
	}, {
		name: "answer", secret: "swordfish", what: kindAnswer, cluster: "vippy", sender: "node2", boot: 5, seq: 302,
		rep: answerMessage{target: idOf("node1"), boot: 1_700_000_000_000_000_001, id: 45,
			Reply: Reply{Verdict: Denied, Text: "node1 would take web back at once (preferred node)", Hint: "drain that node, or change prefer in the plan"}},
	}}
}

// seal writes the vector's datagram.
func (v vector) seal() []byte {
	k := NewKey([]byte(v.secret))
	b := k.frame(nil, v.what)
	switch v.what {
	case kindAnnouncement:
		v.ann.cluster, v.ann.sender, v.ann.boot, v.ann.seq = v.cluster, v.sender, v.boot, v.seq
		return k.sealFrame(v.ann.append(b))
	case kindPlanRequest:
		return k.sealFrame(v.req.append(appendEnvelope(b, v.cluster, v.sender, v.boot, v.seq)))
	case kindNeighbours:
		var hosts []byte
		for _, h := range v.near.Hosts {
			hosts = h.append(hosts)
		}
		return k.sealFrame(appendPart(appendEnvelope(b, v.cluster, v.sender, v.boot, v.seq), v.near.Part, v.near.Of, hosts))
	case kindOrder:
		return k.sealFrame(v.ord.append(appendEnvelope(b, v.cluster, v.sender, v.boot, v.seq)))
	case kindAnswer:
		return k.sealFrame(v.rep.append(appendEnvelope(b, v.cluster, v.sender, v.boot, v.seq)))
	}
	return k.sealFrame(v.part.append(appendEnvelope(b, v.cluster, v.sender, v.boot, v.seq)))
}

// open reads a datagram back.
func open(secret string, data []byte) (v vector, err error) {
	what, body, refusal := unseal([]Key{NewKey([]byte(secret))}, 255, data)
	if refusal != "" {
		return v, fmt.Errorf("refused: %s", refusal)
	}
	r := reader{b: body}
	e := r.envelope()
	v = vector{secret: secret, what: what, cluster: string(e.cluster), sender: string(e.sender), boot: e.boot, seq: e.seq}
	ok := false
	switch what {
	case kindAnnouncement:
		ok = r.announcement(&v.ann)
	case kindPlanRequest:
		v.req, ok = r.planRequest()
	case kindPlanPart:
		v.part, ok = r.planPart()
	case kindNeighbours:
		v.near, ok = r.neighbours()
	case kindOrder:
		v.ord, ok = r.order()
	case kindAnswer:
		v.rep, ok = r.answer()
	}
	if !ok {
		return v, fmt.Errorf("malformed")
	}
	return v, nil
}

// words tells the message to people.
func (v vector) words() string {
	names := map[nodeID]string{}
	for i := range 9 {
		name := fmt.Sprintf("node%d", i+1)
		names[idOf(name)] = name
	}
	places := func(s set, all bool) string {
		if all {
			return "all groups"
		}
		out := "groups"
		for g := range s.all {
			out += fmt.Sprintf(" %d", g)
		}
		if out == "groups" {
			return "nothing"
		}
		return out
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("secret:     %s", v.secret)
	line("kind:       %d (%s)", v.what, map[kind]string{kindAnnouncement: "announcement", kindPlanRequest: "plan request", kindPlanPart: "plan part", kindNeighbours: "neighbours",
		kindOrder: "order", kindAnswer: "answer"}[v.what])
	line("cluster:    %s", v.cluster)
	line("sender:     %s", v.sender)
	line("boot:       %d", v.boot)
	line("sequence:   %d", v.seq)
	switch v.what {
	case kindPlanRequest:
		line("digest:     %s", v.req.digest)
		line("offset:     %d", v.req.offset)
		return b.String()
	case kindPlanPart:
		line("digest:     %s", v.part.digest)
		line("total:      %d", v.part.total)
		line("offset:     %d", v.part.offset)
		line("data:       %s", v.part.data)
		return b.String()
	case kindNeighbours:
		line("part:       %d of %d", v.near.Part, v.near.Of)
		for _, h := range v.near.Hosts {
			line("host:       %s at %s, confirmed %v ago", h.Addr, net.HardwareAddr(h.MAC[:]), h.Age)
		}
		return b.String()
	case kindOrder:
		o := v.ord
		line("to:         %s, boot %d, which sent %d", names[o.target], o.boot, o.heard)
		line("order:      %d, of kind %d (%s)", o.id, o.Kind, map[OrderKind]string{OrderDrain: "drain", OrderUndrain: "undrain", OrderMove: "move"}[o.Kind])
		line("group:      %s", o.Group)
		line("for:        %v", o.For)
		line("given:      at %s by %s", o.At.UTC().Format(time.RFC3339), o.By)
		return b.String()
	case kindAnswer:
		line("to:         %s, boot %d", names[v.rep.target], v.rep.boot)
		line("order:      %d", v.rep.id)
		line("done:       %v", v.rep.Verdict == Done)
		line("text:       %q", v.rep.Text)
		line("hint:       %q", v.rep.Hint)
		return b.String()
	}
	a := v.ann
	line("eligible:   %v", a.eligible)
	line("answer:     %v", a.answer)
	line("farewell:   %v", a.farewell)
	line("interval:   %v", a.interval)
	line("stale:      %v", a.stale)
	line("plan:       version %d, digest %s", a.version, a.digest)
	line("reason:     %q", a.reason)
	line("held:       %s", places(a.held, false))
	for _, c := range a.claims {
		line("claim:      from sequence %d: %s", c.begin, places(c.groups, false))
	}
	for _, x := range a.barred {
		penalty := fmt.Sprintf("penalty %d", x.penalty)
		switch x.penalty {
		case vipgroup.Barred:
			penalty = "barred"
		case vipgroup.Pull:
			penalty = "asked for"
		}
		line("bar:        %s: %s", penalty, places(x.groups, false))
	}
	for _, o := range a.objections {
		line("objection:  to %s for %s: %s", names[o.target], names[o.named], places(o.groups, o.all))
	}
	for _, h := range a.heard {
		line("heard:      %s boot %d sequence %d", names[h.node], h.boot, h.seq)
	}
	return b.String()
}

// wrapped writes bytes as the document has them: 32 a line.
func wrapped(data []byte) string {
	var b strings.Builder
	for line := range slices.Chunk(data, 32) {
		b.WriteString(hex.EncodeToString(line) + "\n")
	}
	return b.String()
}

// planWords tells what follows from a plan.
func planWords(p vipgroup.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "encoding:   %s\ndigest:     %s\n", p.Encode(), p.Digest())
	for i, g := range p.Groups {
		ranks := slices.Clone(p.Nodes)
		slices.SortFunc(ranks, func(a, b string) int { return p.Rank(g.Key, a) - p.Rank(g.Key, b) })
		fmt.Fprintf(&b, "group:      %d %s key %s ranks %s\n", i, g.Name, g.Key, strings.Join(ranks, " "))
	}
	return b.String()
}

// keyWords tells what follows from a secret.
func keyWords(secret string) string {
	k := NewKey([]byte(secret))
	return fmt.Sprintf("secret:     %s\nkey id:     %x\nseal of \"\": %x\n", secret, k.id, k.sealFrame(nil))
}

// blocks returns the vectors of the document, by name.
func blocks(t testing.TB) (doc string, out map[string]string) {
	t.Helper()
	text, err := os.ReadFile(protocolDoc)
	if err != nil {
		t.Fatal(err)
	}
	out = map[string]string{}
	for _, m := range vectorBlock.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = m[2]
	}
	return string(text), out
}

var vectorBlock = regexp.MustCompile("(?s)```vector (\\S+)\n(.*?)```")

// bytesOf takes the bytes out of a block.
func bytesOf(t testing.TB, block string) (words string, data []byte) {
	t.Helper()
	words, digits, found := strings.Cut(block, "bytes:\n")
	data, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
	if !found || err != nil {
		t.Fatalf("no bytes in %q: %v", block, err)
	}
	return words, data
}

// TestVectors: the messages of the document encode to its bytes, and its bytes open to
// its messages.
func TestVectors(t *testing.T) {
	doc, have := blocks(t)
	want := map[string]string{"key": keyWords("swordfish"), "plan": planWords(vectorPlan(t))}
	for _, v := range vectors(t) {
		want[v.name] = v.words() + "bytes:\n" + wrapped(v.seal())
	}
	if *update {
		doc = vectorBlock.ReplaceAllStringFunc(doc, func(s string) string {
			name := vectorBlock.FindStringSubmatch(s)[1]
			return "```vector " + name + "\n" + want[name] + "```"
		})
		if err := os.WriteFile(protocolDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		_, have = blocks(t)
	}
	for name := range have {
		if want[name] == "" {
			t.Errorf("%s: unknown vector", name)
		}
	}
	for name, block := range want {
		if have[name] != block {
			t.Errorf("%s: the document says\n%s\nthe code says\n%s(-update rewrites the document)", name, have[name], block)
		}
	}
	for _, v := range vectors(t) {
		words, data := bytesOf(t, have[v.name])
		got, err := open(v.secret, data)
		if err != nil || got.words() != words {
			t.Errorf("%s: the bytes open to (%v)\n%s", v.name, err, got.words())
		}
		if !bytes.Equal(got.seal(), data) {
			t.Errorf("%s: what was opened seals to other bytes", v.name)
		}
	}
	p, err := vipgroup.Decode([]byte(planLine.FindStringSubmatch(have["plan"])[1]))
	if err != nil || planWords(p) != have["plan"] {
		t.Errorf("the document's plan decodes to (%v)\n%s", err, planWords(p))
	}
}

var planLine = regexp.MustCompile("encoding: +(.*)\n")

// TestDocumentNamesEveryRefusal: a reader finds each reason of a log in the document.
func TestDocumentNamesEveryRefusal(t *testing.T) {
	doc, _ := blocks(t)
	at := 0
	for _, r := range Refusals() {
		i := strings.Index(doc[at:], "| "+string(r)+" |")
		if i < 0 {
			t.Fatalf("docs/protocol.md doesn't name %q, or not in the order of the checks", r)
		}
		at += i
	}
}
