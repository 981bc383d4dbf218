package plugin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"

	"golang.org/x/sys/unix"
)

// Main is the main function of a program that is a plugin: it runs p for the daemon that
// started the program (`plugins` in the config), and doesn't return. On a terminal it
// shows what p would tell the daemon. A Host's Vote and Log wait here while the daemon is
// behind: it reads some hundred lines a second.
func Main(p Plugin) {
	// What is meant for the daemon is no order to us: it says when to stop. Not ignored,
	// which would go on to what the plugin starts.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGHUP)
	ctx, cancel := signal.NotifyContext(context.Background(), unix.SIGTERM)
	err := serve(ctx, p, os.Stdin, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs a plugin for the daemon at the other end of two files, until it is told to
// stop or the daemon is gone. It leaves the reader of in behind, which nothing can wake.
func serve(ctx context.Context, p Plugin, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &remote{out: out, cancel: cancel, asked: make(chan struct{}, 1), answers: make(chan Status, 1)}
	r.host = newHost(p.Name(), newBox(), nil, nil) // for its queue of events
	r.log = slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: logKeys}))
	go func() {
		defer cancel()
		r.listen(ctx, bufio.NewReader(in))
	}()
	err := run(ctx, p, r)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", p.Name(), err)
	}
	return fmt.Errorf("%s: ended", p.Name())
}

// run runs a plugin, whose panic is an error like others. Its trace goes to stderr, before
// the line that the daemon shows.
func run(ctx context.Context, p Plugin, r *remote) (err error) {
	defer func() {
		if v := recover(); v != nil {
			os.Stderr.Write(debug.Stack())
			err = fmt.Errorf("panicked: %v", v)
		}
	}()
	return p.Run(ctx, r)
}

// logKeys makes slog's JSON the line that parseLog reads.
func logKeys(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey:
		return slog.Attr{}
	case a.Key == slog.MessageKey:
		a.Key = "log"
	}
	return a
}

// remote is the Host of a plugin in a process of its own.
type remote struct {
	*host   // its queue of events
	log     *slog.Logger
	cancel  context.CancelFunc
	asked   chan struct{} // holds a token while an answer is awaited
	answers chan Status

	mu  sync.Mutex // one line at a time
	out io.Writer
}

// Write writes a line; the daemon's end is the plugin's.
func (r *remote) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.out.Write(line)
	if err != nil {
		r.cancel()
	}
	return n, err
}

func (r *remote) say(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // plain structs of texts and numbers
	}
	_, _ = r.Write(append(text, '\n'))
}

// Vote writes a line with one vote, or with a list.
func (r *remote) Vote(votes ...Vote) {
	lines := make([]ballotLine, len(votes))
	for i, v := range votes {
		lines[i] = v.line()
	}
	switch len(lines) {
	case 0:
	case 1:
		r.say(lines[0])
	default:
		r.say(lines)
	}
}

func (r *remote) Log() *slog.Logger { return r.log }

// Status asks the daemon.
func (r *remote) Status(ctx context.Context) (Status, error) {
	select {
	case r.asked <- struct{}{}:
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
	defer func() { <-r.asked }()
	select {
	case <-r.answers: // to one who gave up
	default:
	}
	r.say(map[string]string{"ask": string(answer)})
	select {
	case s := <-r.answers:
		return s, nil
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}

// listen reads what the daemon says until it says stop, or nothing more.
func (r *remote) listen(ctx context.Context, in *bufio.Reader) {
	for {
		line, err := in.ReadBytes('\n')
		var l said
		if len(bytes.TrimSpace(line)) > 0 && json.Unmarshal(line, &l) == nil {
			switch l.Event {
			case hello:
			case stop:
				return
			case answer:
				if l.Status != nil {
					select {
					case r.answers <- *l.Status:
					default: // nobody asked
					}
				}
			default:
				r.emit(l.event())
			}
		}
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}
