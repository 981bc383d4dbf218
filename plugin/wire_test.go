package plugin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string]string{
		`{"vote":"ok"}`: "",
		` {"vote":"bar","reason":"a\nb","group":"g"} `:      "",
		`{"vote":"penalty","penalty":1000000}`:              "",
		`[]`:                                                "",
		`[{"vote":"ok"},{"vote":"bar","group":"a"}]`:        "",
		`{"ask":"status"}`:                                  "",
		`{"log":"x","level":"WARN","a":{"b":[1]},"c":null}`: "",
		``:                                "expected an object, or a list of votes",
		`null`:                            "expected an object, or a list of votes",
		`{}`:                              `expected one of the keys "vote", "log" and "ask"`,
		`{"vote":"bar"} {"vote":"bar"}`:   "expected an object, or a list of votes",
		`[{"vote":"bar"}] 1`:              "expected the end of the line",
		`{"vote":"bar","color":1}`:        `json: unknown field "color"`,
		`{"vote":"bar","penalty":1}`:      `a penalty of 1 with the vote "bar": expected none`,
		`{"vote":"penalty"}`:              "a penalty of 0: expected 1 to 1000000",
		`{"vote":"penalty","penalty":-1}`: "a penalty of -1: expected 1 to 1000000",
		`{"vote":""}`:                     `the vote "": expected ok, bar or penalty`,
		`{"ask":"secret"}`:                `asks for "secret": expected "status"`,
		`{"log":1}`:                       "log: expected a text",
		`{"log":"x","level":"loud"}`:      "level: expected debug, info, warn or error",
		`{"vote":"bar","group":"` + strings.Repeat("x", 257) + `"}`:     "a group's name of 257 bytes: expected at most 256",
		"[" + strings.Repeat(`{"vote":"ok"},`, 4000) + `{"vote":"ok"}]`: "4001 votes in one line: expected at most 4000",
	} {
		_, err := parseLine([]byte(line))
		if err == nil && want != "" || err != nil && err.Error() != want {
			t.Errorf("%.60s: got error %v, want %q", line, err, want)
		}
	}
}

// What a Go plugin says comes over as it was said.
func TestVotesTravel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Vote{
			Group:  rapid.StringMatching(`[a-z0-9./:-]{0,20}`).Draw(t, "group"),
			Reason: rapid.StringMatching(`([a-z]+[ "\\/]?)*[a-z]`).Draw(t, "reason"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "opinion") {
		case 1:
			v.Bar = true
		case 2:
			v.Penalty = rapid.IntRange(1, MaxPenalty).Draw(t, "penalty")
		}
		if len(v.Reason) > 200 {
			v.Reason = v.Reason[:100] + "x"
		}
		line, err := json.Marshal(v.line())
		if err != nil {
			t.Fatal(err)
		}
		h, err := parseLine(line)
		if err != nil || len(h.votes) != 1 || h.votes[0] != v {
			t.Fatalf("%s came over as %+v, %v", line, h, err)
		}
	})
}

// FuzzParseLine: whatever a program writes is understood within bounds, or refused.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{
		`{"vote":"bar","reason":"no disk"}`, `{"vote":"penalty","penalty":5,"group":"web"}`, `[{"vote":"ok"},{"vote":"bar","group":"a"}]`,
		`{"log":"x","level":"INFO","a":{"b":[1,2]}}`, `{"ask":"status"}`, `{"vote":"bar"`, "\x00", `[[[[[[`, `{"vote":{"vote":"ok"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		h, err := parseLine(line)
		if err != nil {
			if h.votes != nil || h.record != nil || h.status {
				t.Errorf("%q is refused and has a meaning: %+v", line, h)
			}
			return
		}
		for _, v := range h.votes {
			if v.Penalty < 0 || v.Penalty > MaxPenalty || v.Bar && v.Penalty > 0 || len(v.Group) > maxName || len(v.Reason) > 300 || strings.ContainsAny(v.Reason, "\n\r\x1b") {
				t.Errorf("%q votes %+v", line, v)
			}
		}
		if r := h.record; r != nil && (r.NumAttrs() > maxAttrs || len(r.Message) > 300) {
			t.Errorf("%q logs %d attributes, %d bytes", line, r.NumAttrs(), len(r.Message))
		}
	})
}

func TestPace(t *testing.T) {
	p, now := newPace(3, 2), time.Unix(0, 0)
	for i, want := range []time.Duration{0, 0, 0, 500 * time.Millisecond} {
		if got := p.take(now); got != want {
			t.Errorf("take %d: wait %v, want %v", i, got, want)
		}
	}
	now = now.Add(500 * time.Millisecond)
	if a, b := p.take(now), p.take(now); a != 0 || b == 0 {
		t.Errorf("half a second later: %v and %v, want one", a, b)
	}
	now = now.Add(time.Hour)
	for range 3 {
		if d := p.take(now); d != 0 {
			t.Errorf("an hour later: wait %v", d)
		}
	}
	if p.take(now) == 0 {
		t.Error("an hour of silence allows more than the burst")
	}
}
