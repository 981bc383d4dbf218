package packaging

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A unit maps "Section.Key" to the values given to it, in order.
type unit map[string][]string

func readUnit(t *testing.T, path string) unit {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u, section := unit{}, ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" || strings.TrimSpace(key) != key || strings.HasSuffix(value, `\`) {
				t.Fatalf("%s:%d: %q is no setting on one line", path, n, line)
			}
			if strings.Contains(value, "#") {
				t.Errorf("%s:%d: a comment behind a value becomes part of it", path, n)
			}
			u[section+"."+key] = append(u[section+"."+key], value)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return u
}

// words returns the words of a setting that is given once.
func (u unit) words(t *testing.T, key string) []string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Errorf("%s is given %d times, want once", key, len(u[key]))
		return nil
	}
	return strings.Fields(u[key][0])
}

// number returns a setting that is one number; a span of time counts in seconds.
func (u unit) number(t *testing.T, key string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.Join(u.words(t, key), " "), 64)
	if err != nil {
		t.Errorf("%s: %v", key, err)
	}
	return n
}

// TestUnit holds the facts on which the daemon and the promise to its users depend.
func TestUnit(t *testing.T) {
	u := readUnit(t, "vippyd.service")

	exact := map[string]string{
		"Service.Type":                     "notify-reload", // SIGHUP reloads, and the manager waits for it
		"Service.KillMode":                 "process",       // SIGTERM must not end checks before the hand-over, nor SIGKILL the guard of a dead daemon
		"Service.Restart":                  "on-failure",
		"Service.OOMPolicy":                "continue", // a check's death is not the daemon's
		"Service.NoNewPrivileges":          "yes",
		"Service.StateDirectory":           "vippy",             // the default of state_dir
		"Service.ProtectSystem":            "full",              // not strict: the control socket is in /run
		"Install.WantedBy":                 "multi-user.target", // it can be enabled
		"Unit.After":                       "network.target",    // the network outlives the hand-over
		"Service.RestartPreventExitStatus": "78",                // config refused
		"Unit.StartLimitIntervalSec":       "0",                 // else the fifth start in 10 s is the last
	}
	for key, want := range exact {
		if got := strings.Join(u.words(t, key), " "); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}

	sets := map[string][]string{
		"Service.CapabilityBoundingSet":   {"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_KILL"},
		"Service.RestrictAddressFamilies": {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"},
	}
	for key, want := range sets {
		got := u.words(t, key)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}

	for _, key := range []string{"Service.User", "Service.DynamicUser", "Service.PrivateNetwork", "Service.PrivateTmp", "Service.RuntimeDirectory"} {
		if u[key] != nil {
			t.Errorf("%s is set: root owns the control socket in /run, and the network is the host's", key)
		}
	}

	exec := u.words(t, "Service.ExecStart")
	if !slices.Equal(exec, []string{"/usr/bin/vippyd", "-c", "/etc/vippy.conf"}) {
		t.Errorf("ExecStart=%s", exec)
	}

	const stopDeadline = 5 * time.Second // what the daemon promises
	stop := time.Duration(u.number(t, "Service.TimeoutStopSec") * float64(time.Second))
	if stop <= stopDeadline || stop > 2*stopDeadline {
		t.Errorf("TimeoutStopSec is %v: a bit over %v, so that the daemon ends by itself and a stuck one soon", stop, stopDeadline)
	}
	if dog := u.number(t, "Service.WatchdogSec"); dog < 5 || dog > 30 {
		t.Errorf("WatchdogSec is %v s: a daemon that is merely starved must not be killed, one that is stuck must", dog)
	}
	if nice := u.number(t, "Service.Nice"); nice != -15 {
		t.Errorf("Nice is %v, want -15", nice)
	}
	if oom := u.number(t, "Service.OOMScoreAdjust"); oom > -500 || oom < -999 {
		t.Errorf("OOMScoreAdjust is %v: among the last to be killed, but not exempt", oom)
	}
}
