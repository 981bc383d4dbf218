package vipgroup

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestShare: interface names travel beside a plan, are no part of it, and their loss costs
// nothing else.
func TestShare(t *testing.T) {
	p := linePlan(t, func(p *Plan) { p.Groups[1].VIPs[0].Interface = "bond0.7" })
	got, err := Shared(p.Share())
	if err != nil || got.Digest() != p.Digest() || !bytes.Equal(got.Share(), p.Share()) {
		t.Errorf("got %s, %v\nwant %s", got.Share(), err, p.Share())
	}
	for _, hint := range []string{"", `["eth0"]`, `["eth0","eth0","eth0","eth0"]`, `{"a":1}`, `["eth`, "\x00", `["a/b","../..",""]`} {
		got, err := Shared(append(p.Encode(), hint...))
		if err != nil || got.Digest() != p.Digest() || !bytes.Equal(got.Share(), p.Encode()) {
			t.Errorf("hint %q: got %s, %v", hint, got.Share(), err)
		}
	}
	if plain := linePlan(t, func(p *Plan) { p.Groups[0].VIPs[0].Interface = "" }); !bytes.Equal(plain.Share(), plain.Encode()) {
		t.Errorf("without interfaces %s is shared", plain.Share())
	}
}

// TestEndlessPlans: more of anything than a plan may have is refused, whatever it is, and
// the refusal is short.
func TestEndlessPlans(t *testing.T) {
	many := func(s string) string { return strings.TrimSuffix(strings.Repeat(s+",", 1<<20/(len(s)+1)), ",") }
	few := func(s string) string { return strings.TrimSuffix(strings.Repeat(s+",", 5000), ",") }
	addresses := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf(`"10.%d.%d.%d/32"`, i>>16, i>>8&255, i&255))
		}
		return strings.Join(out, ",")
	}
	for want, text := range map[string]string{
		"a list has more than 10000":  `{"nodes":["a"],"groups":[` + many(`{}`) + `]}`,
		"more than 10000 entries":     `{"nodes":[` + many(`""`) + `]}`,
		"nodes, at most 32":           `{"nodes":[` + few(`""`) + `]}`,
		"voters, at most 32":          `{"nodes":["a"],"voters":[` + few(`"a"`) + `]}`,
		"groups, at most 1000":        `{"nodes":["a"],"groups":[` + few(`{}`) + `]}`,
		"preferred nodes in a group":  `{"nodes":["a"],"groups":[{"name":"x","prefer":[` + few(`"a"`) + `]}]}`,
		"preferred twice":             `{"nodes":["a"],"groups":[{"name":"x","prefer":["a","a"]}]}`,
		"checks of a group":           `{"nodes":["a"],"groups":[{"name":"x","checks":[` + few(`"c"`) + `]}]}`,
		"addresses, at most 10000":    `{"nodes":["a"],"groups":[{"addresses":[` + addresses(MaxAddresses) + `]},{"addresses":["10.9.9.9/32"]}]}`,
		"is no text of at most 128":   `{"nodes":["a"],"groups":[{"name":"` + strings.Repeat("x", 1<<19) + `"}]}`,
		"version: 9007199254740992":   `{"version":9007199254740992,"nodes":["a"]}`,
		"is a loopback address":       `{"nodes":["a"],"groups":[{"addresses":["127.0.0.1/8"]}]}`,
		"is a multicast address":      `{"nodes":["a"],"groups":[{"addresses":["224.0.0.254/32"]}]}`,
		"would route everything":      `{"nodes":["a"],"groups":[{"addresses":["10.0.0.1/0"]}]}`,
		"exceeded max depth":          strings.Repeat("[", 1<<20),
		"cannot unmarshal":            `[]`,
		"is no list":                  `{"nodes":"a"}`,
		"unexpected EOF":              `{"nodes":["a"`,
		"number 99999999999999999999": `{"version":99999999999999999999,"nodes":["a"]}`,
	} {
		p, err := Shared([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got plan %s, error %.300v, want %q", p.Digest(), err, want)
		} else if len(err.Error()) > 300 {
			t.Errorf("%q: the refusal has %d bytes", want, len(err.Error()))
		}
	}
}

// FuzzShared: whatever a peer sends, it makes a plan that a file could have made, or none.
func FuzzShared(f *testing.F) {
	f.Add([]byte(`{"version":6,"nodes":["a","b"],"partition":"single","rebalance_ns":1,"groups":[{"name":"x","addresses":["10.0.0.1/24"],"prefer":["b"],"preempt":true}]}["eth0"]`))
	f.Add([]byte(`{"nodes":["a"],"groups":null}["eth0"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Shared(data)
		if err != nil {
			return
		}
		again, err := Shared(p.Share())
		if err != nil || again.Digest() != p.Digest() || !bytes.Equal(again.Share(), p.Share()) {
			t.Fatalf("%q makes a plan that %q, %v is not", data, again.Share(), err)
		}
		if again, err := NewPlan(p); err != nil || again.Digest() != p.Digest() {
			t.Fatalf("%q makes a plan that is refused: %v", data, err)
		}
		if changes := Differ(p, again); changes != nil {
			t.Fatalf("a plan differs from itself: %v", changes)
		}
		p.Lines()
	})
}
