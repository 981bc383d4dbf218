package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vippy-ha/vippy/vipgroup"
)

// knownKeys returns every key that the walker knows, by the heading under which
// docs/reference.md lists it.
func knownKeys() map[string][]string {
	w := &walker{cfg: defaults("")}
	return map[string][]string{
		"Keys":      w.topFields().keys(),
		"Groups":    w.groupFields(&draft{}, nil).keys(),
		"Addresses": w.addressFields(&vipgroup.VIP{}, new(string)).keys(),
		"Notify":    w.notifyFields(&Notify{}).keys(),
		"Checks":    w.checkFields(&Check{}, nil).keys(),
		"Plugins":   w.programFields(&Program{}, nil).keys(),
		"Hooks":     HookEvents,
		"Logging":   w.loggingFields().keys(),
		"Mask":      w.maskFields().keys(),
	}
}

// TestReferenceListsEveryKey: the tables of docs/reference.md and the walker have the
// same keys in the same order.
func TestReferenceListsEveryKey(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for heading, keys := range knownKeys() {
		_, section, ok := strings.Cut(string(doc), "\n### "+heading+"\n")
		if !ok {
			t.Errorf("no section %s", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n#")
		var listed []string
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			listed = append(listed, m[1])
		}
		if !slices.Equal(listed, keys) {
			t.Errorf("%s\nthe section lists %v\nthe walker knows  %v", heading, listed, keys)
		}
	}
}

// TestPluginsExamples: the pieces of config in docs/plugins.md are right.
func TestPluginsExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "secret: a secret text of length\nnodes: [web1, web2]\nvips: []\n"
	pieces := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	for _, m := range pieces {
		if _, err := Parse("plugins.md", append([]byte(head), m[1]...)); err != nil {
			t.Errorf("%s%v", m[1], err)
		}
	}
	if len(pieces) == 0 {
		t.Error("no piece of config was found")
	}
}

// TestReferenceConfHasEveryKey: examples/reference.conf names each key at least in a
// comment, and each event that it doesn't use is in docs/reference.md.
func TestReferenceConfHasEveryKey(t *testing.T) {
	data, err := os.ReadFile("../../examples/reference.conf")
	if err != nil {
		t.Fatal(err)
	}
	for heading, keys := range knownKeys() {
		if heading == "Hooks" {
			continue
		}
		for _, key := range keys {
			if !regexp.MustCompile(`(?m)(^|[\s{,])` + regexp.QuoteMeta(key) + `:(\s|$)`).Match(data) {
				t.Errorf("%s: %s is missing", heading, key)
			}
		}
	}
}

// TestReferenceExamples parses the indented snippets of docs/reference.md that are
// configs, each in the place where it belongs.
func TestReferenceExamples(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	const head = "secret: a secret text of length\nnodes: [web1, web2]\n"
	around := map[string]string{
		"Keys":    "%s",
		"Groups":  head + "vips:\n%s",
		"Notify":  head + "vips: []\n%s",
		"Checks":  head + "vips: []\n%s",
		"Plugins": head + "vips: []\n%s",
		"Hooks":   head + "vips: []\n%s",

		"A command where a group is": head + "%s",
	}
	snippet := regexp.MustCompile(`(?m)(?:^    .*\n)+`)
	parsed := 0
	for heading, frame := range around {
		_, section, _ := strings.Cut(string(doc), "\n### "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n#")
		for _, text := range snippet.FindAllString(section, -1) {
			text = regexp.MustCompile(`(?m)^    `).ReplaceAllString(text, "")
			if heading == "Groups" && text[0] == '[' {
				text = "- " + text
			}
			if _, err := Parse(heading, []byte(strings.Replace(frame, "%s", text, 1))); err != nil {
				t.Errorf("%s%v", text, err)
			}
			parsed++
		}
	}
	if parsed < 5 {
		t.Errorf("only %d snippets found", parsed)
	}
}
