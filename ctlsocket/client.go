package ctlsocket

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what a client reads: 1,000 groups take about half a megabyte.
const maxAnswer = 16 << 20

// maxLine bounds one line of an answer in lines, and a refusal: a config may have many
// faults.
const maxLine = 1 << 20

// Client asks a daemon. The zero value asks the one at DefaultSocket. Whoever calls
// bounds the time by the context.
type Client struct {
	// Socket is the path of the socket, DefaultSocket if "".
	Socket string
	// Dial replaces the connection to Socket.
	Dial func(ctx context.Context) (net.Conn, error)
}

// NoAnswer is the error when nobody answered: no daemon, no permission, no time, or
// somebody who is not a daemon. A daemon's refusal is an *Error instead.
type NoAnswer struct {
	Socket string
	Err    error
}

// Error says what is wrong with the socket and what to try next.
func (e *NoAnswer) Error() string {
	switch {
	case e.Nobody() && e.noSocket():
		return fmt.Sprintf("%s is no socket: vippyd's is what management says in its config", e.Socket)
	case e.Nobody():
		return fmt.Sprintf("no daemon at %s: is vippyd running?", e.Socket)
	case errors.Is(e.Err, fs.ErrPermission):
		return fmt.Sprintf("no permission to ask the daemon at %s: use sudo, or join the group %s (if vippyd was started before there was one, restart it)", e.Socket, SocketGroup)
	case errors.Is(e.Err, syscall.EINVAL) && len(e.Socket) > maxPath:
		return fmt.Sprintf("%s is no path of a socket: it has more than %d bytes", e.Socket, maxPath)
	case errors.Is(e.Err, context.DeadlineExceeded):
		return fmt.Sprintf("the daemon at %s does not answer: is it stopped or hung?", e.Socket)
	}
	return fmt.Sprintf("ask the daemon at %s: %v", e.Socket, e.Err)
}

// noSocket says whether there is something else.
func (e *NoAnswer) noSocket() bool {
	info, err := os.Stat(e.Socket)
	return err == nil && info.Mode()&fs.ModeSocket == 0
}

// Nobody says whether nobody listens there, so that the path may be the wrong one.
func (e *NoAnswer) Nobody() bool {
	return errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, syscall.ECONNREFUSED) || errors.Is(e.Err, syscall.ENOTSOCK)
}

// Unwrap returns the cause.
func (e *NoAnswer) Unwrap() error { return e.Err }

// Get returns the JSON that the daemon has for a path, as it sent it.
func (c *Client) Get(ctx context.Context, path string) (json.RawMessage, error) {
	return c.ask(ctx, http.MethodGet, path, "")
}

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/status")
}

// Peers asks for the peers.
func (c *Client) Peers(ctx context.Context) ([]Peer, error) {
	return get[[]Peer](ctx, c, "/peers")
}

// Explain asks for one group, by name, key or address.
func (c *Client) Explain(ctx context.Context, group string) (Explanation, error) {
	return get[Explanation](ctx, c, GroupPath(group))
}

// GroupPath is where Get finds the explanation of a group.
func GroupPath(group string) string { return "/groups/" + url.PathEscape(group) }

// EventsPath is where Lines finds the events after number after: those that are remembered
// and, where follow is set, those that happen.
func EventsPath(after uint64, follow bool) string {
	return fmt.Sprintf("/events?after=%d&follow=%t", after, follow)
}

// Events calls f with each of these events, as Lines does.
func (c *Client) Events(ctx context.Context, after uint64, follow bool, f func(Event) error) error {
	return lines(ctx, c, EventsPath(after, follow), f)
}

// Tenure calls f with whether the daemon's node has a group, by name, key or address: at
// once, with each change, and several times a second. It ends as Lines does.
func (c *Client) Tenure(ctx context.Context, group string, f func(Tenure) error) error {
	return lines(ctx, c, "/tenure/"+url.PathEscape(group), f)
}

// Lines calls f with each line of an answer, as the daemon sent it, until f fails or ctx
// ends. It returns the error of f, or what broke the answer off: nil where it was whole.
func (c *Client) Lines(ctx context.Context, path string, f func(json.RawMessage) error) error {
	return lines(ctx, c, path, f)
}

func lines[T any](ctx context.Context, c *Client, path string, f func(T) error) error {
	return c.converse(ctx, http.MethodGet, path, "", func(answer io.Reader) error {
		each := bufio.NewScanner(answer)
		each.Buffer(nil, maxLine)
		for each.Scan() {
			var v T
			if err := c.decode(each.Bytes(), &v); err != nil {
				return err
			}
			if err := f(v); err != nil {
				return err
			}
		}
		if err := cmp.Or(ctx.Err(), each.Err()); err != nil {
			return c.noAnswer(ctx, err)
		}
		return nil
	})
}

// Do asks for a change and returns the daemon's sentence about it.
func (c *Client) Do(ctx context.Context, cmd Command) (string, error) {
	body, err := json.Marshal(cmd)
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd.Verb, err)
	}
	data, err := c.ask(ctx, http.MethodPost, "/"+url.PathEscape(string(cmd.Verb)), string(body))
	if err != nil {
		return "", err
	}
	var result Result
	if err := c.decode(data, &result); err != nil {
		return "", err
	}
	return result.Message, nil
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	data, err := c.Get(ctx, path)
	if err == nil {
		err = c.decode(data, &v)
	}
	return v, err
}

// ask makes one request and returns the answer.
func (c *Client) ask(ctx context.Context, method, path, body string) (data json.RawMessage, err error) {
	err = c.converse(ctx, method, path, body, func(answer io.Reader) error {
		bounded := &io.LimitedReader{R: answer, N: maxAnswer}
		data, err = io.ReadAll(bounded)
		switch {
		case bounded.N == 0:
			return c.noAnswer(ctx, fmt.Errorf("its answer is longer than %d bytes", maxAnswer))
		case err != nil:
			return c.noAnswer(ctx, err)
		}
		return nil
	})
	return data, err
}

// converse makes one request over a connection of its own, and has the answer read if it
// is no refusal. It reads the answer even when not all of the request could be written: a
// daemon with too many connections answers before it reads, which an http.Transport takes
// for a failure now and then.
func (c *Client) converse(ctx context.Context, method, path, body string, read func(io.Reader) error) error {
	// The host is for the header alone; the connection goes to the socket.
	req, err := http.NewRequestWithContext(ctx, method, "http://vippy"+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask for %s: %w", path, err)
	}
	req.Close = true
	conn, err := c.dial(ctx)
	if err != nil {
		return c.noAnswer(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	unsent := req.Write(conn)
	header := &io.LimitedReader{R: conn, N: maxLine}
	resp, err := http.ReadResponse(bufio.NewReader(header), req)
	if err != nil {
		return c.noAnswer(ctx, cmp.Or(unsent, err))
	}
	// The body isn't closed, for that would wait for all of it: the connection is.
	header.N = math.MaxInt64 // the rest is bounded by who reads it
	if resp.StatusCode == http.StatusOK {
		return read(resp.Body)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil {
		return c.noAnswer(ctx, err)
	}
	refusal := &Error{Code: resp.StatusCode}
	if err := c.decode(data, refusal); err != nil {
		return err
	}
	refusal.Message = cmp.Or(refusal.Message, resp.Status)
	return refusal
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket())
}

func (c *Client) socket() string { return cmp.Or(c.Socket, DefaultSocket) }

func (c *Client) decode(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return &NoAnswer{c.socket(), fmt.Errorf("its answer is not that of a vippyd: %w", err)}
	}
	return nil
}

// noAnswer prefers the end of the context to what it did to the connection.
func (c *Client) noAnswer(ctx context.Context, err error) error {
	return &NoAnswer{c.socket(), cmp.Or(ctx.Err(), err)}
}
