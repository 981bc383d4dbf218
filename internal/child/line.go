package child

import (
	"bytes"
	"strings"
	"unicode"
)

// maxLine is how much of a line is shown, in bytes.
const maxLine = 200

// FirstLine returns the first line of a text that has something to show, fit for a log;
// "" for none.
func FirstLine(text []byte) string {
	for line := range bytes.FieldsFuncSeq(text, lineEnd) {
		if s := Line(line); s != "" {
			return s
		}
	}
	return ""
}

// LastLine returns the last line of a text that has something to show, fit for a log; ""
// for none.
func LastLine(text []byte) string {
	lines := bytes.FieldsFunc(text, lineEnd)
	for i := len(lines) - 1; i >= 0; i-- {
		if s := Line(lines[i]); s != "" {
			return s
		}
	}
	return ""
}

func lineEnd(r rune) bool { return r == '\n' || r == '\r' }

// Line makes a text fit for a log: one line of printable text, not too long.
func Line(text []byte) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, string(text))
	s = strings.TrimSpace(s)
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return s
}
