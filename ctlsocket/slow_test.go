package ctlsocket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeListener hands out in-memory connections of the daemon's own user, so that time
// can be synctest's.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return &guardedConn{Conn: c, peer: process{uid: uint32(os.Geteuid())}, close: c.Close}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// inBubble serves d while test runs.
func inBubble(t *testing.T, d Daemon, test func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- serve(ctx, l, &server{daemon: d, owner: uint32(os.Geteuid())}) }()
		test(t, l.dial)
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// Whoever doesn't finish his request is hung up on.
func TestSlowAskers(t *testing.T) {
	for _, c := range []struct {
		what, bytes string
		after       time.Duration
		answer      string
	}{
		{"says nothing", "", headerTime, ""},
		{"stops in the header", "GET /status HTTP/1.1\r\nHost: ", headerTime, ""},
		{"stops in the body", "POST /drain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{", readTime, "the request broke off"},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := &fake{do: func(context.Context, Command) (string, error) {
				t.Error("half a request made a change")
				return "", nil
			}}
			inBubble(t, d, func(t *testing.T, dial func() net.Conn) {
				conn, began := dial(), time.Now()
				defer conn.Close()
				if _, err := io.WriteString(conn, c.bytes); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				// net/http lingers half a second after an answer it gave early.
				if took := time.Since(began); took < c.after || took > c.after+time.Second {
					t.Errorf("hung up after %v, want %v", took, c.after)
				}
				if !strings.Contains(string(answer), c.answer) {
					t.Errorf("answer %q, want %q", answer, c.answer)
				}
			})
		})
	}
}

// Who drips a byte at a time gains nothing.
func TestDrippingAsker(t *testing.T) {
	inBubble(t, &fake{}, func(t *testing.T, dial func() net.Conn) {
		conn, began := dial(), time.Now()
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, conn)
			read <- err
		}()
		var err error
		for err == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = conn.Write([]byte("G"))
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if took := time.Since(began); took > headerTime+time.Second {
			t.Errorf("could go on for %v", took)
		}
		if err := <-read; err != nil {
			t.Error(err)
		}
		conn.Close()
	})
}

// Who doesn't read the answer is hung up on.
func TestSlowReader(t *testing.T) {
	inBubble(t, &fake{status: full()}, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		if _, err := io.WriteString(conn, request("GET", "/status", "")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(answerTime + time.Second)
		if _, err := io.ReadAll(conn); err != nil {
			t.Fatalf("%v, want a connection that was closed", err)
		}
	})
}

// A change may take longer than the request had to arrive, but not for ever.
func TestSlowChange(t *testing.T) {
	for _, c := range []struct {
		takes  time.Duration
		answer string
	}{
		{readTime + time.Second, `{"ok":true,"message":"drained at last"}`},
		{doTime + time.Second, `"drain is not done after 25s"`},
	} {
		t.Run(c.takes.String(), func(t *testing.T) {
			d := &fake{do: func(ctx context.Context, _ Command) (string, error) {
				select {
				case <-time.After(c.takes):
					return "drained at last", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}}
			inBubble(t, d, func(t *testing.T, dial func() net.Conn) {
				conn := dial()
				defer conn.Close()
				if _, err := io.WriteString(conn, request("POST", "/drain", "{}")); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(answer), c.answer) {
					t.Errorf("answer %q, want %q", answer, c.answer)
				}
			})
		})
	}
}

// Serve returns after the last change, even one that is slow to heed its context. (In
// real time: synctest's stands still while somebody waits for a mutex.)
func TestStopWaits(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	path, stop := start(t, &fake{do: func(ctx context.Context, _ Command) (string, error) {
		close(began)
		<-ctx.Done()
		time.Sleep(2 * stopTime)
		close(ended)
		return "", nil
	}})
	ask(t, path, request("POST", "/drain", ""))
	<-began
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	default:
		t.Error("Serve returned while a change ran")
	}
}

// The asker hangs up: the change learns of it.
func TestAskerLeaves(t *testing.T) {
	learned := make(chan error, 1)
	began := make(chan struct{})
	path, _ := start(t, &fake{do: func(ctx context.Context, _ Command) (string, error) {
		close(began)
		<-ctx.Done()
		learned <- ctx.Err()
		return "", ctx.Err()
	}})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request("POST", "/drain", "{}")); err != nil {
		t.Fatal(err)
	}
	<-began
	conn.Close()
	if err := <-learned; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
