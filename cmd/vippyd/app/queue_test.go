package app

import (
	"bytes"
	"log/slog"
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
	var closed []string
	outlet := func(name string, b *bytes.Buffer, keeps func(slog.Level) bool) *outlet {
		o := newOutlet(consoleHandlers(b, true), keeps)
		o.close = func() error { closed = append(closed, name); return nil }
		return o
	}
	q := newQueue(outlet("first", &first, all))
	log := q.logger().With("node", "a").WithGroup("g").With("x", 1)
	log.Debug("one")
	q.flush()
	q.settle(outlet("second", &second, func(l slog.Level) bool { return l >= slog.LevelInfo }), false)
	q.settle(outlet("third", &third, func(l slog.Level) bool { return l >= slog.LevelInfo }), true)
	log.Debug("two")
	log.Info("three")
	q.close()
	if first.String() != "<7>msg=one node=a g.x=1\n" || second.Len() > 0 || third.String() != "<5>msg=three node=a g.x=1\n" {
		t.Errorf("got %q, %q, %q", first.String(), second.String(), third.String())
	}
	if strings.Join(closed, " ") != "second first" {
		t.Errorf("closed are %q", closed)
	}
}
