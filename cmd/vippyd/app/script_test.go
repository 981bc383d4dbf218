package app

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	testscript.Main(leaks{m}, map[string]func(){
		"vippyd": func() { os.Exit(Main(os.Args[1:])) },
	})
}

// leaks fails a run that leaves goroutines behind.
type leaks struct{ m *testing.M }

// Run runs the tests and then looks for goroutines.
func (l leaks) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString("goroutines were left: " + err.Error() + "\n")
		code = 1
	}
	return code
}

// TestScripts runs the real commands, as a person would type them.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}
