package lab

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a process has of what can leak.
type usage struct {
	// MemoryKB is the resident memory; of the lab, which doesn't collect garbage while it
	// measures, what is reachable.
	MemoryKB int `json:"memory_kb"`
	Threads  int `json:"threads"`
	Files    int `json:"files"`
	// Goroutines is 0 for a guard, which doesn't tell.
	Goroutines int `json:"goroutines"`
}

// usageOf reads what a process uses from the kernel.
func usageOf(pid int) (u usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return u, err
	}
	u.Files = len(files)
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(text)) {
		switch words := strings.Fields(line); {
		case len(words) < 2:
		case words[0] == "VmRSS:":
			u.MemoryKB, err = strconv.Atoi(words[1])
		case words[0] == "Threads:":
			u.Threads, err = strconv.Atoi(words[1])
		}
		if err != nil {
			return u, fmt.Errorf("process %d: %w", pid, err)
		}
	}
	return u, nil
}

// usage is what the processes use that live as long as the soak.
func (s *soak) usage(ctx context.Context) (map[string]usage, error) {
	guard, err := s.lasting.guardPID(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]usage{}
	for name, pid := range map[string]int{"daemon": s.lasting.proc.cmd.Process.Pid, "guard": guard, "lab": os.Getpid()} {
		if out[name], err = usageOf(pid); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	daemon, own := out["daemon"], out["lab"]
	if daemon.Goroutines, err = s.lasting.goroutines(ctx); err != nil {
		return nil, err
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	own.MemoryKB, own.Goroutines = int(mem.HeapAlloc>>10), runtime.NumGoroutine()
	out["daemon"], out["lab"] = daemon, own
	return out, nil
}

// goroutines asks a node's daemon how many it has.
func (n *node) goroutines(ctx context.Context) (int, error) {
	const metric = "\nvippy_goroutines "
	text, err := n.socket.Get(ctx, "/metrics")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", n.name, err)
	}
	_, rest, found := bytes.Cut(text, []byte(metric))
	if !found {
		return 0, fmt.Errorf("%s: its metrics have no %q", n.name, strings.TrimSpace(metric))
	}
	value, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.Atoi(string(value))
}

// leaks says what has grown by more than comes and goes: a connection that is being
// answered, threads that Go keeps, memory between two collections.
func (g Growth) leaks() string {
	var out []string
	note := func(what string, begin, end, most int) {
		if end > begin+most {
			out = append(out, fmt.Sprintf("%s %d, then %d", what, begin, end))
		}
	}
	note("memory (KB)", g.Begin.MemoryKB, g.End.MemoryKB, 8<<10)
	note("threads", g.Begin.Threads, g.End.Threads, 8)
	note("files", g.Begin.Files, g.End.Files, 4)
	note("goroutines", g.Begin.Goroutines, g.End.Goroutines, 8)
	return strings.Join(out, ", ")
}

// restLimit is how long what a fault began may take to end: a plugin that doesn't heed its end
// is killed in the end.
const restLimit = 10 * time.Second

// atRest compares what is used with what was before, and says what leaks: what has grown and
// doesn't end within a limit.
func (s *soak) atRest(ctx context.Context, before map[string]usage, look func(context.Context) (map[string]usage, error), limit time.Duration) ([]string, error) {
	for begin := now(); ; {
		after, err := look(ctx)
		if err != nil {
			return nil, err
		}
		var leaks []string
		for _, name := range slices.Sorted(maps.Keys(after)) {
			g := Growth{before[name], after[name]}
			s.report.Usage[name] = g
			if grown := g.leaks(); grown != "" {
				leaks = append(leaks, fmt.Sprintf("the %s leaks: %s", name, grown))
			}
		}
		if len(leaks) == 0 || begin.since() >= limit {
			return leaks, nil
		}
		if err := Pause(ctx, pollEvery); err != nil {
			return nil, err
		}
	}
}

// namespaces are the inodes of the network namespaces of a wire, by which processes in them
// are known.
func (w *wire) namespaces() (out []uint64, err error) {
	for _, s := range append([]*space{w.space}, w.spaces()...) {
		var st unix.Stat_t
		if err := unix.Fstat(int(s.ns.Fd()), &st); err != nil {
			return nil, fmt.Errorf("namespace %s: %w", s.name, err)
		}
		out = append(out, st.Ino)
	}
	return out, nil
}

func (w *wire) spaces() (out []*space) {
	for _, p := range w.ports {
		out = append(out, p.space)
	}
	return out
}

// leftLimit is how long processes may take to end after a lab: guards do their duty first.
const leftLimit = 10 * time.Second

// left says which processes still live in network namespaces that a lab has left.
func left(namespaces []uint64) string {
	for begin := now(); ; time.Sleep(pollEvery) {
		there := living(namespaces)
		if len(there) == 0 {
			return ""
		}
		if begin.since() > leftLimit {
			return "processes are left in the lab's namespaces: " + strings.Join(there, " ")
		}
	}
}

// living lists the processes that have a thread in one of the network namespaces.
func living(namespaces []uint64) (pids []string) {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	for _, task := range tasks {
		var st unix.Stat_t
		if unix.Stat(task, &st) == nil && slices.Contains(namespaces, st.Ino) {
			pids = append(pids, strings.Split(task, "/")[2])
		}
	}
	return slices.Compact(pids)
}
