package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// clocks are the names of package time that read a clock or wait; the others only count.
var clocks = map[string]bool{
	"Now": true, "Since": true, "Until": true,
	"Sleep": true, "After": true, "AfterFunc": true, "Tick": true,
	"NewTimer": true, "NewTicker": true, "Timer": true, "Ticker": true,
}

// sourceFaults says where a file of a pure room reads a clock or starts a goroutine.
// The source is read from the file unless it is given.
func sourceFaults(name string, src any) []string {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	fault := func(n ast.Node, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
	}
	local := "" // what this file calls package time
	for _, spec := range f.Imports {
		if path, _ := strconv.Unquote(spec.Path.Value); path != "time" {
			continue
		}
		local = "time"
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if local == "." {
			fault(spec, "imports all names of package time, because of which nobody can see who reads a clock")
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			fault(n, "starts a goroutine: deciding code runs in its caller's loop and nowhere else, so that a simulation replays it exactly")
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			fault(n, "uses a channel: deciding code never waits")
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && local != "" && x.Name == local && clocks[n.Sel.Name] {
				fault(n, "uses time.%s: the time comes in as an argument, so that tests and the simulation move it by hand", n.Sel.Name)
			}
		}
		return true
	})
	return faults
}

// TestSourceFaults plants violations in a small file, to show that they would be found.
func TestSourceFaults(t *testing.T) {
	tests := []struct {
		name, imports, body string
		want                string // part of the only fault; "" for none
	}{
		{"time as an argument", `"time"`, `var d = time.Time{}.Add(2 * time.Second)`, ""},
		{"the clock", `"time"`, `var now = time.Now()`, "room.go:5:11: uses time.Now"},
		{"the clock as a value", `"time"`, `var clock func() time.Time = time.Now`, "uses time.Now"},
		{"since", `"time"`, `func f(t time.Time) any { return time.Since(t) }`, "uses time.Since"},
		{"a timer", `"time"`, `var t *time.Timer`, "uses time.Timer"},
		{"a wait", `"time"`, `func f() { time.Sleep(1) }`, "uses time.Sleep"},
		{"another name", `wall "time"`, `var now = wall.Now()`, "uses time.Now"},
		{"no name", `. "time"`, `var now = Now()`, "imports all names"},
		{"another package's Now", `"example.org/time/v2"`, `var now = time.Now()`, ""},
		{"a method Now", `"time"`, `type n struct{}; func (n) Now() {}; var _ = time.Second; func f() { n{}.Now() }`, ""},
		{"a goroutine", ``, `func f() { go f() }`, "starts a goroutine"},
		{"a goroutine in a literal", ``, `var f = func() { go func() {}() }`, "starts a goroutine"},
		{"a channel", ``, `var c chan int`, "uses a channel"},
		{"a select", ``, `func f() { select {} }`, "uses a channel"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := "package room\n\nimport (" + tt.imports + ")\n\n" + tt.body + "\n"
			got := sourceFaults("room.go", src)
			switch {
			case tt.want == "" && len(got) == 0:
			case tt.want != "" && len(got) == 1 && strings.Contains(got[0], tt.want):
			default:
				t.Errorf("faults %q, want one with %q", got, tt.want)
			}
		})
	}
}
