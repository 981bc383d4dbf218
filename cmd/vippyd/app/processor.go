package app

import (
	"os"
	"runtime"
)

// useOneProcessor has goroutines run one at a time, unless the operator chose another GOMAXPROCS.
// A daemon hardly computes; it wakes, and Go wakes a second thread for each datagram in case
// that there is more to do. Without that, the holder of 250 addresses at rest takes a fifth less
// of a processor (1.7 % instead of 2.2 when this was written), and daemons on a busy host are in
// each other's way less. A goroutine that does compute gives way after 10 ms (runtime,
// forcePreemptNS).
func useOneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}
