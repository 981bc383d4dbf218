package plugin_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/vippy-ha/vippy/plugin"
)

// TestMain makes the test binary a plugin where it was started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-plugin" {
		plugin.Main(watcher{os.Args[2]})
	}
	goleak.VerifyTestMain(m)
}
