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
			s.cfg.Again = "-run " + t.Name()
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

// TestScriptMistakes: what a script gets wrong is an error, and no test of nothing.
func TestScriptMistakes(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"nodes 3\ngroups 1\nbegin cutt n0 n1", `no fault is called "cutt"`},
		{"nodes 3\ngroups 1\nbegin cut n0 n7", `"n7" is neither a node nor a number`},
		{"nodes 3\ngroups 1@n3", `groups: "n3" is no node`},
		{"nodes 3\ngroups 1@first", `groups: "first" is no node`},
		{"nodes 3\ngroups 1\nexpect owner x n0", "no such address"},
		{"nodes 3\ngroups 1\nbegin forget n0 9", "no such address"},
		{"nodes 3\ngroups 1\nend cut n0 n1", "no such fault is going on"},
		{"nodes 3\ngroups 1\nexpekt held", `"expekt" is not a word of the language`},
		{"nodes 3", "a script needs a line of groups"},
	} {
		s, err := ParseScript(tt.script)
		if err == nil {
			_, err = s.Run()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: the error is %v, want %s", tt.script, err, tt.want)
		}
	}
}
