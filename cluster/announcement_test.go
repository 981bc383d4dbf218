package cluster

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vippy-ha/vippy/vipgroup"
)

func drawSet(t *rapid.T, name string) set {
	most := rapid.SampledFrom([]int{8, 64, vipgroup.MaxGroups}).Draw(t, name+" up to")
	return setOf(rapid.SliceOfN(rapid.IntRange(0, most-1), 0, 200).Draw(t, name)...)
}

// TestSetForms: the shortest form is chosen.
func TestSetForms(t *testing.T) {
	for _, tt := range []struct {
		name   string
		places []int
		want   string
	}{
		{"nothing", nil, "\x00"},
		{"the first", []int{0}, "\x01\x01\x01"},
		{"a byte full", span(0, 8), "\x01\x01\xff"},
		{"two bytes either way", []int{0, 8}, "\x01\x02\x01\x01"},
		{"the ninth", []int{8}, "\x02\x01\x08"},
		{"the last", []int{999}, "\x02\x01\xe7\x07"},
		{"far apart", []int{1, 999}, "\x02\x02\x01\xe6\x07"},
		{"every sixteenth", []int{0, 16, 32}, "\x02\x03\x00\x10\x10"},
		{"everything", span(0, 1000), "\x01\x7d" + strings.Repeat("\xff", 125)},
	} {
		if got := string(appendSet(nil, setOf(tt.places...))); got != tt.want {
			t.Errorf("%s: % x, want % x", tt.name, got, tt.want)
		}
	}
}

// TestSetRoundTrip: a set comes back whole in whatever form, also into a used buffer,
// and never takes more than the bits would.
func TestSetRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawSet(t, "set")
		last, list, n := 0, []byte(nil), 0
		bits := make([]byte, 128)
		for p := range want.all {
			list = binary.AppendUvarint(list, uint64(p-last))
			bits[p/8] |= 1 << (p % 8)
			last, n = p, n+1
		}
		shortest := appendSet(nil, want)
		if most := 3 + last/8; len(shortest) > most {
			t.Fatalf("takes %d bytes, the bits alone %d", len(shortest), most)
		}
		for name, form := range map[string][]byte{
			"shortest": shortest,
			"bits":     append(binary.AppendUvarint([]byte{setBits}, 128), bits...),
			"list":     append(binary.AppendUvarint([]byte{setList}, uint64(n)), list...),
		} {
			r := reader{b: form}
			used := drawSet(t, "buffer")
			got, all := r.set(used)
			if r.bad || all || len(r.b) != 0 || !got.equal(want) {
				t.Fatalf("%s: % x reads as %v (bad %v, %d left)", name, form, got, r.bad, len(r.b))
			}
		}
	})
}

// TestReaderBounds: what goes beyond a bound makes the reader bad for good, without
// making room for it first.
func TestReaderBounds(t *testing.T) {
	huge := string(binary.AppendUvarint(nil, 1<<63))
	for _, tt := range []struct {
		name string
		data string
		read func(r *reader)
	}{
		{"byte of nothing", "", func(r *reader) { r.byte() }},
		{"number of seven bytes", "1234567", func(r *reader) { r.uint64() }},
		{"varint of nothing", "", func(r *reader) { r.uvarint() }},
		{"varint without end", "\xff\xff", func(r *reader) { r.uvarint() }},
		{"varint of 65 bits", strings.Repeat("\xff", 9) + "\x02", func(r *reader) { r.uvarint() }},
		{"string longer than the rest", "\x05four", func(r *reader) { r.string() }},
		{"node of three bytes", "abc", func(r *reader) { r.id() }},
		{"count of more than there is", "\x03\x00\x00", func(r *reader) { r.count(1) }},
		{"count of larger entries", "\x02" + strings.Repeat("x", 25), func(r *reader) { r.count(13) }},
		{"huge count", huge, func(r *reader) { r.count(1) }},
		{"no duration", "\x00", func(r *reader) { r.duration() }},
		{"more than an hour", string(binary.AppendUvarint(nil, 3_600_000_001)), func(r *reader) { r.duration() }},
		{"huge duration", huge, func(r *reader) { r.duration() }},
		{"set without form", "", func(r *reader) { r.set(nil) }},
		{"set of an unknown form", "\x04", func(r *reader) { r.set(nil) }},
		{"129 bytes of bits", "\x01\x81\x01" + strings.Repeat("\xff", 129), func(r *reader) { r.set(nil) }},
		{"list beyond the last group", "\x02\x01\xe8\x07", func(r *reader) { r.set(nil) }},
		{"list that adds up", "\x02\x02\xe7\x07\x01", func(r *reader) { r.set(nil) }},
		{"list that wraps", "\x02\x02\x01" + strings.Repeat("\xff", 9) + "\x01", func(r *reader) { r.set(nil) }},
		{"list cut short", "\x02\x02\x01", func(r *reader) { r.set(nil) }},
	} {
		r := reader{b: []byte(tt.data)}
		tt.read(&r)
		if !r.bad {
			t.Errorf("%s: read", tt.name)
		}
	}
}

func drawAnnouncement(t *rapid.T) announcement {
	node := rapid.Custom(func(t *rapid.T) nodeID { return nodeID(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "node")) })
	micros := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(1, 3_600_000_000).Draw(t, "µs")) * time.Microsecond
	})
	number := rapid.Uint64()
	a := announcement{
		cluster: rapid.StringN(0, -1, 255).Draw(t, "cluster"), sender: rapid.StringN(0, -1, 255).Draw(t, "sender"),
		boot: number.Draw(t, "boot"), seq: number.Draw(t, "seq"),
		eligible: rapid.Bool().Draw(t, "eligible"), answer: rapid.Bool().Draw(t, "answer"), farewell: rapid.Bool().Draw(t, "farewell"),
		interval: micros.Draw(t, "interval"), stale: micros.Draw(t, "stale"), version: number.Draw(t, "version"),
		digest: vipgroup.Digest(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "digest")),
		reason: rapid.StringN(0, -1, maxReason).Draw(t, "reason"), held: drawSet(t, "held"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "claims") {
		a.claims = append(a.claims, claimed{number.Draw(t, "begin"), drawSet(t, "claimed")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "bars") {
		a.barred = append(a.barred, barred{rapid.IntRange(1, vipgroup.Barred).Draw(t, "penalty"), drawSet(t, "barred")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "objections") {
		o := objection{target: node.Draw(t, "target"), named: node.Draw(t, "named"), all: rapid.Bool().Draw(t, "all")}
		if !o.all {
			o.groups = drawSet(t, "objected")
		}
		a.objections = append(a.objections, o)
	}
	for range rapid.IntRange(0, 31).Draw(t, "heard") {
		a.heard = append(a.heard, heard{node.Draw(t, "node"), number.Draw(t, "heard boot"), number.Draw(t, "heard seq")})
	}
	return a
}

// TestAnnouncementRoundTrip: an announcement comes back whole, also into one that held
// another before; cut short or lengthened it is bad.
func TestAnnouncementRoundTrip(t *testing.T) {
	var used announcement
	rapid.Check(t, func(t *rapid.T) {
		want := drawAnnouncement(t)
		data := want.append(nil)
		r := reader{b: data}
		e := r.envelope()
		body := r.b
		if !r.announcement(&used) {
			t.Fatal("doesn't read")
		}
		used.cluster, used.sender, used.boot, used.seq = string(e.cluster), string(e.sender), e.boot, e.seq
		if again := used.append(nil); !bytes.Equal(again, data) || !same(used, want) {
			t.Fatalf("reads as %+v, want %+v", used, want)
		}
		var spoilt announcement
		if cut := rapid.IntRange(0, len(body)-1).Draw(t, "cut at"); (&reader{b: body[:cut]}).announcement(&spoilt) {
			t.Fatalf("reads although cut from %d to %d bytes", len(body), cut)
		}
		if (&reader{b: append(slices.Clone(body), 0)}).announcement(&spoilt) {
			t.Fatal("reads although a byte follows")
		}
	})
}

// same says whether two announcements say the same.
func same(a, b announcement) bool {
	return a.cluster == b.cluster && a.sender == b.sender && a.boot == b.boot && a.seq == b.seq &&
		a.eligible == b.eligible && a.answer == b.answer && a.farewell == b.farewell &&
		a.interval == b.interval && a.stale == b.stale && a.version == b.version && a.digest == b.digest &&
		a.reason == b.reason && a.held.equal(b.held) && slices.Equal(a.heard, b.heard) &&
		slices.EqualFunc(a.claims, b.claims, func(x, y claimed) bool { return x.begin == y.begin && x.groups.equal(y.groups) }) &&
		slices.EqualFunc(a.barred, b.barred, func(x, y barred) bool { return x.penalty == y.penalty && x.groups.equal(y.groups) }) &&
		slices.EqualFunc(a.objections, b.objections, func(x, y objection) bool {
			return x.target == y.target && x.named == y.named && x.all == y.all && (x.all || x.groups.equal(y.groups))
		})
}

// TestPlanMessagesRoundTrip: requests and parts come back whole.
func TestPlanMessagesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digest := vipgroup.Digest(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "digest"))
		q := planRequest{digest, rapid.IntRange(0, maxPlanSize).Draw(t, "offset")}
		if got, ok := (&reader{b: q.append(nil)}).planRequest(); !ok || got != q {
			t.Fatalf("request reads as %+v (%v), want %+v", got, ok, q)
		}
		data := rapid.SliceOfN(rapid.Byte(), 0, partSize).Draw(t, "data")
		p := planPart{digest: digest, offset: rapid.IntRange(0, maxPlanSize-len(data)).Draw(t, "at"), data: data}
		p.total = rapid.IntRange(p.offset+len(data), maxPlanSize).Draw(t, "total")
		got, ok := (&reader{b: p.append(nil)}).planPart()
		if !ok || got.digest != p.digest || got.total != p.total || got.offset != p.offset || !bytes.Equal(got.data, p.data) {
			t.Fatalf("part reads as %+v (%v), want %+v", got, ok, p)
		}
	})
}

// TestReasonIsCut: a long reason doesn't push groups out of the datagram.
func TestReasonIsCut(t *testing.T) {
	a := announcement{interval: time.Second, stale: time.Second, reason: strings.Repeat("x", 1000)}
	r := reader{b: a.append(nil)}
	r.envelope()
	if ok := r.announcement(&a); !ok || a.reason != strings.Repeat("x", maxReason) {
		t.Errorf("a reason of 1000 bytes reads as %q (%v)", a.reason, ok)
	}
}
