package imports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vippy-ha/vippy"

// A listed is what `go list -json` says of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string // direct, without those of tests
	Deps       []string // all of them
}

// list asks the go command for every package of the project.
func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list printed what is not JSON: %v", err)
		}
		pkgs = append(pkgs, p)
		// The go command keeps a test's result until a file that the test itself opened
		// has changed; what its child reads does not count.
		for _, dir := range []string{p.Dir, filepath.Dir(p.Dir)} {
			if _, err := os.ReadDir(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestImports holds every package to the map of rooms.
func TestImports(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) == 0 {
		t.Fatal("go list found no package")
	}
	for _, p := range pkgs {
		for _, fault := range edgeFaults(p) {
			t.Error(fault)
		}
	}
}

// TestPureRooms holds the deciding rooms to their word: no clock, no goroutine.
func TestPureRooms(t *testing.T) {
	files := 0
	for _, p := range list(t) {
		if r := roomOf(p.ImportPath); r == nil || !r.pure {
			continue
		}
		for _, name := range p.GoFiles {
			files++
			for _, fault := range sourceFaults(filepath.Join(p.Dir, name), nil) {
				t.Error(fault)
			}
		}
	}
	if files == 0 {
		t.Fatal("no source of a pure room was found")
	}
}

// TestEdgeFaults plants violations, to show that they would be found.
func TestEdgeFaults(t *testing.T) {
	tests := []struct {
		name string
		pkg  listed
		want string // part of the only fault; "" for none
	}{
		{"allowed room", listed{ImportPath: module + "/cluster", Imports: []string{module + "/vipgroup", "net/netip", "time"}}, ""},
		{"forbidden room", listed{ImportPath: module + "/cluster", Imports: []string{module + "/netplumb"}},
			"cluster must not import netplumb, because the core is driven"},
		{"the room below is another", listed{ImportPath: module + "/cluster", Imports: []string{module + "/cluster/multicast"}},
			"cluster must not import cluster/multicast"},
		{"the folder below is the same", listed{ImportPath: module + "/cmd/vippyd", Imports: []string{module + "/cmd/vippyd/app"}}, ""},
		{"forbidden standard package", listed{ImportPath: module + "/vipgroup", Imports: []string{"log/slog"}},
			"vipgroup must not import log/slog, because deciding code returns"},
		{"standard package through another", listed{ImportPath: module + "/vipgroup", Imports: []string{"fmt"}, Deps: []string{"os", "fmt"}}, ""},
		{"linked library", listed{ImportPath: module + "/cmd/vippyctl", Deps: []string{"github.com/vishvananda/netlink/nl"}},
			"cmd/vippyctl must not link github.com/vishvananda/netlink/nl, because only the daemon"},
		{"any library", listed{ImportPath: module + "/cluster", Deps: []string{"pgregory.net/rapid"}},
			"cluster must not link pgregory.net/rapid, because it must run in the simulation"},
		{"library inside the standard one", listed{ImportPath: module + "/cluster", Deps: []string{"vendor/golang.org/x/crypto/chacha20"}}, ""},
		{"no room", listed{ImportPath: module + "/utils"}, "utils is in no room"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := edgeFaults(tt.pkg)
			switch {
			case tt.want == "" && len(got) == 0:
			case tt.want != "" && len(got) == 1 && strings.Contains(got[0], tt.want):
			default:
				t.Errorf("faults %q, want one with %q", got, tt.want)
			}
		})
	}
}

// TestRoomsAreSound: a room is listed once, says why, and names only rooms.
func TestRoomsAreSound(t *testing.T) {
	var paths []string
	for _, r := range rooms {
		if slices.Contains(paths, r.path) {
			t.Errorf("%s is listed twice", r.path)
		}
		paths = append(paths, r.path)
	}
	for _, r := range rooms {
		if r.why == "" {
			t.Errorf("%s does not say why it uses no other rooms", r.path)
		}
		for _, u := range r.uses {
			if !slices.Contains(paths, u) {
				t.Errorf("%s uses %s, which is no room", r.path, u)
			}
		}
	}
}

// roomOf returns the innermost room of a package of the project, or nil.
func roomOf(importPath string) *room {
	var found *room
	for i := range rooms {
		r := &rooms[i]
		if matches(module+"/"+r.path+"/...", importPath) && (found == nil || len(r.path) > len(found.path)) {
			found = r
		}
	}
	return found
}

// edgeFaults says which imports of p go against the map.
func edgeFaults(p listed) []string {
	name := strings.TrimPrefix(p.ImportPath, module+"/")
	r := roomOf(p.ImportPath)
	if r == nil {
		return []string{fmt.Sprintf("%s is in no room: give it one in internal/imports/rooms_test.go", name)}
	}
	var faults []string
	for _, imp := range p.Imports {
		if to := roomOf(imp); to != nil && to != r && !slices.Contains(r.uses, to.path) {
			faults = append(faults, fmt.Sprintf("%s must not import %s, because %s", name, to.path, r.why))
		}
		for pattern, why := range r.never {
			if !isThirdParty(imp) && matches(pattern, imp) {
				faults = append(faults, fmt.Sprintf("%s must not import %s, because %s", name, imp, why))
			}
		}
	}
	for _, dep := range p.Deps {
		for pattern, why := range r.never {
			if isThirdParty(dep) && (pattern == thirdParty || matches(pattern, dep)) {
				faults = append(faults, fmt.Sprintf("%s must not link %s, because %s", name, dep, why))
			}
		}
	}
	return faults
}

// matches says whether the path is the pattern or, where the pattern ends in "/...",
// is or lies below what comes before.
func matches(pattern, path string) bool {
	top, below := strings.CutSuffix(pattern, "/...")
	return path == top || below && strings.HasPrefix(path, top+"/")
}

// isThirdParty: only paths outside the standard library begin with a domain.
func isThirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && path != module && !strings.HasPrefix(path, module+"/")
}
