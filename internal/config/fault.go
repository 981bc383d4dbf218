package config

import (
	"errors"
	"fmt"
	"strings"
)

// A Fault is one thing that is wrong with a file.
type Fault struct {
	File string
	// Line and Column count from 1, the column in characters; Line 0 means the whole file.
	Line, Column int
	// Key is the path of the value at fault, such as "vips[2][0].ip"; "" for the whole file.
	Key string
	// Text says what was found and what would be right. It never holds a secret.
	Text string
}

// Error returns `vippy.conf:14:9: vips[2][0].ip: "10.8.3.395/24" is not an address`.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Text)
	return b.String()
}

// Faults are all that was found wrong with a file, in the order of the file.
type Faults []Fault

// Error returns one line per fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// AsFaults returns the faults in err, or nil when err is of another kind.
func AsFaults(err error) Faults {
	var fs Faults
	if errors.As(err, &fs) {
		return fs
	}
	return nil
}
