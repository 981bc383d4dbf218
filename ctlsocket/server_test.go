package ctlsocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Daemon whose changes are what the test says.
type fake struct {
	status  Status
	tenures []Tenure
	History
	do func(context.Context, Command) (string, error)
}

func (f *fake) Status() Status { return f.status }

func (f *fake) Plan() PlanReport { return PlanReport{Identity: f.Status().Identity} }

func (f *fake) Events(after uint64) ([]Event, <-chan struct{}) { return f.After(after) }

func (f *fake) IfDown(_ context.Context, group, node string) (Forecast, error) {
	if node == "nobody" {
		return Forecast{}, &Error{Code: http.StatusNotFound, Message: "no node \"nobody\"", Hint: "vippyctl peers lists them"}
	}
	return Forecast{Node: node, Owner: "node3", Reason: "has " + group}, nil
}

// Tenure tells what the test says, and then nothing more.
func (f *fake) Tenure(ctx context.Context, group string, tell func(Tenure) error) error {
	for _, t := range f.tenures {
		t.Group = group
		if err := tell(t); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Do(ctx context.Context, c Command) (string, error) {
	if f.do == nil {
		return "done: " + string(c.Verb), nil
	}
	return f.do(ctx, c)
}

// start serves d on a real socket and returns its path, and a function that ends Serve
// and returns its error.
func start(t *testing.T, d Daemon) (path string, stop func() error) {
	t.Helper()
	path = socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, d) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path, stop
}

// exchange sends raw bytes and returns the answer's status code and body.
func exchange(t *testing.T, path, request string) (int, string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	code, body := converse(t, c, request)
	// When the server has hung up it has also forgotten the connection.
	if _, err := io.Copy(io.Discard, c); err != nil && !hungUp(err) {
		t.Error(err)
	}
	return code, body
}

// ask sends a request, and leaves the answer to be read.
func ask(t *testing.T, path, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

func converse(t *testing.T, c net.Conn, request string) (int, string) {
	t.Helper()
	// The server may have answered and hung up before it read everything.
	if _, err := io.WriteString(c, request); err != nil && !hungUp(err) {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && !hungUp(err) {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// hungUp says whether the other end closed without reading everything.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func request(method, path, body string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body)
}

func TestRequests(t *testing.T) {
	const unknown = `{"error":"no such command"}`
	d := &fake{status: full(), do: func(_ context.Context, c Command) (string, error) {
		switch c.Verb {
		case Drain:
			return "drained", nil
		case Undrain:
			return "", fmt.Errorf("by the core: %w", &Error{Code: http.StatusConflict, Message: "not drained", Hint: "drain first"})
		}
		return "", errors.New("disk on fire")
	}}
	path, _ := start(t, d)
	peers, err := json.Marshal(full().Peers)
	if err != nil {
		t.Fatal(err)
	}
	status, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		answer             string
	}{
		{"GET", "/status", "", 200, string(status)},
		{"GET", "/status?pretty", "", 200, string(status)},
		{"GET", "/peers", "", 200, string(peers)},
		{"GET", "/plugins", "", 200, `[{"name":"disk","program":["/p/disk"],"running":false,"restarts":3,"failure":"ended","voted":true,"votes":[{"group":"web","bar":true,"reason":"full"}],"stderr":"oops"},{"name":"web","running":true,"pid":7,"restarts":0,"voted":false,"votes":[]}]`},

		{"POST", "/drain", "", 200, `{"ok":true,"message":"drained"}`},
		{"POST", "/drain", " {} \n", 200, `{"ok":true,"message":"drained"}`},
		{"POST", "/undrain", "{}", 409, `{"error":"not drained","hint":"drain first"}`},
		{"POST", "/reload", "", 500, `{"error":"disk on fire"}`},

		// The ancestor's answer, and a hint for who forgot to POST.
		{"GET", "/", "", 404, unknown},
		{"GET", "/nosuch", "", 404, unknown},
		{"POST", "/nosuch", "", 404, unknown},
		{"GET", "/status/", "", 404, unknown},
		{"GET", "//status", "", 404, unknown},
		{"GET", "/../status", "", 404, unknown},
		{"GET", "/groups/", "", 404, unknown},
		{"GET", "/groups", "", 404, unknown},
		{"POST", "/status", "", 404, unknown},
		{"PUT", "/status", "", 404, unknown},
		{"OPTIONS", "*", "", 404, unknown},
		{"DELETE", "/groups/web", "", 404, unknown},
		{"GET", "/drain", "", 404, `{"error":"no such command","hint":"a change is asked for by POST /drain"}`},

		{"GET", "/groups/nosuch", "", 404, `{"error":"no group \"nosuch\"","hint":"a group goes by its name, its key or one of its addresses; vippyctl status lists them"}`},
		{"GET", "/groups/web?if_down=nobody", "", 404, `{"error":"no node \"nobody\"","hint":"vippyctl peers lists them"}`},
		{"POST", "/drain", "[]", 400, `{"error":"the request is not a JSON object","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", "{", 400, `{"error":"the request is not a JSON object","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", "{} {}", 400, `{"error":"the request is not a JSON object","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", "null", 400, `{"error":"the request is not a JSON object","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", `{"groups": "web"}`, 400, `{"error":"unknown field \"groups\"","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", `{"for": "1h"}`, 400, `{"error":"for: a string is not what it takes","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/drain", `{"for": -1}`, 400, `{"error":"for: -1 is not a number of seconds from 1 to 31536000"}`},
		{"POST", "/drain", `{"for": 0.5}`, 400, `{"error":"for: 0.5 is not a number of seconds from 1 to 31536000"}`},
		{"POST", "/drain", `{"for": 1e9}`, 400, `{"error":"for: 1e+09 is not a number of seconds from 1 to 31536000"}`},
		{"POST", "/drain", `{"group": "web"}`, 400, `{"error":"drain has no \"group\"","hint":"drain takes a JSON object of node, for"}`},
		{"POST", "/undrain", `{"for": 5}`, 400, `{"error":"undrain has no \"for\"","hint":"undrain takes a JSON object of node"}`},
		{"POST", "/move", `{"group": "web"}`, 400, `{"error":"move needs a group and a node","hint":"move takes a JSON object of group, node"}`},
		{"POST", "/move", "", 400, `{"error":"move needs a group and a node","hint":"move takes a JSON object of group, node"}`},
		{"POST", "/move", `{"group": "web", "node": "node2", "for": 5}`, 400, `{"error":"move has no \"for\"","hint":"move takes a JSON object of group, node"}`},
		{"POST", "/rebalance", `{"node": "node2"}`, 400, `{"error":"rebalance has no \"node\"","hint":"rebalance takes an empty body or {}"}`},
		{"POST", "/leave", `{"node": "node2"}`, 400, `{"error":"leave has no \"node\"","hint":"leave takes an empty body or {}"}`},
		{"POST", "/reload", `{"for": 5}`, 400, `{"error":"reload has no \"for\"","hint":"reload takes an empty body or {}"}`},
		{"POST", "/reload", "[]", 400, `{"error":"the request is not a JSON object","hint":"reload takes an empty body or {}"}`},
		{"POST", "/drain", strings.Repeat(" ", maxBody+1), 413, `{"error":"the request is too long","hint":"at most 4096 bytes"}`},
	} {
		code, answer := exchange(t, path, request(c.method, c.path, c.body))
		if code != c.code {
			t.Errorf("%s %s %.40s: code %d, want %d", c.method, c.path, c.body, code, c.code)
		}
		if diff := cmp.Diff(c.answer, answer); diff != "" {
			t.Errorf("%s %s %.40s (-want +got):\n%s", c.method, c.path, c.body, diff)
		}
	}
}

// What the ancestor's client sends, and what HTTP's older ones do, is answered.
func TestOldClients(t *testing.T) {
	path, _ := start(t, &fake{status: full()})
	status, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		bytes  string
		code   int
		answer string
	}{
		{"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", 200, string(status)},
		{"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200, string(status)},
		{"GET /status HTTP/1.0\r\n\r\n", 200, string(status)},
		{"GET /anyword HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", 404, `{"error":"no such command"}`},
	} {
		if code, answer := exchange(t, path, r.bytes); code != r.code || answer != r.answer {
			t.Errorf("%q: %d %s", r.bytes, code, answer)
		}
	}
}

// The metrics are the status's, and how many goroutines there are to serve it.
func TestMetricsOfTheProcess(t *testing.T) {
	path, _ := start(t, &fake{status: full()})
	code, answer := exchange(t, path, request("GET", "/metrics", ""))
	rest, whole := strings.CutPrefix(answer, full().metrics())
	var goroutines int
	_, rest, _ = strings.Cut(rest, " gauge\n")
	if _, err := fmt.Sscanf(rest, "vippy_goroutines %d", &goroutines); err != nil || goroutines < 2 || !whole || code != 200 {
		t.Errorf("code %d, the status's metrics first: %v, then %q (%v)", code, whole, rest, err)
	}
}

func TestExplanationByAnyName(t *testing.T) {
	path, _ := start(t, &fake{status: full()})
	e, _ := full().Explain("web")
	want, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/groups/web", "/groups/00112233445566aa", "/groups/10.8.3.38", "/groups/10.8.3.38/24", "/groups/10.8.3.38%2F24", "/groups/%77eb"} {
		code, answer := exchange(t, path, request("GET", p, ""))
		if code != 200 || answer != string(want) {
			t.Errorf("%s: %d %s", p, code, answer)
		}
	}
}

// Who asks what would be is told of the group that he means, by its key.
func TestForecast(t *testing.T) {
	path, _ := start(t, &fake{status: full()})
	code, answer := exchange(t, path, request("GET", "/groups/10.8.3.38?if_down=node2", ""))
	var e Explanation
	if err := json.Unmarshal([]byte(answer), &e); err != nil || code != 200 {
		t.Fatalf("%d %s (%v)", code, answer, err)
	}
	if want := (Forecast{Node: "node2", Owner: "node3", Reason: "has 00112233445566aa"}); e.IfDown == nil || *e.IfDown != want {
		t.Errorf("got %+v, want %+v", e.IfDown, want)
	}
}

// The daemon is told who asks, as the kernel says, and whatever the body says.
func TestTheCallerIsNamed(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var by string
	path, _ := start(t, &fake{do: func(_ context.Context, c Command) (string, error) {
		by = c.By
		return "done", nil
	}})
	if code, answer := exchange(t, path, request("POST", "/drain", "{}")); code != 200 || by != me.Username {
		t.Errorf("%d %s: asked for by %q, want %q", code, answer, by, me.Username)
	}
	if code, _ := exchange(t, path, request("POST", "/drain", `{"By": "somebody else"}`)); code != 400 {
		t.Errorf("a body that names somebody: code %d", code)
	}
}

// A code that is none must not reach net/http, which panics on it.
func TestErrorsWithoutSense(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   int
		answer string
	}{
		{&Error{Code: 7, Message: "odd"}, 500, `{"error":"odd"}`},
		{&Error{Code: 200}, 500, `{"error":"Internal Server Error"}`},
		{&Error{Code: 599}, 599, `{"error":"failed"}`},
		{context.DeadlineExceeded, 504, `{"error":"drain is not done after 25s","hint":"it may still come: vippyctl status tells"}`},
		{context.Canceled, 503, `{"error":"the daemon is stopping"}`},
	} {
		path, _ := start(t, &fake{do: func(context.Context, Command) (string, error) { return "", c.err }})
		code, answer := exchange(t, path, request("POST", "/drain", ""))
		if code != c.code || answer != c.answer {
			t.Errorf("%v: %d %s, want %d %s", c.err, code, answer, c.code, c.answer)
		}
	}
}

func TestHostileBytes(t *testing.T) {
	d := &fake{do: func(context.Context, Command) (string, error) {
		t.Error("a hostile request made a change")
		return "", nil
	}}
	path, _ := start(t, d)
	for _, c := range []struct {
		what, bytes string
		code        int
	}{
		{"no HTTP", "hello\r\n\r\n", 400},
		{"zeros", "\x00\x00\x00\x00\r\n\r\n", 400},
		{"endless header", "GET /status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<16) + "\r\n\r\n", 431},
		{"endless path", "GET /groups/" + strings.Repeat("x", 1<<16) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431},
		{"endless chunks", "POST /drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("x", 0x400)+"\r\n", 64), 413},
		{"lying length", "POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
		{"bad chunk", "POST /drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if code, answer := converse(t, conn, c.bytes); code != c.code {
			t.Errorf("%s: %d %s, want %d", c.what, code, answer, c.code)
		}
	}
	if code, _ := exchange(t, path, request("GET", "/status", "")); code != 200 {
		t.Errorf("after all that an honest client gets %d", code)
	}
}

// One request a connection: nobody keeps one for nothing.
func TestConnectionEndsWithTheAnswer(t *testing.T) {
	path, _ := start(t, &fake{})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if code, _ := converse(t, c, request("GET", "/status", "")); code != 200 {
		t.Fatalf("code %d", code)
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the answer: %d bytes, %v, want EOF", n, err)
	}
}

func TestTooManyConnections(t *testing.T) {
	path, _ := start(t, &fake{})
	var open []*net.UnixConn
	for range perUser {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	code, answer := exchange(t, path, request("GET", "/status", ""))
	if code != 503 || answer != `{"error":"too many connections","hint":"at most 16 per user"}` {
		t.Errorf("one too many: %d %s", code, answer)
	}
	// One hangs up; when the server has hung up too there is room again.
	if err := open[0].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(open[0]); err != nil {
		t.Fatal(err)
	}
	if code, answer := exchange(t, path, request("GET", "/status", "")); code != 200 {
		t.Errorf("with room again: %d %s", code, answer)
	}
}

// Whoever floods the socket, with requests and with rubbish, gets in nobody else's way.
func TestFlood(t *testing.T) {
	dial := func(path string) (net.Conn, error) { return net.Dial("unix", path) }
	if os.Geteuid() == 0 { // else the flood is one's own, and one is refused now and then
		dial = dialAs(65534)
	}
	path, _ := start(t, &fake{status: full()})
	for _, c := range []struct {
		path string
		mode os.FileMode
	}{{path, 0o666}, {filepath.Dir(path), 0o755}} {
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
	}
	var flood sync.WaitGroup
	for i := range 8 {
		flood.Go(func() {
			for n := range 100 {
				conn, err := dial(path)
				if err != nil {
					t.Error(err)
					return
				}
				switch (i + n) % 4 {
				case 0: // hangs up at once
				case 1:
					_, _ = io.WriteString(conn, request("GET", "/status", ""))
				case 2:
					_, _ = conn.Write(bytes.Repeat([]byte{byte(n)}, 4*maxHeader))
				case 3: // never finishes
					_, _ = io.WriteString(conn, "POST /drain HTTP/1.1\r\nContent-Length: 9\r\n")
					defer conn.Close()
					continue
				}
				conn.Close()
			}
		})
	}
	c := &Client{Socket: path}
	for range 100 {
		_, err := c.Status(t.Context())
		if refused := (*Error)(nil); err != nil && (os.Geteuid() == 0 || !errors.As(err, &refused)) {
			t.Errorf("in the flood: %v", err)
		}
	}
	flood.Wait()
}

// Somebody who is neither root nor the daemon's user reads, but changes nothing, though
// the file's mode lets him in. What the kernel says counts.
func TestStrangersOnlyRead(t *testing.T) {
	const nobody = 65534
	s := &server{owner: uint32(os.Geteuid()), daemon: &fake{do: func(context.Context, Command) (string, error) {
		t.Error("a stranger made a change")
		return "", nil
	}}}
	dial, stranger := func(path string) (net.Conn, error) { return net.Dial("unix", path) }, os.Geteuid()
	if os.Geteuid() == 0 {
		dial, stranger = dialAs(nobody), nobody
	} else {
		// Who may not become another user is the stranger himself, of another's daemon.
		s.owner++
	}
	path := socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
	}{{path, 0o666}, {filepath.Dir(path), 0o755}} {
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, guard(l), s) }()

	type asked struct {
		method, path string
		code         int
		says         string
	}
	all := []asked{
		{"GET", "/status", 200, `"identity"`},
		{"GET", "/events?follow=false", 200, ""},
		{"GET", "/groups/nosuch", 404, "no group"},
	}
	for _, verb := range Verbs {
		why := fmt.Sprintf(`"error":"user %d may read, but not change anything","hint":"only root`, stranger)
		all = append(all, asked{"POST", "/" + string(verb), 403, why})
	}
	for _, c := range all {
		conn, err := dial(path)
		if err != nil {
			t.Fatal(err)
		}
		code, answer := converse(t, conn, request(c.method, c.path, ""))
		conn.Close()
		if code != c.code || !strings.Contains(answer, c.says) {
			t.Errorf("%s %s: %d %s, want %d and %s", c.method, c.path, code, answer, c.code, c.says)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// dialAs connects from a thread that has become another user, and ends with it.
func dialAs(uid int) func(path string) (net.Conn, error) {
	return func(path string) (net.Conn, error) {
		type result struct {
			c   net.Conn
			err error
		}
		done := make(chan result, 1)
		go func() {
			// Never unlocked: the thread ends with the goroutine. The raw call changes
			// this thread alone.
			runtime.LockOSThread()
			id := uintptr(uid)
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, id, id, id); errno != 0 {
				done <- result{nil, os.NewSyscallError("setresuid", errno)}
				return
			}
			c, err := net.Dial("unix", path)
			done <- result{c, err}
		}()
		r := <-done
		return r.c, r.err
	}
}

// Who is refused is told who may; and after the end nobody gets anything.
func TestRefusalsWithoutASocket(t *testing.T) {
	caller := context.WithValue(t.Context(), connKey{}, &guardedConn{peer: process{uid: 1002}})
	for _, c := range []struct {
		s    *server
		code int
		want string
	}{
		{&server{owner: 0}, 403, `{"error":"user 1002 may read, but not change anything","hint":"only root may: use sudo"}`},
		{&server{owner: 1001}, 403, `{"error":"user 1002 may read, but not change anything","hint":"only root and user 1001 may: use sudo"}`},
		{&server{owner: 1002, ended: true}, 503, `{"error":"the daemon is stopping"}`},
	} {
		w := httptest.NewRecorder()
		c.s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/drain", nil).WithContext(caller))
		if w.Code != c.code || w.Body.String() != c.want {
			t.Errorf("%+v: %d %s, want %d %s", c.s, w.Code, w.Body, c.code, c.want)
		}
	}
}

// Where the kernel doesn't say who asks, anybody may be asking.
func TestNoChangesOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, &fake{}) }()
	for _, c := range []struct {
		method, path string
		code         int
		says         string
	}{
		{"GET", "/status", 200, `"identity"`},
		{"POST", "/drain", 403, "the kernel does not say who asks"},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if code, answer := converse(t, conn, request(c.method, c.path, "")); code != c.code || !strings.Contains(answer, c.says) {
			t.Errorf("%s %s: %d %s, want %d and %s", c.method, c.path, code, answer, c.code, c.says)
		}
		conn.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// Serve ends what runs, waits for it, and lets nobody hold it up.
func TestStop(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	path, stop := start(t, &fake{do: func(ctx context.Context, _ Command) (string, error) {
		defer close(ended)
		close(began)
		<-ctx.Done()
		return "", ctx.Err()
	}})
	silent, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	asked := ask(t, path, request("POST", "/drain", ""))
	<-began
	if err := stop(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned while a request ran")
	}
	if code, answer := converse(t, asked, ""); code != 503 {
		t.Errorf("the request got %d %s, want 503", code, answer)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// A lateListener closes once the answers have ended, or after a while.
type lateListener struct {
	net.Listener
	answers <-chan struct{}
	early   chan<- string
}

func (l lateListener) Close() error {
	select {
	case <-l.answers:
		l.early <- "an answer ended while connections were accepted"
	case <-time.After(100 * time.Millisecond):
	}
	return l.Listener.Close()
}

// Whose answer ends may ask the program that goes on: the one that ends accepts nobody then.
func TestStopAcceptsFirst(t *testing.T) {
	path := socketPath(t)
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	began, ended, early := make(chan struct{}), make(chan struct{}), make(chan string, 2)
	d := &fake{do: func(ctx context.Context, _ Command) (string, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return "", ctx.Err()
	}}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, lateListener{guard(l), ended, early}, &server{daemon: d, owner: uint32(os.Geteuid())})
	}()
	ask(t, path, request("POST", "/drain", ""))
	<-began
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	select {
	case fault := <-early:
		t.Error(fault)
	default:
	}
}

func TestServeReportsALostListener(t *testing.T) {
	l, err := Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, &fake{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v, want %v", err, net.ErrClosed)
	}
}
