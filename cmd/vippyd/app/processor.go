package app

import (
	"os"
	"runtime"
)

// useOneProcessor has goroutines run one at a time, unless the operator chose another GOMAXPROCS.
// A daemon hardly computes; it wakes, and Go wakes a second thread for each datagram in case
// that there is more to do. Without that, a daemon at rest takes a fifth less of a processor
// (docs/benchmarks.md measures it), and daemons on a busy host are in each other's way less. A
// goroutine that does compute gives way after 10 ms (runtime, forcePreemptNS).
func useOneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
