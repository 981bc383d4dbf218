package bench

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A member is one process of a system on one host, held by a descriptor so that a signal
// never meets another process that got its number.
type member struct {
	pid  int
	name string
	fd   int
}

// family returns a process and its descendants, the process first.
func family(pid int) (out []member, err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		unix.Close(fd)
		return nil, nil // it has just ended
	}
	out = append(out, member{pid, strings.TrimSpace(string(name)), fd})
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return out, nil
	}
	for _, t := range tasks {
		// The children that this thread started (proc(5)).
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			continue
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return out, fmt.Errorf("children of process %d: %w", pid, err)
			}
			more, err := family(child)
			out = append(out, more...)
			if err != nil {
				return out, err
			}
		}
	}
	return out, nil
}

// signal sends a signal to all; those that have ended don't mind.
func signal(all []member, sig unix.Signal) error {
	var errs []error
	for _, m := range all {
		if err := unix.PidfdSendSignal(m.fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("send %v to process %d: %w", sig, m.pid, err))
		}
	}
	return errors.Join(errs...)
}

// await waits until all have ended.
func await(all []member) error {
	for _, m := range all {
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(m.fd), Events: unix.POLLIN}}, -1)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for process %d: %w", m.pid, err)
			}
		}
	}
	return nil
}

// forget closes the descriptors.
func forget(all []member) {
	for _, m := range all {
		unix.Close(m.fd)
	}
}

// ticks is how many parts of a second /proc/PID/stat counts in (USER_HZ, always 100).
const ticks = 100

// processor is the processor time that a process has taken, in seconds.
func processor(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; utime and stime are fields 14 and 15.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	sum := 0.0
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		sum += n / ticks
	}
	return sum, nil
}

// memory is what a process has in memory, in KiB: all of it, its share of what it has in
// common with others, and what is only its own.
type memory struct{ resident, share, private float64 }

// resident reads /proc/PID/smaps_rollup.
func resident(pid int) (m memory, err error) {
	path := fmt.Sprintf("/proc/%d/smaps_rollup", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) != 3 || words[2] != "kB" {
			continue
		}
		n, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return m, fmt.Errorf("%s: %w", path, err)
		}
		switch words[0] {
		case "Rss:":
			m.resident = n
		case "Pss:":
			m.share = n
		case "Private_Clean:", "Private_Dirty:":
			m.private += n
		}
	}
	return m, nil
}
