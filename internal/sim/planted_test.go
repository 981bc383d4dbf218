//go:build !race

// The race detector would take minutes for what is a single thread; `make sim` runs them.

package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// worldBugs are faults planted into the shells and kernels, and within how many seeds
// each must be caught.
var worldBugs = []struct {
	bug   Bug
	seeds uint64
	// noGuard leaves the guards out, which would make up for the bug.
	noGuard bool
	mode    Mode // "" for that of the seed
}{
	{BugNoAsking, 5, false, ""},
	{BugNoAnswers, 5, false, ""},
	{BugNoEcho, 100, false, ""},
	{BugFarewellFirst, 60, false, Chat},
	{BugExtendCreates, 10, true, ""},
	{BugOldBoot, 80, false, ""},
	{BugLateWake, 50, false, ""},
	{BugGuardFarewellFirst, 30, false, ""},
	{BugGuardSpares, 60, false, ""},
	{BugUntoldGrant, 10, false, ""},
}

func TestPlantedInTheWorld(t *testing.T) {
	for _, b := range worldBugs {
		t.Run(string(b.bug), func(t *testing.T) {
			for s := range b.seeds {
				c, m := Draw(s)
				if b.mode != "" {
					c, m = DrawFor(s, b.mode), b.mode
				}
				c.Bug, c.NoGuard = b.bug, c.NoGuard || b.noGuard
				if _, v := Play(c, m); v != nil {
					t.Logf("caught by seed %d: %s: %s", s, v.Promise, v.Detail)
					return
				}
			}
			t.Errorf("not caught within %d seeds", b.seeds)
		})
	}
}

// A bug is a patch of a package, which is cluster unless it says otherwise: testdata/bugs
// has one in each file.
type bug struct {
	name, why string
	in        string // the package's folder
	seeds     int
	unit      string // or the unit test that finds it: one of that package, or "folder TestName"
	mode      string
	edits     []edit
}

type edit struct{ file, old, new string }

func readBug(t *testing.T, path string) bug {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := bug{name: strings.TrimSuffix(filepath.Base(path), ".txt"), in: "cluster"}
	var e *edit
	var to *string
	for _, l := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		word, rest, _ := strings.Cut(l, ": ")
		switch {
		case l == "--- old":
			to = &e.old
		case l == "--- new":
			to = &e.new
		case word == "file":
			b.edits = append(b.edits, edit{file: rest})
			e, to = &b.edits[len(b.edits)-1], nil
		case to != nil:
			*to += l + "\n"
		case word == "why":
			b.why = rest
		case word == "in":
			b.in = rest
		case word == "mode":
			b.mode = rest
		case word == "unit":
			b.unit = rest
		case word == "seeds":
			b.seeds, err = strconv.Atoi(rest)
		default:
			t.Fatalf("%s: what is %q?", path, l)
		}
	}
	if err != nil || (b.seeds == 0) == (b.unit == "") || b.why == "" || len(b.edits) == 0 {
		t.Fatalf("%s: a bug needs why, seeds or a unit test, and edits (%v)", path, err)
	}
	return b
}

// plant writes the overlay with which the go tool builds the broken core.
func (b bug) plant(t *testing.T, dir string) string {
	t.Helper()
	patched := map[string]string{}
	for _, e := range b.edits {
		path, err := filepath.Abs(filepath.Join("../..", b.in, e.file))
		if err != nil {
			t.Fatal(err)
		}
		text, ok := patched[path]
		if !ok {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = string(raw)
		}
		old, with := strings.TrimSuffix(e.old, "\n"), strings.TrimSuffix(e.new, "\n")
		if n := strings.Count(text, old); n != 1 {
			t.Fatalf("bug %s: %s/%s has the text to replace %d times, not once; adapt testdata/bugs/%s.txt:\n%s",
				b.name, b.in, e.file, n, b.name, old)
		}
		patched[path] = strings.Replace(text, old, with, 1)
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for path, text := range patched {
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[path] = file
	}
	raw, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// A violation's first line, as Error writes it.
var caught = regexp.MustCompile(`seed (\d+): (.+) broken at .*`)

// TestPlantedInTheCore builds this test once for every bug with a patched core, and
// expects each to be caught within its number of seeds.
func TestPlantedInTheCore(t *testing.T) {
	if testing.Short() {
		t.Skip("short: the planted bugs of the core are left out (they build the core anew)")
	}
	files, err := filepath.Glob("testdata/bugs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bugs: %v", err)
	}
	for _, file := range files {
		b := readBug(t, file)
		t.Run(b.name, func(t *testing.T) {
			t.Parallel() // to build and link is serial work, mostly
			dir := t.TempDir()
			if b.unit != "" {
				b.missedByUnit(t, dir)
				return
			}
			binary := filepath.Join(dir, "sim.test")
			build := goTest("-c", "-overlay", b.plant(t, dir), "-o", binary, ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("the patched core must build: %v\n%s", err, out)
			}
			out, err := exec.Command(binary, "-test.run=^TestFresh$", "-test.timeout=120s", "-sim.from=1",
				fmt.Sprintf("-sim.seeds=%d", b.seeds), "-sim.mode="+b.mode).CombinedOutput()
			m := caught.FindStringSubmatch(string(out))
			if err == nil || m == nil {
				t.Fatalf("%s: not caught within %d seeds (%v)\n%.2000s", b.why, b.seeds, err, out)
			}
			t.Log(m[0])
			seed, _ := strconv.ParseUint(m[1], 10, 64)
			c, mode := Draw(seed)
			if b.mode != "" {
				mode = Mode(b.mode)
				c = DrawFor(seed, mode)
			}
			if _, v := Play(c, mode); v != nil {
				t.Errorf("the sound core fails on that seed, too:\n%v", v)
			}
		})
	}
}

// goTest is go test as quick as it builds, for a hundred binaries that run once.
func goTest(args ...string) *exec.Cmd {
	cmd := exec.Command("go", append([]string{"test", "-ldflags=-s -w"}, args...)...)
	cmd.Env = append(os.Environ(), "GOGC=400") // the compiler collects garbage for a third of its time
	return cmd
}

// missedByUnit fails unless the unit test that is meant for the bug finds it. What one
// rule prevents, others now make up for in whatever the seeds bring about.
func (b bug) missedByUnit(t *testing.T, dir string) {
	t.Helper()
	folder, test, elsewhere := strings.Cut(b.unit, " ")
	if !elsewhere {
		folder, test = b.in, b.unit
	}
	out, err := goTest("-vet=off", "-gcflags=-N -l", "-overlay", b.plant(t, dir), "-run", "^"+test+"$", "../../"+folder).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: "+test) {
		t.Errorf("%s: %s doesn't see it (%v)\n%.2000s", b.why, b.unit, err, out)
	}
}
