package bench

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Vippy alone goes through every fault, and each leaves a record; the same code does them
// to keepalived, which need not be here.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("left out by -short: needs network namespaces")
	}
	vippyd := filepath.Join(t.TempDir(), "vippyd")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", vippyd, "./cmd/vippyd")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir, err := os.MkdirTemp("", "vb") // short, since a socket's path must be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)

	var out bytes.Buffer
	o := Options{Vippyd: vippyd, Runs: 1, Heals: 2, Parts: []string{"faults", "heals"}, Systems: []System{VippyDefault}, Log: io.Discard}
	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	records, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range records[1:] {
		f := r.Fault
		seen[f.Name]++
		if f.Open || f.DualMS != 0 {
			t.Errorf("it is not settled, or two owners: %+v", *f)
		}
		if moved := f.Name != "none"; moved != (f.MovedMS > 0) {
			t.Errorf("something moved: %v, want %v: %+v", !moved, moved, *f)
		}
	}
	for _, f := range faults {
		want := 1
		if f.name == heal {
			want = o.Heals
		}
		if seen[f.name] != want {
			t.Errorf("%s: %d records, want %d", f.name, seen[f.name], want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
