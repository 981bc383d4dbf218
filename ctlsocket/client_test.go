package ctlsocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestClient(t *testing.T) {
	d := &fake{status: full(), do: func(_ context.Context, c Command) (string, error) {
		if c.Verb == Reload {
			return "", &Error{http.StatusUnprocessableEntity, "two faults", "mend them"}
		}
		return "done: " + string(c.Verb), nil
	}}
	path, _ := start(t, d)
	c := &Client{Socket: path}
	ctx := t.Context()
	same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{})}

	status, err := c.Status(ctx)
	if diff := cmp.Diff(full(), status, same); err != nil || diff != "" {
		t.Errorf("Status: %v (-want +got):\n%s", err, diff)
	}
	peers, err := c.Peers(ctx)
	if diff := cmp.Diff(full().Peers, peers, same); err != nil || diff != "" {
		t.Errorf("Peers: %v (-want +got):\n%s", err, diff)
	}
	for _, word := range []string{"web", `a "leader"`, "10.8.3.38/24", "2001:db8::1"} {
		want, _ := full().Explain(word)
		got, err := c.Explain(ctx, word)
		if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
			t.Errorf("Explain %q: %v (-want +got):\n%s", word, err, diff)
		}
	}
	for _, verb := range []Verb{Drain, Undrain} {
		message, err := c.Do(ctx, Command{Verb: verb})
		if want := "done: " + string(verb); err != nil || message != want {
			t.Errorf("%s: %q, %v, want %q", verb, message, err, want)
		}
	}

	for _, r := range []struct {
		what     string
		ask      func() error
		want     Error
		answered bool
	}{
		{"reload", func() error { _, err := c.Do(ctx, Command{Verb: Reload}); return err },
			Error{422, "two faults", "mend them"}, true},
		{"no such verb", func() error { _, err := c.Do(ctx, Command{Verb: "no/such?"}); return err },
			Error{404, noSuchCommand, ""}, false},
		{"no such path", func() error { _, err := c.Get(ctx, "/nosuch"); return err },
			Error{404, noSuchCommand, ""}, false},
	} {
		var got *Error
		if err := r.ask(); !errors.As(err, &got) {
			t.Errorf("%s: %v, want an *Error", r.what, err)
			continue
		}
		if *got != r.want || got.Answered() != r.answered {
			t.Errorf("%s: %+v, answered %v, want %+v, %v", r.what, *got, got.Answered(), r.want, r.answered)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()

	says := func(answer string) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				// One read takes the request, which is small.
				_, _ = theirs.Read(make([]byte, maxHeader))
				_, _ = io.WriteString(theirs, answer)
			}()
			return ours, nil
		}
	}
	for _, c := range []struct {
		what   string
		client Client
		cause  error
		says   string
	}{
		{"nothing there", Client{Socket: dir + "/none"}, fs.ErrNotExist, "no daemon at " + dir + "/none: is vippyd running?"},
		{"a dead daemon's socket", Client{Socket: dead}, nil, "no daemon at " + dead + ": is vippyd running?"},
		{"a file", Client{Socket: file}, nil, file + " is no socket: "},
		{"no permission", Client{Dial: func(context.Context) (net.Conn, error) {
			return nil, &os.SyscallError{Syscall: "connect", Err: fs.ErrPermission}
		}},
			fs.ErrPermission, "no permission to ask the daemon at /var/run/vippy.socket: use sudo, or join the group vippy"},
		{"hangs up", Client{Dial: says("")}, io.ErrUnexpectedEOF, "ask the daemon at /var/run/vippy.socket: "},
		{"not HTTP", Client{Dial: says("220 mail ESMTP\r\n")}, nil, "ask the daemon at /var/run/vippy.socket: "},
		{"not JSON", Client{Dial: says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>")}, nil, "its answer is not that of a vippyd"},
		{"an error that is not JSON", Client{Dial: says("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n<htm>")}, nil, "its answer is not that of a vippyd"},
		{"a redirect", Client{Dial: says("HTTP/1.1 301 Moved\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n")}, nil, "its answer is not that of a vippyd"},
		{"breaks off", Client{Dial: says("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")}, io.ErrUnexpectedEOF, "ask the daemon at"},
		{"never ends", Client{Dial: says("HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", maxAnswer+1))}, nil, "its answer is longer than"},
	} {
		_, err := c.client.Status(t.Context())
		var no *NoAnswer
		if !errors.As(err, &no) {
			t.Errorf("%s: %v, want a *NoAnswer", c.what, err)
			continue
		}
		if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v: does not say %q", c.what, err, c.says)
		}
		if c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: %v, want %v", c.what, err, c.cause)
		}
	}
}

// A stopped daemon's kernel still takes the call.
func TestHungDaemon(t *testing.T) {
	path := socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = (&Client{Socket: path}).Status(ctx)
	if want := "the daemon at " + path + " does not answer: is it stopped or hung?"; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// Who is one too many learns why, although nobody read the request.
func TestClientIsOneTooMany(t *testing.T) {
	path, _ := start(t, &fake{})
	for range perUser {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 50 {
		_, err := (&Client{Socket: path}).Status(t.Context())
		var refused *Error
		if !errors.As(err, &refused) || refused.Code != http.StatusServiceUnavailable {
			t.Fatalf("%v, want code 503", err)
		}
	}
}

// What a newer daemon adds gets through to who asked for JSON.
func TestGetKeepsUnknownFields(t *testing.T) {
	const text = `{"identity":"node1","tomorrow":[1,2]}`
	l, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(l) }()
	got, err := (&Client{Socket: l.Addr().String()}).Get(t.Context(), "/status")
	if err != nil || string(got) != text {
		t.Errorf("%s, %v, want %s", got, err, text)
	}
	hs.Close()
	<-served
}

func TestErrorText(t *testing.T) {
	for e, want := range map[Error]string{
		{409, "not drained", ""}:            "not drained",
		{409, "not drained", "drain first"}: "not drained (drain first)",
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if data, err := json.Marshal(&Error{409, "a", "b"}); err != nil || string(data) != `{"error":"a","hint":"b"}` {
		t.Errorf("%s, %v", data, err)
	}
}
