package config

import (
	"strings"
	"testing"
)

// TestBounds: what would make the parser recurse deep or run long is refused before it
// does. Without the bounds some of these take minutes, or gigabytes.
func TestBounds(t *testing.T) {
	const n = MaxSize / 4
	repeat := func(s string) string { return strings.Repeat(s, n/len(s)) }
	var keys, flow strings.Builder
	for i := 0; keys.Len() < n; i++ {
		key := "k" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/26%50)
		keys.WriteString(key + ": 1\n")
		flow.WriteString(key + ": 1, ")
	}
	for name, text := range map[string]string{
		"too large":      strings.Repeat("#", MaxSize+1),
		"brackets":       repeat("["),
		"braces":         repeat("{a: "),
		"dashes":         repeat("- "),
		"question marks": repeat("? "),
		"anchors":        repeat("&a "),
		"tags":           repeat("!a "),
		"aliases":        "a: &a [x]\nb: " + repeat("*a "),
		"documents":      repeat("---\n"),
		"keys":           keys.String(),
		"keys in braces": "{" + flow.String() + "}",
		"commas":         "[" + repeat(",") + "]",
		"blanks":         repeat(" "),
		"line ends":      repeat("\n"),
		"comments":       repeat("#\n"),
		"quotes":         "a: " + repeat("'"),
		"backslashes":    `a: "` + repeat(`\x41`) + `"`,
		"colons":         repeat(":"),
		"long text":      "secret: " + repeat("x"),
		"folded text":    "secret: x\n" + repeat(" y\n"),
		"groups":         "vips:\n" + repeat("- [ { interface: eth0, ip: 10.0.0.1/24 } ]\n"),
		"addresses":      "vips:\n- " + repeat("- { interface: eth0, ip: 10.0.0.1/24 }\n  "),
		"nodes":          "nodes: [" + repeat("a, ") + "]",
		"notify":         minimal + "notify: [" + repeat("arp-cache, ") + "]",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("f", []byte(text)); (err == nil) != (name == "notify") {
				t.Errorf("error %.100v", err)
			}
		})
	}
}
