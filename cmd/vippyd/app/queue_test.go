package app

import (
	"bytes"
	"fmt"
	"log/slog"
	"log/syslog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vippy-ha/vippy/internal/config"
)

// gate is a terminal that takes nothing before it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(p)
}

func all(slog.Level) bool { return true }

// A stuck sink costs lines, which are counted, and never makes the caller wait.
func TestQueueNeverWaits(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	q := newQueue(newOutlet(consoleHandlers(g, true), all))
	log := q.logger()
	const more = 100
	for range queueSize + more {
		log.Info("x")
	}
	close(g.open)
	q.close()
	lines := strings.Count(g.text.String(), "msg=x")
	// The writer may have one line in hand.
	if lines != queueSize && lines != queueSize+1 {
		t.Errorf("%d lines were written, want what the queue holds", lines)
	}
	if !strings.Contains(g.text.String(), "log lines were dropped") {
		t.Error("the log does not say that lines are missing")
	}
}

func TestConsoleForTheJournal(t *testing.T) {
	var b bytes.Buffer
	q := newQueue(newOutlet(consoleHandlers(&b, true), all))
	log := q.logger().With("node", "a")
	log.Debug("one")
	log.Info("two")
	log.Warn("three")
	log.Error("four", "err", "five")
	q.close()
	want := "<7>msg=one node=a\n<5>msg=two node=a\n<4>msg=three node=a\n<3>msg=four node=a err=five\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestConsoleForPeople(t *testing.T) {
	var b bytes.Buffer
	q := newQueue(newOutlet(consoleHandlers(&b, false), all))
	q.logger().Info("took web")
	q.close()
	if !strings.HasPrefix(b.String(), "time=") || !strings.Contains(b.String(), `level=INFO msg="took web"`) {
		t.Errorf("got %q", b.String())
	}
}

func TestMaskAndLevel(t *testing.T) {
	debug, quiet := slog.LevelDebug, slog.LevelError
	mask := config.Logging{Driver: "console", Mask: map[config.Severity]bool{config.Err: true, config.Notice: true}}
	tests := []struct {
		name  string
		level *slog.Level
		want  string
	}{
		{"the file's mask", nil, "info error "},
		{"--log-level debug", &debug, "debug info warn error "},
		{"--log-level error", &quiet, "error "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			o, err := openLog(mask, tt.level, &b)
			if err != nil {
				t.Fatal(err)
			}
			q := newQueue(o)
			log := q.logger()
			log.Debug("debug")
			log.Info("info")
			log.Warn("warn")
			log.Error("error")
			q.close()
			got := ""
			for line := range strings.Lines(b.String()) {
				_, message, _ := strings.Cut(strings.TrimSpace(line), "msg=")
				got += message + " "
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestSettle: a queue goes on elsewhere, with what loggers gathered, and gives up what it leaves
// and what it doesn't come to.
func TestSettle(t *testing.T) {
	var first, second, third bytes.Buffer
	closed := make(chan string)
	outlet := func(name string, b *bytes.Buffer, keeps func(slog.Level) bool) *outlet {
		o := newOutlet(consoleHandlers(b, true), keeps)
		o.close = func() error { closed <- name; return nil }
		return o
	}
	q := newQueue(outlet("first", &first, all))
	log := q.logger().With("node", "a").WithGroup("g").With("x", 1)
	log.Debug("one")
	q.flush()
	some := func(l slog.Level) bool { return l >= slog.LevelInfo }
	go q.settle(outlet("second", &second, some), false)
	if c := <-closed; c != "second" {
		t.Errorf("the outlet that is not used is %q", c)
	}
	q.settle(outlet("third", &third, some), true)
	if c := <-closed; c != "first" {
		t.Errorf("the outlet that is left is %q", c)
	}
	log.Debug("two")
	log.Info("three")
	go q.close()
	if c := <-closed; c != "third" {
		t.Errorf("at the end %q is closed", c)
	}
	if first.String() != "<7>msg=one node=a g.x=1\n" || second.Len() > 0 || third.String() != "<5>msg=three node=a g.x=1\n" {
		t.Errorf("got %q, %q, %q", first.String(), second.String(), third.String())
	}
}

// TestSettleFromAStuckSink: who turns away from a log that is stuck doesn't get stuck with it, as
// log/syslog would, whose Close waits for what is being written.
func TestSettleFromAStuckSink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	w, err := syslog.Dial("unixgram", path, syslog.LOG_DAEMON, "vippyd")
	if err != nil {
		t.Fatal(err)
	}
	stuck := newOutlet(syslogHandlers(w), all)
	stuck.close = w.Close
	q := newQueue(stuck)
	log := q.logger()
	const lines = 1000 // more than the socket holds unread
	for i := range lines {
		log.Info("x", "i", i)
	}
	var b bytes.Buffer
	q.settle(newOutlet(consoleHandlers(&b, true), all), true)
	log.Info("on")
	q.close()
	if !strings.Contains(b.String(), fmt.Sprintf("i=%d\n", lines-1)) || !strings.HasSuffix(b.String(), "msg=on\n") {
		t.Errorf("the new log has %d bytes, and ends with %q", b.Len(), b.String()[max(0, b.Len()-100):])
	}
	_ = l.Close() // lets the writer go
	<-stuck.done
}
