package ctlsocket

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// FuzzRequest sends what a stranger may send. Whatever it is, the answer is one JSON
// value (or lines: the metrics and the events), and only a POST of a known verb with an empty or empty-object
// body makes a change.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, path, body string }{
		{"GET", "/status", ""},
		{"GET", "/peers", ""},
		{"GET", "/metrics", ""},
		{"GET", "/events", ""},
		{"GET", "/events?after=2&follow=false", ""},
		{"GET", "/events?after=-1&after=%zz;follow", ""},
		{"GET", "/groups/web?if_down=node1", ""},
		{"GET", "/groups/10.8.3.38/24", ""},
		{"GET", "/tenure/web", ""},
		{"GET", "/groups/%2e%2e%2fweb\x00", ""},
		{"POST", "/drain", "{}"},
		{"POST", "/drain", `{"verb":"reload"}`},
		{"POST", "/drain", "{}\v"},
		{"POST", "/reload", `{"a":1}`},
		{"POST", "/undrain", "[{}]"},
		{"POST", "/drain", `{"node":"node2","for":1800}`},
		{"POST", "/move", `{"group":"web","node":"node2"}`},
		{"POST", "/rebalance", ""},
		{"DELETE", "//drain", "\xff"},
	} {
		f.Add(seed.method, seed.path, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		path, query, _ := strings.Cut(target, "?")
		var made []Command
		s := &server{owner: uint32(os.Geteuid()), daemon: &fake{status: full(), do: func(_ context.Context, c Command) (string, error) {
			made = append(made, c)
			return "done", nil
		}}}
		gone, cancel := context.WithCancel(t.Context()) // who hangs up gets no endless answer
		cancel()
		peer := &guardedConn{peer: process{uid: s.owner}}
		r := (&http.Request{
			Method: method,
			URL:    &url.URL{Path: path, RawQuery: query},
			Body:   io.NopCloser(bytes.NewReader(body)),
		}).WithContext(context.WithValue(gone, connKey{}, peer))
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)

		isLines := method == http.MethodGet && (path == "/metrics" || path == "/events" || strings.HasPrefix(path, "/tenure/"))
		if !isLines && !json.Valid(w.Body.Bytes()) {
			t.Errorf("the answer is not JSON: %q", w.Body)
		}
		verb, known := strings.CutPrefix(path, "/")
		known = known && slices.Contains(Verbs, Verb(verb))
		var object map[string]any
		empty := len(bytes.Trim(body, jsonSpace)) == 0 ||
			json.Unmarshal(body, &object) == nil && object != nil && len(object) == 0
		asked := method == http.MethodPost && known && verb != string(Move) && empty && len(body) <= maxBody
		// What a body with fields means is for check to say; here it is only that nothing else is made.
		fields := method == http.MethodPost && known && len(object) > 0 && len(made) == 1 && made[0].Verb == Verb(verb) && made[0].check() == nil
		for i := range made {
			if made[i].By == "" {
				t.Error("nobody asked for it")
			}
			made[i].By = ""
		}
		switch {
		case fields:
		case asked && (len(made) != 1 || made[0] != Command{Verb: Verb(verb)} || w.Code != 200):
			t.Errorf("asked for %s: %v was made, code %d", verb, made, w.Code)
		case !asked && len(made) > 0:
			t.Errorf("%s %q %q made %v", method, path, body, made)
		case !asked && method != http.MethodGet && w.Code < 400:
			t.Errorf("%s %q %q: code %d", method, path, body, w.Code)
		}
	})
}
