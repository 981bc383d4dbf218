package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// build builds vippyd with the changes of an overlay file ("" for none) and returns its path.
func build(t *testing.T, overlay string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vippyd")
	args := []string{"build", "-o", path}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./cmd/vippyd")...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(cmd.Args[1:], " "), err, out)
	}
	return path
}

// sabotage returns an overlay (see go help build) in which one piece of a file, relative
// to the module, is another. The piece must be there exactly once.
func sabotage(t *testing.T, file, piece, other string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(piece)); n != 1 {
		t.Fatalf("%s has %q %d times, want once: the sabotage must be aimed anew", file, piece, n)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(piece), []byte(other), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

// lines decodes what a drill wrote as JSON: its results and whether the last line says ok.
func lines(t *testing.T, out string) (results []Result, ok bool) {
	t.Helper()
	all := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range all[:len(all)-1] {
		dec := json.NewDecoder(strings.NewReader(l))
		dec.DisallowUnknownFields()
		var r Result
		if err := dec.Decode(&r); err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		results = append(results, r)
	}
	var last struct {
		Summary map[string]Summary `json:"summary"`
		OK      bool               `json:"ok"`
	}
	if err := json.Unmarshal([]byte(all[len(all)-1]), &last); err != nil || len(last.Summary) == 0 {
		t.Fatalf("the last line is no summary (%v): %s", err, all[len(all)-1])
	}
	return results, last.OK
}

// leftovers are directories of labs in a test's own TMPDIR.
func leftovers(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(os.TempDir(), dirPattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tempdir gives a test a TMPDIR of its own; t.TempDir is too long a name for the sockets.
func tempdir(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "vl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
}

// noLeak fails the test if a goroutine of the lab outlives it; the runtime's and other
// tests' own are not counted.
func noLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// drilled are the times of a lab at the defaults.
var drilled = times{interval: defaultInterval, stale: defaultStale, lifetime: lifetime}

// A short drill on real daemons goes well, says so, and leaves nothing behind.
func TestDrill(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	wanted := []string{"none", "stop", "return", "hang"}
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Faults: wanted, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Errorf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	if out.Len() == 0 {
		return
	}
	results, said := lines(t, out.String())
	if said != ok {
		t.Errorf("the summary says %v, Run says %v", said, ok)
	}
	var got []string
	for _, r := range results {
		got = append(got, r.Fault)
		if !r.HeldOnce || r.DualMS != 0 || len(r.Before) != 6 || len(r.After) != 6 {
			t.Errorf("bad result: %+v", r)
		}
		if moves := drilled.of(r.Fault).empties; moves && r.MovedMS == nil {
			t.Errorf("%s of %s moved nothing: %+v", r.Fault, r.Victim, r)
		}
	}
	if strings.Join(got, " ") != strings.Join(wanted, " ") {
		t.Errorf("results of %v, want %v", got, wanted)
	}
	if left := leftovers(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Where the switch carries no multicast, nodes that talk by unicast fail over all the same.
func TestDrillByUnicast(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	wanted := []string{"stop", "return", "kill", "cut", "heal"}
	ok, err := Run(t.Context(), Options{Vippyd: path, Unicast: true, JSON: true, Faults: wanted, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	results, _ := lines(t, out.String())
	for _, r := range results {
		if r.MovedMS == nil && r.Fault != "heal" {
			t.Errorf("%s of %s moved nothing: %+v", r.Fault, r.Victim, r)
		}
	}
	if len(results) != len(wanted) {
		t.Errorf("%d results, want %d", len(results), len(wanted))
	}
}

// A vippyd that doesn't ask takes the addresses of a hung one, whose kernel still answers
// for them. The lab must see that.
func TestDrillSeesThatNobodyAsks(t *testing.T) {
	kernel(t)
	path := build(t, sabotage(t, "cluster/asking.go",
		"func(a netip.Addr) { out.Ask = append(out.Ask, a) }",
		"func(netip.Addr) {}"))
	tempdir(t)
	var out, diag bytes.Buffer
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Faults: []string{"hang"}, Stdout: &out, Stderr: &diag})
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), diag.String())
	}
	results, _ := lines(t, out.String())
	if ok || len(results) != 1 || results[0].DualMS == 0 {
		t.Errorf("ok is %v with a build that doesn't ask:\n%s", ok, out.String())
	}
}

// A daemon that ends at once is a bad answer, with its last words, and at once.
func TestDaemonThatEnds(t *testing.T) {
	kernel(t)
	path, err := exec.LookPath("false")
	if err != nil {
		t.Fatal(err)
	}
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Stdout: &out, Stderr: &diag})
	if ok || err != nil {
		t.Errorf("ok is %v, error %v; want a no", ok, err)
	}
	if !strings.Contains(diag.String(), "vippyd ended by itself: exit status 1") {
		t.Errorf("it doesn't say why: %s", diag.String())
	}
	if want := `{"summary":{},"ok":false}` + "\n"; out.String() != want {
		t.Errorf("it wrote %s, want %s", out.String(), want)
	}
	if left := leftovers(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Ending a lab early takes everything down and is no verdict.
func TestRunEndsWithItsContext(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out bytes.Buffer
	diag := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("all VIPs are held")) {
			cancel() // in the midst of the drill
		}
		return len(p), nil
	})
	ok, err := Run(ctx, Options{Vippyd: path, JSON: true, Stdout: &out, Stderr: diag})
	if ok || err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("ok is %v, error %v; want none and %v", ok, err, context.Canceled)
	}
	if left := leftovers(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
