package lab

import (
	"bytes"
	"testing"
)

// Eight daemons share 200 groups: whatever is done to one of them, each address has one owner
// afterwards, and no two on the way. How fast depends on the machine, which runs all of them.
func TestManyVIPsOnManyNodes(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	const groups = 200
	var out, diag bytes.Buffer
	wanted := []string{"stop", "return", "kill", "cut", "heal"}
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Nodes: 8, Groups: groups, Faults: wanted, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	results, _ := lines(t, out.String())
	if len(results) != len(wanted) {
		t.Errorf("%d results, want %d", len(results), len(wanted))
	}
	for _, r := range results {
		if !r.HeldOnce || r.DualMS != 0 || len(r.After) != groups || r.MovedMS == nil && r.Fault != "heal" {
			t.Errorf("%s of %s: held once: %v, two owners for %v ms, %d groups, moved in %v", r.Fault, r.Victim, r.HeldOnce, r.DualMS, len(r.After), r.MovedMS)
		}
	}
}
