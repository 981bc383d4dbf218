package docs

import (
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// fields collects the JSON names of a type's fields, and of what is in them.
func fields(x reflect.Type, into map[string]bool, seen map[reflect.Type]bool) {
	switch x.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		fields(x.Elem(), into, seen)
	case reflect.Struct:
		if seen[x] {
			return
		}
		seen[x] = true
		for f := range x.Fields() {
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" && tag != "-" {
				into[tag] = true
				fields(f.Type, into, seen)
			}
		}
	}
}

// TestReferenceIsComplete: each field of what the socket says and is told, each verb, and
// each metric is in the reference.
func TestReferenceIsComplete(t *testing.T) {
	prose, _ := read(t, "docs/reference.md")
	names := map[string]bool{}
	for _, x := range []any{ctlsocket.Status{}, ctlsocket.Explanation{}, ctlsocket.PlanReport{}, ctlsocket.Event{},
		ctlsocket.Tenure{}, ctlsocket.Command{}, ctlsocket.Result{}, ctlsocket.Error{}} {
		fields(reflect.TypeOf(x), names, map[reflect.Type]bool{})
	}
	for _, verb := range ctlsocket.Verbs {
		names[string(verb)] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(newHost(t).metrics(t), -1) {
		names[m[1]] = true
	}
	if len(names) < 100 {
		t.Errorf("only %d names were found", len(names))
	}
	said := map[string]bool{}
	for _, code := range quoted(prose) {
		for _, word := range regexp.MustCompile(`[\w-]+`).FindAllString(code, -1) {
			said[word] = true
		}
	}
	for name := range names {
		if !said[name] {
			t.Errorf("%q is not in the reference", name)
		}
	}
}

// metrics asks the host's daemon for them.
func (h *host) metrics(t *testing.T) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", h.socket)
	}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
