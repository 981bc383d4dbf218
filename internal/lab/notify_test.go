package lab

import (
	"bytes"
	"testing"
)

// A node with 100 VIPs is lost, and who takes them has a whole /16 to tell: nobody waits for
// that, and no address is on two nodes for it.
func TestATakeOverDoesNotWaitForNotify(t *testing.T) {
	kernel(t)
	path := build(t, "")
	tempdir(t)
	var out, diag bytes.Buffer
	ok, err := Run(t.Context(), Options{Vippyd: path, JSON: true, VIPs: 100, Notify: true, Faults: []string{"kill"}, Stdout: &out, Stderr: &diag})
	if err != nil || !ok {
		t.Fatalf("ok is %v, error %v\n%s%s", ok, err, out.String(), diag.String())
	}
	// The whole network takes more than four minutes to tell.
	results, _ := lines(t, out.String())
	if r := results[0]; r.MovedMS == nil || *r.MovedMS > 60_000 || r.GapMS > 60_000 || r.DualMS != 0 {
		t.Errorf("with a /16 to tell: %+v", r)
	}
}
