package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Hooks of real daemons: whoever takes an address after the other's death tells so, by a
// program that can do nothing and never ends by itself; and neither the address nor the stop
// of the daemon waits for that.
func TestHooks(t *testing.T) {
	kernel(t)
	told, err := os.MkdirTemp("", "vh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(told) })
	if err := os.Chmod(told, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	tempdir(t)
	noLeak(t)
	daemon := build(t, "")
	stage, err := OpenStage(2)
	if err != nil {
		t.Fatal(err)
	}
	e := &electorate{t: t, stage: stage}
	t.Cleanup(e.close)
	var nodes []string
	for _, h := range stage.Hosts {
		nodes = append(nodes, h.Name)
	}
	// Renamed when it is whole.
	script := fmt.Sprintf(`f=%s/$VIPPY_IDENTITY-$VIPPY_EVENT; { cat; id -u; grep CapEff /proc/self/status; } >$f.new; mv $f.new $f`, told)
	hangs := map[string]any{"command": script + "; exec sleep 1000", "timeout": 3600}
	for _, h := range stage.Hosts {
		writeJSON(t, configPath(h.Dir), map[string]any{
			"secret": "a secret that all hosts of this test know", "nodes": nodes, "mature": 1,
			"management": socketPath(h.Dir), "state_dir": h.Dir, "witness": []any{stage.ClientAddr()},
			"vips":  []any{map[string]any{"name": "web", "prefer": nodes[0], "addresses": []any{map[string]any{"interface": Link, "ip": StageVIPs(1)[0]}}}},
			"hooks": map[string]any{"taken": hangs, "released": hangs, "moved": script, "stopping": hangs},
		})
		e.daemons = append(e.daemons, e.start(h, "log", daemon, "-c", configPath(h.Dir), "-n", h.Name))
	}
	file := func(host int, event string) string { return filepath.Join(told, nodes[host]+"-"+event) }
	wait := func(host int, event string) string {
		e.until(nodes[host]+" tells "+event, func() bool { _, err := os.Stat(file(host, event)); return err == nil })
		text, err := os.ReadFile(file(host, event))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	holds := func(host int) bool {
		held, err := stage.Hosts[host].port.table()
		if err != nil {
			t.Fatal(err)
		}
		return len(held) > 0
	}
	wait(0, "taken")
	wait(1, "moved")
	if err := e.daemons[0].Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.until("the other host has the address", func() bool { return holds(1) })
	text := wait(1, "taken")
	for _, want := range []string{`"identity":"` + nodes[1] + `"`, `"event":"taken","group":"web"`, "CapEff:\t0000000000000000"} {
		if !strings.Contains(text, want) {
			t.Errorf("taken doesn't have %s:\n%s", want, text)
		}
	}
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" && !slices.Contains(strings.Split(text, "\n"), "65534") {
		t.Errorf("taken didn't run as nobody:\n%s", text)
	}
	if strings.Contains(text, "secret") {
		t.Errorf("taken tells the secret:\n%s", text)
	}
	// What stops tells so, and is gone in time, whatever its hooks do.
	if err := e.daemons[1].Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-e.daemons[1].Ended()
	wait(1, "stopping")
	if holds(1) {
		t.Error("the address outlives the daemon")
	}
}
