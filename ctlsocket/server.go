package ctlsocket

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Daemon is what Serve speaks for. Its methods are called concurrently.
type Daemon interface {
	// Status returns the latest status at once; Serve doesn't change it.
	Status() Status
	// Plan returns the plan that rules, and in what others differ from it.
	Plan() PlanReport
	// Events returns what History.After does.
	Events(after uint64) (events []Event, more <-chan struct{})
	// IfDown foretells who would have a group, by its key, if a node was lost.
	IfDown(ctx context.Context, group, node string) (Forecast, error)
	// Tenure calls tell with whether this node has a group, which it has by that name:
	// first, with each change at once, and at the least often enough for the grant to
	// overlap. It returns when ctx or the daemon ends, or with the error of tell.
	Tenure(ctx context.Context, group string, tell func(Tenure) error) error
	// Do makes a change and returns a sentence for the person who asked. It returns
	// early when ctx ends, which it does at the latest when the answer was written. An
	// *Error chooses how a failure is answered.
	Do(ctx context.Context, c Command) (string, error)
}

// What one connection may cost. It carries one request, so that nobody keeps one open
// for nothing.
const (
	headerTime = 2 * time.Second
	readTime   = 5 * time.Second
	doTime     = 25 * time.Second
	answerTime = 30 * time.Second
	stopTime   = 500 * time.Millisecond
	maxHeader  = 8 << 10
	maxBody    = 4 << 10
)

// tooMany is the answer to a connection that is one too many, sent without reading.
var tooMany = func() string {
	body := `{"error":"too many connections","hint":"at most ` + fmt.Sprint(perUser) + ` per user"}`
	return fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}()

// Serve answers on l until ctx ends; requests that run then are ended as well. It
// closes l, and returns when every request has ended: nil after ctx ended, else what
// kept it from accepting connections.
func Serve(ctx context.Context, l net.Listener, d Daemon) error {
	return serve(ctx, guard(l), &server{daemon: d, owner: uint32(os.Geteuid())})
}

// serve is Serve for a listener whose connections know who is at the other end.
func serve(ctx context.Context, l net.Listener, s *server) error {
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	hs := &http.Server{
		Handler:                      s,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headerTime,
		ReadTimeout:                  readTime,
		WriteTimeout:                 answerTime,
		MaxHeaderBytes:               maxHeader,
		ErrorLog:                     slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
		BaseContext:                  func(net.Listener) context.Context { return requests },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	hs.SetKeepAlivesEnabled(false)

	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
		// Whose answer ends asks again, and must reach the program that goes on, if any: so
		// nobody is accepted here any more before the first answer ends.
		_ = l.Close()
		<-failed
		end()
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer done()
		// Shutdown waits for answers on their way, but also for clients that connect
		// and say nothing; Close ends those.
		_ = hs.Shutdown(stop)
	case err = <-failed:
		err = fmt.Errorf("management socket: %w", err)
	}
	end()
	_ = hs.Close()
	s.end()
	return err
}

type connKey struct{}

// A server answers requests.
type server struct {
	daemon Daemon
	// owner is the user besides root who may make changes.
	owner uint32
	// busy is held for reading by each request, and for writing by the end.
	busy  sync.RWMutex
	ended bool
}

// end returns when no request runs, and none will.
func (s *server) end() {
	s.busy.Lock()
	defer s.busy.Unlock()
	s.ended = true
}

// ServeHTTP answers one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.busy.RLock()
	defer s.busy.RUnlock()
	if s.ended {
		refuse(w, errStopping)
		return
	}
	verb, known := verbOf(r.URL.Path)
	group, isGroup := strings.CutPrefix(r.URL.Path, "/groups/")
	tenure, isTenure := strings.CutPrefix(r.URL.Path, "/tenure/")
	switch {
	case known && r.Method == http.MethodPost:
		s.change(w, r, verb)
	case known:
		refuse(w, &Error{http.StatusNotFound, noSuchCommand, "a change is asked for by POST " + r.URL.Path})
	case r.Method != http.MethodGet:
		refuse(w, &Error{http.StatusNotFound, noSuchCommand, ""})
	case r.URL.Path == "/status":
		answer(w, http.StatusOK, s.daemon.Status())
	case r.URL.Path == "/peers":
		answer(w, http.StatusOK, list(s.daemon.Status().Peers))
	case r.URL.Path == "/plugins":
		answer(w, http.StatusOK, list(s.daemon.Status().Plugins))
	case r.URL.Path == "/plan":
		answer(w, http.StatusOK, s.daemon.Plan())
	case r.URL.Path == "/metrics":
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = io.WriteString(w, s.daemon.Status().metrics()+goroutines())
	case r.URL.Path == "/events":
		s.events(w, r)
	case isTenure && tenure != "":
		s.tenure(w, r, tenure)
	case isGroup && group != "":
		s.explain(w, r, group)
	default:
		refuse(w, &Error{http.StatusNotFound, noSuchCommand, ""})
	}
}

// noSuchCommand is the ancestor's answer to all that it didn't know.
const noSuchCommand = "no such command"

var errStopping = &Error{http.StatusServiceUnavailable, "the daemon is stopping", ""}

func verbOf(path string) (Verb, bool) {
	v := Verb(strings.TrimPrefix(path, "/"))
	return v, strings.HasPrefix(path, "/") && slices.Contains(Verbs, v)
}

func (s *server) explain(w http.ResponseWriter, r *http.Request, word string) {
	status := s.daemon.Status()
	e, ok := status.Explain(word)
	if !ok {
		refuse(w, noGroup(word))
		return
	}
	if node := r.URL.Query().Get("if_down"); node != "" {
		ctx, cancel := context.WithTimeout(r.Context(), doTime)
		defer cancel()
		f, err := s.daemon.IfDown(ctx, e.Group.Key, node)
		if err != nil {
			refuse(w, asError("explain", err))
			return
		}
		e.IfDown = &f
	}
	answer(w, http.StatusOK, e)
}

func noGroup(word string) error {
	hint := "a group goes by its name, its key or one of its addresses; vippyctl status lists them"
	return &Error{http.StatusNotFound, fmt.Sprintf("no group %q", word), hint}
}

func (s *server) change(w http.ResponseWriter, r *http.Request, verb Verb) {
	if err := s.mayChange(r.Context()); err != nil {
		refuse(w, err)
		return
	}
	command := Command{Verb: verb, By: callerOf(r.Context())}
	if err := readBody(w, r, &command); err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), doTime)
	defer cancel()
	message, err := s.daemon.Do(ctx, command)
	if err != nil {
		refuse(w, asError(verb, err))
		return
	}
	answer(w, http.StatusOK, Result{OK: true, Message: message})
}

// mayChange refuses all but root and the daemon's own user.
func (s *server) mayChange(ctx context.Context) error {
	c, ok := ctx.Value(connKey{}).(*guardedConn)
	switch {
	case !ok || c.peer.uid == unknownUser:
		return &Error{http.StatusForbidden, "the kernel does not say who asks", "changes are asked for over the unix socket"}
	case c.peer.uid != 0 && c.peer.uid != s.owner:
		who := "root"
		if s.owner != 0 {
			who = fmt.Sprintf("root and user %d", s.owner)
		}
		return &Error{http.StatusForbidden, fmt.Sprintf("user %d may read, but not change anything", c.peer.uid), "only " + who + " may: use sudo"}
	}
	return nil
}

// jsonSpace is what JSON may have around a value (RFC 8259 section 2): less than Unicode's
// white space.
const jsonSpace = " \t\r\n"

// readBody reads the command's JSON object, if there is one.
func readBody(w http.ResponseWriter, r *http.Request, c *Command) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return &Error{http.StatusRequestEntityTooLarge, "the request is too long", fmt.Sprintf("at most %d bytes", maxBody)}
	}
	if err != nil {
		return &Error{http.StatusBadRequest, "the request broke off: " + err.Error(), ""}
	}
	if data = bytes.Trim(data, jsonSpace); len(data) == 0 {
		return c.check()
	}
	hint := c.hint()
	if data[0] != '{' || !json.Valid(data) {
		return &Error{http.StatusBadRequest, "the request is not a JSON object", hint}
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(c); err != nil {
		what := strings.TrimPrefix(err.Error(), "json: ")
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			what = fmt.Sprintf("%s: a %s is not what it takes", wrong.Field, wrong.Value)
		}
		return &Error{http.StatusBadRequest, what, hint}
	}
	return c.check()
}

// asError chooses an answer for whatever a Daemon returned.
func asError(verb Verb, err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return errStopping
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{http.StatusGatewayTimeout, fmt.Sprintf("%s is not done after %s", verb, doTime), "it may still come: vippyctl status tells"}
	}
	return &Error{http.StatusInternalServerError, err.Error(), ""}
}

func refuse(w http.ResponseWriter, err error) {
	e := *err.(*Error)
	if e.Code < 400 || e.Code > 599 {
		e.Code = http.StatusInternalServerError
	}
	e.Message = cmp.Or(e.Message, http.StatusText(e.Code), "failed")
	answer(w, e.Code, e)
}

// answer writes v. An error of the connection is the client's affair.
func answer(w http.ResponseWriter, code int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic("ctlsocket: an answer of plain values must encode: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	_, _ = w.Write(data)
	_ = http.NewResponseController(w).Flush() // before anybody learns that it is answered
}
