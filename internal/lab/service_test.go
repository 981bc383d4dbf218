package lab

import (
	"bytes"
	"testing"
)

// What a killed service had goes to a healthy node, and comes to nobody twice; and plugins
// that crash, hang, flood and talk rubbish move nothing. How fast is the row's to say.
func TestDrillOfServices(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	noLeak(t)
	var out, diag bytes.Buffer
	wanted := []string{"service", "plugins"}
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, Faults: wanted, Runs: 1, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	results, _ := lines(t, out.String())
	if len(results) != len(wanted) {
		t.Fatalf("%d results, want %d", len(results), len(wanted))
	}
	for i, r := range results {
		if r.Fault != wanted[i] || !r.HeldOnce || r.DualMS != 0 || (r.MovedMS != nil) != (r.Fault == "service") {
			t.Errorf("bad result: %+v", r)
		}
		for group, owner := range r.Before {
			if r.Fault == "service" && owner == r.Victim && r.After[group] == "" {
				t.Errorf("%s went from %s to nobody", group, owner)
			}
		}
	}
}
