package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// about describes this machine and these sources, and neither by a name or a path.
func (r *runner) about() (*About, error) {
	a := &About{Date: time.Now().UTC().Format(time.DateOnly), Command: r.Command, Cores: runtime.NumCPU(), Go: runtime.Version(),
		Keepalived: "not installed", Runs: r.Runs, Seed: r.Seed,
		WatchS: watchMost.Seconds(), HealS: healMost.Seconds(), RestS: restFor.Seconds()}
	commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return nil, fmt.Errorf("bench: which commit is this? %w", err)
	}
	a.Commit = strings.TrimSpace(string(commit))
	changed, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no", "--", "*.go", "go.mod", "go.sum").Output()
	if err != nil {
		return nil, fmt.Errorf("bench: have the sources changed? %w", err)
	}
	if len(bytes.TrimSpace(changed)) > 0 {
		a.Commit += "+"
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	// Only the version: what a distributor or a host's owner adds is theirs.
	a.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(name.Release[:]), "-")
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(info)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			a.CPU = strings.TrimSpace(value)
			break
		}
	}
	if r.keepalived != "" {
		// It speaks on stderr: "Keepalived v2.2.7 (01/16,2022)".
		said, err := exec.Command(r.keepalived, "--version").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("bench: which keepalived is this? %w", err)
		}
		if words := strings.Fields(string(said)); len(words) > 1 {
			a.Keepalived = strings.TrimPrefix(words[1], "v")
		}
	}
	return a, nil
}
