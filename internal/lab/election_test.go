package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// elected are the groups of TestElection: two elections, and a group that has an address.
var elected = []string{"leader", "chief", "web"}

// An electorate is a stage on which each host runs vippyd, and for each group a command
// while it has it.
type electorate struct {
	t       *testing.T
	stage   *Stage
	ctl     string
	daemons []*Program
	runs    map[string][]*Program // by group
}

// newElectorate starts everything.
func newElectorate(t *testing.T, hosts int) *electorate {
	t.Helper()
	daemon, ctl := build(t, ""), buildCtl(t)
	stage, err := OpenStage(hosts)
	if err != nil {
		t.Fatal(err)
	}
	e := &electorate{t: t, stage: stage, ctl: ctl, runs: map[string][]*Program{}}
	t.Cleanup(e.close)
	var nodes []string
	for _, h := range stage.Hosts {
		nodes = append(nodes, h.Name)
	}
	vips := StageVIPs(2)
	for _, h := range stage.Hosts {
		address := func(i int) []any { return []any{map[string]any{"interface": Link, "ip": vips[i]}} }
		writeJSON(t, configPath(h.Dir), map[string]any{
			"secret": "a secret that all hosts of this test know", "nodes": nodes, "version": 1, "mature": 1,
			"management": socketPath(h.Dir), "state_dir": h.Dir, "witness": []any{stage.ClientAddr()},
			"vips": []any{
				map[string]any{"name": elected[0]},
				map[string]any{"name": elected[1], "plumb": false, "addresses": address(0)},
				map[string]any{"name": elected[2], "addresses": address(1)},
			},
		})
		e.daemons = append(e.daemons, e.start(h, "log", daemon, "-c", configPath(h.Dir), "-n", h.Name))
	}
	for _, h := range stage.Hosts {
		e.until(h.Name+" answers", func() bool { return e.asks(h, "status", "-o", "json") != exitNobody })
		for _, g := range elected {
			// The shell becomes the command: its number is the one to look for.
			script := fmt.Sprintf("echo $$ >%[1]s.new && mv %[1]s.new %[1]s && exec sleep 1000", e.pidFile(h, g))
			e.runs[g] = append(e.runs[g], e.start(h, "run-"+g, ctl, "-s", socketPath(h.Dir), "run", "--while-owner", g, "--grace", "0", "--", "sh", "-c", script))
		}
	}
	return e
}

// buildCtl builds vippyctl.
func buildCtl(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vippyctl")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/vippyctl")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build vippyctl: %v\n%s", err, out)
	}
	return path
}

// writeJSON writes a config.
func writeJSON(t *testing.T, path string, config map[string]any) {
	t.Helper()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (e *electorate) start(h *Host, log, path string, args ...string) *Program {
	e.t.Helper()
	p, err := h.Start(log, path, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// close ends what was started, the commands first: they would take the end of the daemons
// for another reason to end.
func (e *electorate) close() {
	all := e.daemons
	for _, runs := range e.runs {
		all = append(runs, all...)
	}
	for _, p := range all {
		if err := p.Signal(unix.SIGTERM); err != nil {
			e.t.Error(err)
		}
		<-p.Ended()
	}
	if err := e.stage.Close(); err != nil {
		e.t.Error(err)
	}
}

func (e *electorate) pidFile(h *Host, group string) string { return filepath.Join(h.Dir, group+".pid") }

// until waits for as long as the test may take.
func (e *electorate) until(what string, so func() bool) {
	e.t.Helper()
	for !so() {
		if err := Pause(e.t.Context(), 5*time.Millisecond); err != nil {
			e.t.Fatalf("%s: %v", what, err)
		}
	}
}

// exitNobody is vippyctl's exit code without an answer.
const exitNobody = 2

// asks runs vippyctl and returns its exit code.
func (e *electorate) asks(h *Host, args ...string) int {
	e.t.Helper()
	cmd := exec.CommandContext(e.t.Context(), e.ctl, append([]string{"-s", socketPath(h.Dir)}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		e.t.Fatalf("%v\n%s", err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// running lists the hosts on which the command of a group runs.
func (e *electorate) running(group string) (hosts []int) {
	e.t.Helper()
	for i, h := range e.stage.Hosts {
		text, err := os.ReadFile(e.pidFile(h, group))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			e.t.Fatal(err)
		}
		if alive(pid) {
			hosts = append(hosts, i)
		}
	}
	return hosts
}

// settle waits until each command runs on one host, and none on those that are out.
func (e *electorate) settle(what string, out ...int) map[string]int {
	e.t.Helper()
	at := map[string]int{}
	for _, g := range elected {
		e.until(what+": "+g, func() bool {
			hosts := e.running(g)
			if len(hosts) != 1 {
				return false
			}
			at[g] = hosts[0]
			for _, o := range out {
				if hosts[0] == o {
					return false
				}
			}
			return true
		})
	}
	return at
}

// A command runs on the one node that is elected: on another one when that node's daemon is
// killed, and on the last one when the next is drained. So it is with groups that have no
// address, that never get theirs, and that do.
func TestElection(t *testing.T) {
	kernel(t)
	tempdir(t)
	noLeak(t)
	e := newElectorate(t, 3)
	at := e.settle("at first")
	for _, h := range e.stage.Hosts {
		e.until(h.Name+" knows all owners", func() bool { return e.asks(h, "status") == 0 })
	}

	killed := at["leader"]
	if err := e.daemons[killed].Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, g := range elected {
		<-e.runs[g][killed].Ended()
		if code := e.runs[g][killed].process.cmd.ProcessState.ExitCode(); code != exitNobody {
			t.Errorf("%s on the host of the killed daemon: exit code %d", g, code)
		}
	}
	at = e.settle("after a daemon was killed", killed)

	drained := at["leader"]
	if code := e.asks(e.stage.Hosts[drained], "drain"); code != 0 {
		t.Fatalf("drain: exit code %d", code)
	}
	at = e.settle("after a drain", killed, drained)
	for g, host := range at {
		if host == killed || host == drained {
			t.Errorf("%s runs on host %d", g, host)
		}
	}
	if held, err := e.stage.Hosts[at["web"]].port.table(); err != nil || len(held) != 1 {
		t.Errorf("the last host has %v, want the one address that is not elected (%v)", held, err)
	}
}
