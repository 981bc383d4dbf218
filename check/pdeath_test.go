package check_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/child/childtest"
)

// daemonFile, where set, makes the test binary a daemon whose only check writes its
// process id to that file, and hangs.
const daemonFile = "VIPPY_TEST_DAEMON_FILE"

func TestMain(m *testing.M) {
	if file := os.Getenv(daemonFile); file != "" {
		e := check.Exec{Common: check.Common{Label: "hanging", Interval: time.Hour}, User: strconv.Itoa(os.Geteuid()),
			Command: sh(`echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 1000`, file)}
		_ = e.Run(context.Background(), make(ballotBox))
		return
	}
	goleak.VerifyTestMain(m)
}

func TestDiesWithTheDaemon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	daemon := exec.Command(os.Args[0])
	daemon.Env = append(os.Environ(), daemonFile+"="+file)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, file)
	if err := daemon.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = daemon.Wait() // killed
	for _, pid := range pids(t, file) {
		childtest.WantDead(t, pid)
	}
}
