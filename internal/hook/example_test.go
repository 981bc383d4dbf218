package hook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestExample runs the hook of the handbook, as the handbook configures it.
func TestExample(t *testing.T) {
	script, err := os.ReadFile("../../examples/hook/owned")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```text\n"+string(script)+"```") {
		t.Error("docs/operations.md shows another script than examples/hook/owned")
	}
	command := []string{"DIR/owned", "DIR/groups"}
	s := play(t, Hook{Event: "taken", Command: command}, Hook{Event: "released", Command: slices.Clone(command)}, Hook{Event: "still-owner", Command: slices.Clone(command)})
	if err := os.WriteFile(filepath.Join(s.dir, "owned"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	groups := filepath.Join(s.dir, "groups")
	if err := os.Mkdir(groups, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(groups, 0o777); err != nil {
		t.Fatal(err)
	}
	s.Emit(event("taken", "web", 1))
	s.Emit(event("taken", "db", 2))
	s.Emit(event("released", "db", 3))
	s.Emit(event("still-owner", "web", 4))
	s.finish()
	files, err := os.ReadDir(groups)
	if err != nil || len(files) != 1 || files[0].Name() != "web" {
		t.Fatalf("the folder has %v (%v)\n%s", files, err, &s.log)
	}
	var e Event
	if err := json.Unmarshal([]byte(s.file("groups/web")), &e); err != nil || e.Kind != "still-owner" || e.Group != "web" {
		t.Errorf("web is %+v (%v)", e, err)
	}
}
