package lab

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// redrawEvery bounds how often the live table is drawn.
const redrawEvery = 200 * time.Millisecond

// A screen shows the drill to a person, or writes it as JSON for a program. Where Stdout
// is a terminal, the live table stands below the results and is drawn over.
type screen struct {
	out, err io.Writer
	json     bool
	terminal bool

	mu    sync.Mutex
	head  bool // the results' head line is written
	drawn int  // lines of the live table on the terminal
	last  time.Time
	now   string // what is being done
}

func newScreen(o Options) *screen {
	s := &screen{out: o.Stdout, err: o.Stderr, json: o.JSON}
	if f, ok := o.Stdout.(*os.File); ok && !o.JSON {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		s.terminal = err == nil
	}
	return s
}

// erase takes the live table off the terminal.
func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.drawn) // cursor up, erase below (ECMA-48)
		s.drawn = 0
	}
}

// say writes a sentence for people, beside the results.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintf(s.err, format+"\n", args...)
}

// doing names what the live table shows.
func (s *screen) doing(fault, victim string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.last = fault+" "+victim, time.Time{}
}

// result writes one result.
func (s *screen) result(r Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		io.WriteString(s.out, line(r))
		return
	}
	s.erase()
	if !s.head {
		fmt.Fprintln(s.out, resultHead)
		s.head = true
	}
	fmt.Fprintln(s.out, r.row())
	if r.Note != "" {
		fmt.Fprintln(s.out, "    "+r.Note)
	}
}

// summary writes the end; t are the times that the nodes had.
func (s *screen) summary(results []Result, t times) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ok := verdict(results)
	if s.json {
		io.WriteString(s.out, line(struct {
			Summary map[string]Summary `json:"summary"`
			OK      bool               `json:"ok"`
		}{summarize(results, t), ok}))
		return
	}
	s.erase()
	fmt.Fprintf(s.out, "\n%s\n", summaryTable(results, t))
	if ok {
		fmt.Fprintln(s.out, "ok: every address was on exactly one node after every fault, and never on two where that is promised")
	} else {
		fmt.Fprintln(s.out, "NOT OK: see the rows above")
	}
}

// soaked writes the end of a soak.
func (s *screen) soaked(r *SoakReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.json {
		io.WriteString(s.out, line(struct {
			Soak *SoakReport `json:"soak"`
			OK   bool        `json:"ok"`
		}{r, len(r.Wrong) == 0}))
		return
	}
	s.erase()
	fmt.Fprintf(s.out, "\n%s\n", r.table())
}

// live draws the table that lines returns, on a terminal and not too often.
func (s *screen) live(lines func() []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal || time.Since(s.last) < redrawEvery {
		return
	}
	table := append([]string{"", "now: " + s.now}, lines()...)
	s.erase()
	width := 200
	if f, ok := s.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			width = int(size.Col)
		}
	}
	for i, l := range table {
		table[i] = l[:min(len(l), width-1)] // a wrapped line could not be drawn over
	}
	fmt.Fprintln(s.out, strings.Join(table, "\n"))
	s.drawn, s.last = len(table), time.Now()
}
