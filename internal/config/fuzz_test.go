package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/vipgroup"
)

// FuzzParse: no bytes make Parse panic; what it accepts is a plan that travels, and what
// it refuses has a place and one line of text per fault.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../examples/*.conf", "testdata/*.conf", "testdata/*.txt"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s, %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range []string{
		"", "{", "a: &x [*x]", "? a\n: b", "- - - -", "a: |\n  b\n", "a: >-\n  b\n", "<<: {}", "%YAML 1.2\n---\na: b",
		"!!map {}", "{a: [1, {b: c}], 'd': \"e\\u0041\"}", "a:\n- b\n-\n", "\ufeffa: b\r\n", "a: 'x\n\n y'", "...", "--- |\n x",
	} {
		f.Add([]byte(text))
		f.Add([]byte(minimal + text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			fs := AsFaults(err)
			if len(fs) == 0 {
				t.Fatalf("an error without faults: %v", err)
			}
			for _, fault := range fs {
				if fault.Text == "" || strings.ContainsAny(fault.Error(), "\n\x00\x1b") || fault.Line > 0 && fault.Column < 1 {
					t.Fatalf("a fault that can't be read: %q", fault.Error())
				}
				if fault.Line == 0 && !placeless(fault) {
					t.Fatalf("a fault without a place: %v", fault)
				}
				if lines := strings.Count(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n") + strings.Count(string(data), "\r") + 1; fault.Line > lines {
					t.Fatalf("line %d of %d: %v", fault.Line, lines, fault)
				}
			}
			return
		}
		again, err := vipgroup.Decode(c.Plan.Encode())
		if err != nil || again.Digest() != c.Plan.Digest() {
			t.Fatalf("the plan does not travel: %v", err)
		}
		if len(c.Secrets) == 0 && c.SecretFile == "" || c.Interval <= 0 || c.Stale < 3*c.Interval || c.Lifetime <= 0 {
			t.Fatalf("not a config: %+v", c)
		}
	})
}

// placeless says whether a fault is about the whole file; what NewPlan finds is not.
func placeless(f Fault) bool {
	missing := f.Key != "" && strings.HasPrefix(f.Text, "missing")
	return missing || strings.HasPrefix(f.Text, "is empty") || strings.HasPrefix(f.Text, "and ") || strings.HasPrefix(f.Text, "not YAML")
}
