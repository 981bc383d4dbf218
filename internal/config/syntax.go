package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file. They are far above what MaxGroups groups need, and keep the parser,
// whose time grows with the square of some of them, below a second.
const (
	// MaxSize is the largest file, in bytes.
	MaxSize = 1 << 20
	// maxDepth is how deep lists and objects in brackets may nest.
	maxDepth = 16
	// maxColumn is how far a line of a block may be indented, which bounds its depth.
	maxColumn = 128
	// maxKeys is how many keys one object may have.
	maxKeys = 1024
)

// parseYAML turns the file into a tree, or says why it is none. YAML's ways to say one
// thing twice (anchors, aliases, merges, tags, several documents) are refused: no key
// needs them, and they are how a small file becomes a large one.
func parseYAML(name string, data []byte) (ast.Node, *Fault) {
	fail := func(pos *token.Position, format string, args ...any) (ast.Node, *Fault) {
		f := &Fault{File: name, Text: fmt.Sprintf(format, args...)}
		if pos != nil {
			f.Line, f.Column = max(pos.Line, 1), max(pos.Column, 1)
		}
		return nil, f
	}
	if len(data) > MaxSize {
		return fail(nil, "has more than %d bytes, which no config needs: is it the right file?", MaxSize)
	}
	if at := invalidByte(data); at >= 0 {
		line := data[:at][bytes.LastIndexByte(data[:at], '\n')+1:]
		pos := &token.Position{Line: 1 + bytes.Count(data[:at], []byte("\n")), Column: 1 + utf8.RuneCount(line)}
		return fail(pos, "byte %#02x is not text: save the file as UTF-8 without control characters", data[at])
	}
	// The scanner counts a CR LF as two lines; a tab in a list or object in brackets (as
	// JSON files have them) is blank space to it, and one column.
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	tokens := lexer.Tokenize(text)
	if f := checkTokens(tokens); f != nil {
		return fail(f.at.Position, "%s", f.text)
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		// Only the message: the library's full text quotes the lines around, secret and all.
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return fail(syntax.GetToken().Position, "%s", syntaxText(syntax.GetMessage()))
		}
		return fail(nil, "not YAML or JSON")
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return fail(doc.Body.GetToken().Position, "a second document; a config is one")
		}
		body = doc.Body
	}
	if body == nil {
		return fail(nil, "is empty; secret, nodes and vips are required")
	}
	return body, nil
}

// invalidByte returns where data stops being UTF-8 text, or -1.
func invalidByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			return i
		}
		i += n
	}
	return -1
}

// wantsKey is said where a key has no value, without its text.
const wantsKey = "expected `key: value` (a colon needs a space after it)"

// syntaxText makes the parser's words say what to do. What they have in double quotes is text
// of the file, and may be the secret.
func syntaxText(message string) string {
	message, _, _ = strings.Cut(message, `"`)
	switch {
	case strings.Contains(message, `character '	'`), strings.Contains(message, "tab character"):
		return "a tab indents this line; outside of brackets YAML wants spaces"
	case message == "non-map value is specified", message == "unexpected key name":
		return wantsKey
	case strings.HasPrefix(message, "invalid header option"):
		return "text that starts with | or > goes in quotes"
	case strings.HasPrefix(message, "found unknown escape character"):
		return `an unknown escape; text that has a \ goes in single quotes`
	}
	return "not YAML or JSON here: " + message + syntaxHint(message)
}

type badToken struct {
	at   *token.Token
	text string
}

// checkTokens refuses what no config needs, and what would make the parser recurse deep
// or run long, before it does.
func checkTokens(tokens token.Tokens) *badToken {
	depth := 0
	var block keyCounter
	for i, tk := range tokens {
		switch tk.Type {
		case token.InvalidType:
			return &badToken{tk, syntaxText(tk.Error)}
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType, token.DirectiveType, token.MappingKeyType:
			return &badToken{tk, fmt.Sprintf("anchors, aliases, tags, directives and ? keys are not used here; text that starts with %.1q goes in quotes", tk.Value)}
		case token.MappingStartType, token.SequenceStartType:
			if depth++; depth > maxDepth {
				return &badToken{tk, fmt.Sprintf("brackets nest deeper than %d", maxDepth)}
			}
		case token.MappingEndType, token.SequenceEndType:
			depth = max(depth-1, 0) // a stray one is the parser's to refuse
		case token.SequenceEntryType, token.MappingValueType:
			if depth > 0 {
				continue
			}
			at := tk
			if tk.Type == token.MappingValueType && i > 0 {
				at = tokens[i-1]
			}
			if at.Position.Column > maxColumn {
				return &badToken{at, fmt.Sprintf("indented by more than %d", maxColumn)}
			}
			if block.count(at.Position.Column, tk.Type == token.MappingValueType) > maxKeys {
				return &badToken{at, fmt.Sprintf("an object with more than %d keys", maxKeys)}
			}
		}
	}
	return nil
}

// A keyCounter counts the keys of the objects that are open in a block, by their column.
type keyCounter struct {
	columns []int
	keys    []int
}

func (k *keyCounter) count(column int, key bool) int {
	for len(k.columns) > 0 && k.columns[len(k.columns)-1] > column {
		k.columns = k.columns[:len(k.columns)-1]
		k.keys = k.keys[:len(k.keys)-1]
	}
	if !key {
		return 0
	}
	if n := len(k.columns); n == 0 || k.columns[n-1] < column {
		k.columns = append(k.columns, column)
		k.keys = append(k.keys, 0)
	}
	k.keys[len(k.keys)-1]++
	return k.keys[len(k.keys)-1]
}
