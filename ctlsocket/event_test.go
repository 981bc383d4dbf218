package ctlsocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHistoryForgetsTheOldest(t *testing.T) {
	var h History
	if events, more := h.After(0); len(events) != 0 || more == nil {
		t.Errorf("an empty history has %d events", len(events))
	}
	const all = 2*remembered + 7
	for range all {
		h.Add(Event{Kind: "taken", Lost: 3})
	}
	for _, c := range []struct{ after, first, lost uint64 }{
		{0, remembered + 8, remembered + 7},
		{remembered, remembered + 8, 7},
		{remembered + 7, remembered + 8, 0},
		{all - 1, all, 0},
		{all + 1, remembered + 8, remembered + 7}, // another daemon's number
	} {
		var got []Event
		for seq := c.after; ; {
			events, more := h.After(seq)
			if more != nil {
				break
			}
			got = append(got, events...)
			seq = got[len(got)-1].Seq
		}
		if got[0].Seq != c.first || got[0].Lost != c.lost || len(got) != int(all-c.first+1) {
			t.Errorf("after %d: %d events from %d on, %d lost; want %d from %d on, %d lost",
				c.after, len(got), got[0].Seq, got[0].Lost, all-c.first+1, c.first, c.lost)
		}
		for i, e := range got {
			if e.Seq != c.first+uint64(i) || i > 0 && e.Lost != 0 {
				t.Fatalf("after %d: event %d has number %d, lost %d", c.after, i, e.Seq, e.Lost)
			}
		}
	}
}

// A history that goes on numbers and forgets as if there were no seam.
func TestHistoryGoesOn(t *testing.T) {
	for _, c := range []struct{ before, handed, after, first uint64 }{
		{0, 10, 5, 1},
		{5, 10, 0, 1},
		{5, 10, 3, 1},
		{5, 3, 3, 3},
		{remembered + 5, 10, 3, remembered - 4},
		{remembered + 5, 10, remembered + 2, remembered + 8},
		{remembered + 5, 2 * remembered, 1, 7},
	} {
		var old, h History
		for range c.before {
			old.Add(Event{Kind: "taken"})
		}
		h.GoOn(old.Newest(int(c.handed)))
		for range c.after {
			h.Add(Event{Kind: "released"})
		}
		seq := c.first
		for all := c.before + c.after; ; {
			events, more := h.After(seq - 1)
			if more != nil {
				if seq != all+1 {
					t.Errorf("%+v: the last number is %d, want %d", c, seq-1, all)
				}
				break
			}
			for _, e := range events {
				if kind := map[bool]string{true: "taken", false: "released"}[seq <= c.before]; e.Seq != seq || e.Kind != kind || e.Lost != 0 {
					t.Fatalf("%+v: got %+v, want %s with number %d", c, e, kind, seq)
				}
				seq++
			}
		}
		if events, _ := h.After(0); len(events) > 0 && events[0].Seq != c.first {
			t.Errorf("%+v: the oldest is %d", c, events[0].Seq)
		}
	}
}

// collect reads the events that a daemon remembers.
func collect(t *testing.T, c *Client, after uint64) (kinds []string) {
	t.Helper()
	err := c.Events(t.Context(), after, false, func(e Event) error {
		kinds = append(kinds, fmt.Sprint(e.Seq, " ", e.Kind))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return kinds
}

func TestEvents(t *testing.T) {
	d := &fake{}
	path, stop := start(t, d)
	c := &Client{Socket: path}
	if got := collect(t, c, 0); got != nil {
		t.Errorf("before anything happened: %q", got)
	}
	d.Add(Event{Kind: "taking", Group: "web<1>", Reason: "b is silent"})
	d.Add(Event{Kind: "taken", Group: "web<1>"})
	if got, want := collect(t, c, 0), []string{"1 taking", "2 taken"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := collect(t, c, 1), []string{"2 taken"}; !slices.Equal(got, want) {
		t.Errorf("after 1: %q, want %q", got, want)
	}
	if got := collect(t, c, 2); got != nil {
		t.Errorf("after 2: %q", got)
	}

	// Who follows gets what is remembered, then what happens, and may stop at any time.
	enough := errors.New("enough")
	var got []string
	err := c.Events(t.Context(), 1, true, func(e Event) error {
		got = append(got, e.Kind)
		switch e.Kind {
		case "taken":
			d.Add(Event{Kind: "moved"})
		case "moved":
			return enough
		}
		return nil
	})
	if want := []string{"taken", "moved"}; !errors.Is(err, enough) || !slices.Equal(got, want) {
		t.Errorf("followed %q, %v, want %q, %v", got, err, want, enough)
	}

	// The end of the daemon ends the answer in good order.
	err = c.Events(t.Context(), 2, true, func(Event) error {
		go func() { _ = stop() }()
		return nil
	})
	if err != nil {
		t.Errorf("a daemon that stops: %v", err)
	}
}

func TestEventsRefusals(t *testing.T) {
	path, _ := start(t, &fake{})
	for query, answer := range map[string]string{
		"after=x":      `{"error":"after: \"x\" is not one","hint":"events takes after=SEQ, a number, and follow=false"}`,
		"after=-1":     `{"error":"after: \"-1\" is not one","hint":"events takes after=SEQ, a number, and follow=false"}`,
		"follow=maybe": `{"error":"follow: \"maybe\" is not one","hint":"events takes after=SEQ, a number, and follow=false"}`,
		"before=3":     `{"error":"unknown parameter \"before\"","hint":"events takes after=SEQ and follow=false"}`,
	} {
		if code, got := exchange(t, path, request("GET", "/events?"+query, "")); code != 400 || got != answer {
			t.Errorf("%s: %d %s, want %s", query, code, got, answer)
		}
	}
}

// Who reads too slowly loses the oldest events and is told how many; whoever adds them
// doesn't wait for him.
func TestSlowFollower(t *testing.T) {
	d := &fake{}
	path, _ := start(t, d)
	conn := ask(t, path, request("GET", "/events", ""))
	// Far more than the buffers between the two ends hold.
	const all = 20 * remembered
	for range all {
		d.Add(Event{Kind: "conflict", Reason: strings.Repeat("x", 200)})
	}
	d.Add(Event{Kind: "stopping"})
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	var read, lost uint64
	lines := bufio.NewScanner(resp.Body)
	var c Client
	for lines.Scan() {
		var e Event
		if err := c.decode(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		read, lost = read+1, lost+e.Lost
		if e.Seq != read+lost {
			t.Fatalf("event %d came after %d others and %d lost ones", e.Seq, read-1, lost)
		}
		if e.Kind == "stopping" {
			break
		}
	}
	if read+lost != all+1 || lost == 0 {
		t.Errorf("%d read and %d lost of %d", read, lost, all+1)
	}
}

// Streams are counted apart: who has many of them open can still ask for the status, and
// at some point gets no more.
func TestManyStreams(t *testing.T) {
	d := &fake{status: full()}
	d.Add(Event{Kind: "taken"})
	path, _ := start(t, d)
	for range streamsPerUser {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request("GET", "/events", "")); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	c := &Client{Socket: path}
	var refused *Error
	err := c.Events(t.Context(), 0, true, func(Event) error { return nil })
	if !errors.As(err, &refused) || refused.Code != 503 || refused.Hint != "at most 64 per user" {
		t.Errorf("one stream too many: %v", err)
	}
	if err := c.Tenure(t.Context(), "web", func(Tenure) error { return nil }); !errors.As(err, &refused) || refused.Message != "too many streams" {
		t.Errorf("one stream too many of another kind: %v", err)
	}
	if got := collect(t, c, 0); len(got) != 1 {
		t.Errorf("what ends at once is no stream: %q", got)
	}
}

// A follower that hangs up makes room again.
func TestStreamsEnd(t *testing.T) {
	d := &fake{}
	d.Add(Event{Kind: "taken"})
	path, _ := start(t, d)
	c := &Client{Socket: path}
	for range 3 * streamsPerUser {
		ctx, cancel := context.WithCancel(t.Context())
		err := c.Events(ctx, 0, true, func(Event) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

// Whether this node has a group is asked by any of its names.
func TestTenure(t *testing.T) {
	want := []Tenure{{"web", false, 0}, {"web", true, 950}, {"web", true, 800}, {"web", false, 0}}
	d := &fake{status: full(), tenures: want}
	path, stop := start(t, d)
	c := &Client{Socket: path}
	for _, word := range []string{"web", "00112233445566aa", "10.8.3.38", "10.8.3.38/24"} {
		var got []Tenure
		enough := errors.New("enough")
		err := c.Tenure(t.Context(), word, func(t Tenure) error {
			if got = append(got, t); len(got) == len(want) {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", word, got, err, want)
		}
	}
	var refused *Error
	err := c.Tenure(t.Context(), "nosuch", func(Tenure) error { return nil })
	if !errors.As(err, &refused) || refused.Code != 404 || refused.Message != `no group "nosuch"` {
		t.Errorf("no such group: %v", err)
	}
	if code, answer := exchange(t, path, request("GET", "/tenure/", "")); code != 404 || answer != `{"error":"no such command"}` {
		t.Errorf("without a group: %d %s", code, answer)
	}
	told := 0
	err = c.Tenure(t.Context(), "web", func(Tenure) error {
		if told++; told == len(want) {
			go func() { _ = stop() }()
		}
		return nil
	})
	if err != nil {
		t.Errorf("a daemon that stops: %v", err)
	}
}
