package plugin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/internal/child"
	"github.com/vippy-ha/vippy/vipgroup"
)

// protocol is the version of the lines below; see docs/plugins.md. What is added to it
// later leaves what there is alone.
const protocol = 1

// maxLine is the longest line that either side reads, in bytes.
const maxLine = 1 << 20

// The events that are not of a Kind: what the daemon says to one plugin alone.
const (
	// hello comes first.
	hello Kind = "hello"
	// answer carries the status that was asked for.
	answer Kind = "status"
	// stop orders the plugin to end; the end of stdin follows.
	stop Kind = "stop"
)

// A said is one line from the daemon to a plugin.
type said struct {
	Event       Kind           `json:"event"`
	Protocol    int            `json:"protocol,omitempty"`
	Plugin      string         `json:"plugin,omitempty"`
	Time        time.Time      `json:"time,omitzero"`
	Group       string         `json:"group,omitempty"`
	Key         string         `json:"key,omitempty"`
	Addresses   []netip.Prefix `json:"addresses,omitempty"`
	Node        string         `json:"node,omitempty"`
	Former      string         `json:"former,omitempty"`
	Reason      string         `json:"reason,omitempty"`
	PlanVersion uint64         `json:"plan_version,omitempty"`
	Lost        int            `json:"lost,omitempty"`
	Status      *Status        `json:"status,omitempty"`
}

func eventLine(e Event) said {
	out := said{Event: e.Kind, Time: e.Time, Node: e.Node, Former: e.Former, Reason: e.Reason, PlanVersion: e.PlanVersion, Lost: e.Lost}
	if e.Group.Name == "" {
		return out
	}
	out.Group, out.Key = e.Group.Name, e.Group.Key.String()
	for _, v := range e.Group.VIPs {
		out.Addresses = append(out.Addresses, v.Address)
	}
	return out
}

// event is what a plugin in a process of its own is told. Of the group it has what the
// line has: name, key and addresses.
func (l said) event() Event {
	e := Event{Kind: l.Event, Time: l.Time, Node: l.Node, Former: l.Former, Reason: l.Reason, PlanVersion: l.PlanVersion, Lost: l.Lost}
	e.Group.Name = l.Group
	if key, err := hex.DecodeString(l.Key); err == nil && len(key) == len(e.Group.Key) {
		e.Group.Key = vipgroup.Key(key)
	}
	for _, a := range l.Addresses {
		e.Group.VIPs = append(e.Group.VIPs, vipgroup.VIP{Address: a})
	}
	return e
}

// A heard is what one line of a plugin means: one of the three.
type heard struct {
	votes  []Vote
	record *slog.Record
	status bool // it asks for the status
}

// The opinions that a line can give, and the levels that it can log at.
const (
	opinionOK      = "ok"
	opinionBar     = "bar"
	opinionPenalty = "penalty"
)

// A ballotLine is how a vote is written.
type ballotLine struct {
	Vote    string `json:"vote"`
	Group   string `json:"group,omitempty"`
	Penalty int    `json:"penalty,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

func (v Vote) line() ballotLine {
	out := ballotLine{Vote: opinionOK, Group: v.Group, Reason: v.Reason}
	switch {
	case v.Bar:
		out.Vote = opinionBar
	case v.Penalty > 0:
		out.Vote, out.Penalty = opinionPenalty, v.Penalty
	}
	return out
}

func (b ballotLine) vote() (Vote, error) {
	v := Vote{Group: b.Group, Reason: child.Line([]byte(b.Reason))}
	switch {
	case b.Vote == opinionPenalty && (b.Penalty < 1 || b.Penalty > MaxPenalty):
		return v, fmt.Errorf("a penalty of %d: expected 1 to %d", b.Penalty, MaxPenalty)
	case b.Vote != opinionPenalty && b.Penalty != 0:
		return v, fmt.Errorf("a penalty of %d with the vote %q: expected none", b.Penalty, b.Vote)
	case len(b.Group) > maxName:
		return v, fmt.Errorf("a group's name of %d bytes: expected at most %d", len(b.Group), maxName)
	case b.Vote == opinionPenalty:
		v.Penalty = b.Penalty
	case b.Vote == opinionBar:
		v.Bar = true
	case b.Vote != opinionOK:
		return v, fmt.Errorf("the vote %q: expected ok, bar or penalty", b.Vote)
	}
	return v, nil
}

// maxName is the longest word for a group, in bytes.
const maxName = 256

// parseLine understands a line of a plugin, or says what is wrong with it.
func parseLine(line []byte) (heard, error) {
	line = bytes.TrimSpace(line)
	if len(line) > 0 && line[0] == '[' {
		var ballots []ballotLine
		if err := strictly(line, &ballots); err != nil {
			return heard{}, err
		}
		if len(ballots) > maxSubjects {
			return heard{}, fmt.Errorf("%d votes in one line: expected at most %d", len(ballots), maxSubjects)
		}
		return votesOf(ballots)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(line, &keys); err != nil || keys == nil {
		return heard{}, errors.New("expected an object, or a list of votes")
	}
	switch {
	case keys["vote"] != nil:
		var b ballotLine
		if err := strictly(line, &b); err != nil {
			return heard{}, err
		}
		return votesOf([]ballotLine{b})
	case keys["log"] != nil:
		return parseLog(keys)
	case keys["ask"] != nil:
		var ask struct{ Ask string }
		if err := strictly(line, &ask); err != nil {
			return heard{}, err
		}
		if ask.Ask != string(answer) {
			return heard{}, fmt.Errorf(`asks for %q: expected "status"`, ask.Ask)
		}
		return heard{status: true}, nil
	}
	return heard{}, errors.New(`expected one of the keys "vote", "log" and "ask"`)
}

func votesOf(ballots []ballotLine) (heard, error) {
	var out heard
	for _, b := range ballots {
		v, err := b.vote()
		if err != nil {
			return heard{}, err
		}
		out.votes = append(out.votes, v)
	}
	return out, nil
}

// maxAttrs is how many attributes of a log line are kept.
const maxAttrs = 16

// parseLog reads what a slog.JSONHandler with the message under "log" writes: further
// keys are attributes.
func parseLog(keys map[string]json.RawMessage) (heard, error) {
	var text, level string
	if err := json.Unmarshal(keys["log"], &text); err != nil {
		return heard{}, errors.New("log: expected a text")
	}
	l := slog.LevelInfo
	if raw := keys["level"]; raw != nil {
		if json.Unmarshal(raw, &level) != nil || l.UnmarshalText([]byte(level)) != nil {
			return heard{}, errors.New("level: expected debug, info, warn or error")
		}
	}
	r := slog.NewRecord(time.Now(), l, child.Line([]byte(text)), 0)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key == "log" || key == "level" || r.NumAttrs() >= maxAttrs {
			continue
		}
		value := string(keys[key])
		if s := ""; json.Unmarshal(keys[key], &s) == nil {
			value = s
		}
		r.AddAttrs(slog.String(child.Line([]byte(key)), child.Line([]byte(value))))
	}
	return heard{record: &r}, nil
}

// strictly decodes one JSON value without keys that are not known.
func strictly(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("expected the end of the line")
	}
	return nil
}
