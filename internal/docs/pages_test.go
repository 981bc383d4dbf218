package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// top is the folder of the project.
var top = filepath.Join("..", "..")

// A block is a fenced piece of a page.
type block struct {
	page, language, text string
	line                 int
}

// fence opens or closes a block; one in a list is indented.
var fence = regexp.MustCompile("^( *)```([a-z]*)(.*)$")

// read returns a page's prose, and the blocks that are fenced off from it.
func read(t *testing.T, page string) (prose string, blocks []block) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(top, page))
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	indent := ""
	for i, line := range strings.Split(string(data), "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			indent, open = m[1], &block{page: page, language: m[2], line: i + 1}
		case m != nil:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		default:
			prose += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: a fence that is not closed", page, open.line)
	}
	return prose, blocks
}

// pages lists every page of the project, from its top.
func pages(t *testing.T) []string {
	t.Helper()
	found := []string{"README.md", "CONTRIBUTING.md"}
	more, err := filepath.Glob(filepath.Join(top, "docs", "*.md"))
	if err != nil || len(more) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	for _, path := range more {
		found = append(found, filepath.Join("docs", filepath.Base(path)))
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors returns what a link to a part of the page may name, as forges spell it.
func anchors(t *testing.T, page string) (out []string) {
	t.Helper()
	prose, _ := read(t, page)
	for _, m := range heading.FindAllStringSubmatch(prose, -1) {
		out = append(out, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return out
}

// TestLinks follows every link that stays in the project.
func TestLinks(t *testing.T) {
	followed := 0
	for _, page := range pages(t) {
		prose, _ := read(t, page)
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			followed++
			path, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(filepath.Join(top, target)); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s: the link %s names no heading of %s", page, m[1], target)
			}
		}
	}
	if followed < 10 {
		t.Errorf("only %d links were found", followed)
	}
}

// TestAlarms: docs/operations.md explains the alarms that docs/reference.md lists.
func TestAlarms(t *testing.T) {
	prose, _ := read(t, "docs/reference.md")
	_, list, ok := strings.Cut(prose, "\nAlarms: ")
	if !ok {
		t.Fatal("docs/reference.md has no list of alarms")
	}
	list, _, _ = strings.Cut(list, "\n\n")
	want := quoted(list)
	prose, _ = read(t, "docs/operations.md")
	_, table, _ := strings.Cut(prose, "\n## Alarms\n")
	table, _, _ = strings.Cut(table, "\n## ")
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		got = append(got, m[1])
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("docs/operations.md explains %q, docs/reference.md lists %q", got, want)
	}
}

// TestLogLines: what docs/operations.md quotes of the log is in the source, piece by
// piece between what varies.
func TestLogLines(t *testing.T) {
	var source strings.Builder
	for _, room := range []string{"internal/daemon", "internal/hook", "plugin", "internal/guard", "internal/config", "cluster/multicast"} {
		files, err := filepath.Glob(filepath.Join(top, room, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no source in %s: %v", room, err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(path, "_test.go") {
				source.Write(data)
			}
		}
	}
	prose, _ := read(t, "docs/operations.md")
	_, table, _ := strings.Cut(prose, "\n## The log\n")
	table, _, _ = strings.Cut(table, "\n## ")
	lines := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllStringSubmatch(table, -1) {
		for _, line := range quoted(row[1]) {
			lines++
			for piece := range strings.SplitSeq(line, "…") {
				if piece = strings.Trim(piece, " :"); !strings.Contains(source.String(), piece) {
					t.Errorf("the log has no %q any more, of which docs/operations.md tells in %q", piece, line)
				}
			}
		}
	}
	if lines < 20 {
		t.Errorf("only %d lines of the log were found", lines)
	}
}

// quoted returns what stands between backquotes.
func quoted(text string) (out []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}
