package config

import "log/slog"

// Logging is Vippy's block: where to, as whom, and which severities.
type Logging struct {
	// Driver is "console" (standard error) or "syslog".
	Driver string
	// Facility is a syslog facility's name, such as "local7".
	Facility string
	// Mask says for each of syslog's severities whether it is kept.
	Mask map[Severity]bool
}

// A Severity is a syslog severity (RFC 5424, table 2): 0 emerg to 7 debug.
type Severity int

// The severities, in syslog's order.
const (
	Emerg Severity = iota
	Alert
	Crit
	Err
	Warning
	Notice
	Info
	Debug
)

// Severities are the names that a mask may use, indexed by Severity.
var Severities = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// String returns syslog's name for s.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(Severities) {
		return "unknown"
	}
	return Severities[s]
}

// Facilities are the facility names that `facility` may use, with their codes (RFC 5424,
// table 1).
var Facilities = map[string]int{
	"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7,
	"uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19,
	"local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

// defaultMask is that of Vippy's sample, what a person should see without the chatter,
// and warnings, which name the next step to a person who did not ask for silence.
func defaultMask() map[Severity]bool {
	return map[Severity]bool{
		Emerg: true, Alert: true, Crit: true, Err: true,
		Warning: true, Notice: true, Info: false, Debug: false,
	}
}

// SeverityOf maps a slog level to syslog's scale. The story of ownership is told at
// slog.LevelInfo and must show with Vippy's mask, so it becomes a notice.
func SeverityOf(l slog.Level) Severity {
	switch {
	case l >= slog.LevelError:
		return Err
	case l >= slog.LevelWarn:
		return Warning
	case l >= slog.LevelInfo:
		return Notice
	default:
		return Debug
	}
}

// Keeps says whether a record of this level is kept by the mask.
func (l Logging) Keeps(level slog.Level) bool { return l.Mask[SeverityOf(level)] }
