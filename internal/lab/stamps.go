package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// The messages by which a daemon says at level debug, after the fact, when an address was
// added to its kernel or removed. The attribute at is the CLOCK_MONOTONIC when the call
// returned, in nanoseconds.
const (
	addedMessage   = "address added"
	removedMessage = "address removed"
)

// parseStamp reads one line of a daemon's log (log/slog's text form); false when it says
// nothing about an address.
func parseStamp(line string, node byte) (change, bool) {
	c := change{node: node}
	switch {
	case strings.Contains(line, `msg="`+addedMessage+`"`):
		c.present = true
	case !strings.Contains(line, `msg="`+removedMessage+`"`):
		return change{}, false
	}
	at, err := strconv.ParseInt(attribute(line, "at"), 10, 64)
	if err != nil {
		return change{}, false
	}
	c.at = instant(at)
	addr := attribute(line, "addr")
	if prefix, err := netip.ParsePrefix(addr); err == nil {
		c.addr = prefix.Addr()
	} else if c.addr, err = netip.ParseAddr(addr); err != nil {
		return change{}, false
	}
	return c, true
}

// attribute returns the unquoted value of a key in a line of log/slog's text form.
func attribute(line, key string) string {
	_, rest, found := strings.Cut(line, " "+key+"=")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, " ")
	return strings.TrimSpace(value)
}

// A stampReader reads a node's log as it grows.
type stampReader struct {
	path   string
	node   byte
	offset int64
	stamps []change
	// told: there was at least one.
	told bool
}

// read returns all stamps so far. A line that is not finished yet is left for later.
func (r *stampReader) read() ([]change, error) {
	f, err := os.Open(r.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Seek(r.offset, io.SeekStart); err != nil {
		return nil, err
	}
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return r.stamps, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the log of node %d: %w", r.node, err)
		}
		r.offset += int64(len(line))
		if c, ok := parseStamp(string(bytes.TrimSpace(line)), r.node); ok {
			r.stamps, r.told = append(r.stamps, c), true
		}
	}
}

// forget drops the stamps so far.
func (r *stampReader) forget() { r.stamps = nil }
