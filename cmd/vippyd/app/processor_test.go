package app

import (
	"runtime"
	"testing"
)

// TestUseOneProcessor: one is enough, and the operator has the last word.
func TestUseOneProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	t.Setenv("GOMAXPROCS", "2")
	useOneProcessor()
	if n := runtime.GOMAXPROCS(0); n != 2 {
		t.Errorf("GOMAXPROCS=2 in the environment, and %d are used", n)
	}
	t.Setenv("GOMAXPROCS", "")
	useOneProcessor()
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d are used, 1 should be", n)
	}
}
