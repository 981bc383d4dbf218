package lab

import (
	"os"
	"testing"
)

// kernel marks a test that needs namespaces. It fails where they are refused; only -short
// leaves it out, and says so.
func kernel(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("left out by -short: needs network namespaces")
	}
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to make network namespaces (-short leaves it out)")
	}
}
