package daemon

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBootIDsGrow(t *testing.T) {
	tests := []struct {
		name, kept string
		above      uint64
	}{
		{"no file", "", 0},
		{"a clock that was set back", strconv.FormatUint(math.MaxInt64, 10), math.MaxInt64},
		{"a file that nobody understands", "soon", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s, err := openState(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if tt.kept != "" {
				if err := os.WriteFile(filepath.Join(dir, "boot"), []byte(tt.kept), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			last := tt.above
			for range 3 {
				boot, err := s.nextBoot()
				if err != nil {
					t.Fatal(err)
				}
				if boot <= last {
					t.Fatalf("boot id %d after %d", boot, last)
				}
				kept, err := os.ReadFile(filepath.Join(dir, "boot"))
				if err != nil || string(kept) != strconv.FormatUint(boot, 10) {
					t.Fatalf("kept %q (%v), want %d", kept, err, boot)
				}
				last = boot
			}
		})
	}
}

func TestASecondDaemonIsRefused(t *testing.T) {
	dir := t.TempDir()
	first, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openState(dir)
	if pid := strconv.Itoa(os.Getpid()); err == nil || !strings.Contains(err.Error(), "another vippyd (pid "+pid+")") {
		t.Errorf("got %v, want that pid %s is there", err, pid)
	}
	first.close()
	second, err := openState(dir)
	if err != nil {
		t.Fatalf("after the first one's end: %v", err)
	}
	second.close()
}

func TestAStateDirThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(filepath.Join(file, "state")); err == nil || !strings.Contains(err.Error(), "set state_dir") {
		t.Errorf("got %v, want the remedy", err)
	}
}

// The guard of a dead daemon shares its lock: the next daemon waits for its end.
func TestTheLockOfADeadDaemonsGuard(t *testing.T) {
	dir := t.TempDir()
	first, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	const dead = 1<<22 + 1 // above PID_MAX_LIMIT, so that it is nobody else's by now
	if _, err := first.lock.WriteAt(fmt.Appendf(nil, "%d\n", dead), 0); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		time.Sleep(5 * lockEvery)
		close(closed)
		first.close()
	}()
	second, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	select {
	case <-closed:
	default:
		t.Error("the lock was taken while the guard had it")
	}
}

// Who can write the folder may have put a link in the lock's place: nothing is emptied for that.
func TestLockFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "shadow")
	if err := os.WriteFile(victim, []byte("root"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "set state_dir") {
		t.Errorf("openState returned %v", err)
	}
	if text, err := os.ReadFile(victim); string(text) != "root" {
		t.Errorf("the file has %q, %v", text, err)
	}
}
