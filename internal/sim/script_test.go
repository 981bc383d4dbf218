package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the traces of the scripts anew")

// traceMark stands between a script and its trace.
const traceMark = "\n-- trace --\n"

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(text), traceMark)
			s, err := ParseScript(script)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			got, err := s.Run()
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(script+traceMark+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: the trace differs (-update writes it anew):\n%s", file, d)
			}
		})
	}
}
