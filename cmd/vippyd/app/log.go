package app

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"strconv"

	"github.com/vippy-ha/vippy/internal/config"
)

// openLog opens where the daemon logs to. level, where given, overrides the file's mask.
func openLog(l config.Logging, level *slog.Level, stderr io.Writer) (*outlet, error) {
	keeps := l.Keeps
	if level != nil {
		keeps = func(at slog.Level) bool { return at >= *level }
	}
	switch l.Driver {
	case "syslog":
		w, err := syslog.New(facility(l), "vippyd")
		if err != nil {
			return nil, fmt.Errorf("logging: %w (is a syslog daemon running? \"driver\": \"console\" needs none)", err)
		}
		o := newOutlet(syslogHandlers(w), keeps)
		o.close = w.Close
		return o, nil
	default:
		return newOutlet(consoleHandlers(stderr, os.Getenv("JOURNAL_STREAM") != ""), keeps), nil
	}
}

// facility is that of the file. Facilities are multiples of 8 (RFC 5424, section 6.2.1);
// each message brings its own severity.
func facility(l config.Logging) syslog.Priority {
	return syslog.Priority(config.Facilities[l.Facility] << 3)
}

// handlers is one slog.Handler for each of syslog's severities.
type handlers func(config.Severity) slog.Handler

// consoleHandlers write text lines. For the journal they carry its "<N>" prefix and no
// time, since it has its own (sd-daemon(3)).
func consoleHandlers(w io.Writer, journal bool) handlers {
	return func(s config.Severity) slog.Handler {
		o := &slog.HandlerOptions{Level: slog.LevelDebug}
		if !journal {
			return slog.NewTextHandler(w, o)
		}
		o.ReplaceAttr = withoutPreamble
		prefix := "<" + strconv.Itoa(int(s)) + ">"
		return slog.NewTextHandler(lineFunc(func(line string) error {
			_, err := io.WriteString(w, prefix+line)
			return err
		}), o)
	}
}

func syslogHandlers(w *syslog.Writer) handlers {
	return func(s config.Severity) slog.Handler {
		write := w.Debug
		switch s {
		case config.Err:
			write = w.Err
		case config.Warning:
			write = w.Warning
		case config.Notice:
			write = w.Notice
		}
		return slog.NewTextHandler(lineFunc(write), &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutPreamble})
	}
}

// withoutPreamble drops what journal and syslog write by themselves.
func withoutPreamble(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

// lineFunc is an io.Writer of a function that takes whole lines; slog's handlers write
// one line at a time.
type lineFunc func(string) error

func (f lineFunc) Write(p []byte) (int, error) {
	if err := f(string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
