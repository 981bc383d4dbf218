package check

import (
	"bytes"
	"strings"
	"unicode"
)

// tailLen is how much of a command's output is kept, lineLen how much of its last line
// is shown, in bytes.
const (
	tailLen = 1024
	lineLen = 200
)

// A tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p[max(0, len(p)-tailLen):]...)
	if over := len(t.kept) - tailLen; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// line returns the last line that has something to show, fit for a log: one line of
// printable text, not too long.
func (t *tail) line() string {
	lines := bytes.FieldsFunc(t.kept, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		text := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsSpace(r):
				return ' '
			case r == unicode.ReplacementChar || !unicode.IsPrint(r):
				return -1
			}
			return r
		}, string(lines[i]))
		text = strings.TrimSpace(text)
		if len(text) > lineLen {
			text = strings.ToValidUTF8(text[:lineLen], "") + "…"
		}
		if text != "" {
			return text
		}
	}
	return ""
}
