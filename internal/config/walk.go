package config

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/vippy-ha/vippy/vipgroup"
)

// maxFaults is how many faults are worth reading; the rest are counted.
const maxFaults = 100

// A walker goes through the tree of a file once, fills cfg and collects every fault.
type walker struct {
	name   string
	cfg    *Config
	faults Faults
	// later are checks that need the whole file, such as "is this a known node?".
	later []func()

	// secretFile is where `secret_file` stands.
	secretFile node
	// plan is what NewPlan will be given.
	plan vipgroup.Plan
	// rebalance and pause make the plan's Rebalance.
	rebalance bool
	pause     time.Duration
	// checkGroups has the `groups` of each of cfg.Checks, pluginGroups of cfg.Plugins.
	checkGroups, pluginGroups [][]reference
}

// A node is a value in the file, with the path of keys that leads to it.
type node struct {
	ast  ast.Node
	path string
}

func (n node) child(a ast.Node, key string) node {
	if n.path == "" {
		return node{a, key}
	}
	return node{a, n.path + "." + key}
}

func (n node) element(a ast.Node, i int) node {
	return node{a, n.path + "[" + strconv.Itoa(i) + "]"}
}

// position returns where n stands in the file, both counted from 1.
func (n node) position() (line, column int) {
	if n.ast == nil {
		return 0, 0
	}
	tk := n.ast.GetToken()
	switch a := n.ast.(type) {
	case *ast.LiteralNode:
		tk = a.Start
	case *ast.MappingNode:
		// The token of an object without brackets is its first colon.
		if !a.IsFlowStyle && len(a.Values) > 0 {
			tk = a.Values[0].Key.GetToken()
		}
	}
	if tk == nil || tk.Position == nil {
		return 0, 0
	}
	return max(tk.Position.Line, 1), max(tk.Position.Column, 1)
}

// at returns n's position as people write it.
func (n node) at() string {
	line, column := n.position()
	return fmt.Sprintf("%d:%d", line, column)
}

// fault notes that something is wrong with n.
func (w *walker) fault(n node, format string, args ...any) {
	line, column := n.position()
	w.faults = append(w.faults, Fault{File: w.name, Line: line, Column: column, Key: n.path, Text: fmt.Sprintf(format, args...)})
}

// sorted returns the faults in the order of the file, bounded.
func (w *walker) sorted() Faults {
	slices.SortStableFunc(w.faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(w.faults) - maxFaults; more > 0 {
		return append(w.faults[:maxFaults:maxFaults], Fault{File: w.name, Text: fmt.Sprintf("and %d more", more)})
	}
	return w.faults
}

// A field is a key that an object may have, and what reads its value.
type field struct {
	key  string
	read func(node)
}

type fields []field

func (fs fields) keys() []string {
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = f.key
	}
	return out
}

// object reads the values of an object with the given keys and returns where each of
// its keys stands.
func (w *walker) object(n node, fs fields) map[string]node {
	return w.entries(n, fs.keys(), func(key string, v node) {
		for _, f := range fs {
			if f.key == key {
				f.read(v)
			}
		}
	})
}

// entries calls read for each key of an object, in the order of the file, and returns
// where each key stands. Unknown keys (where known lists the others) and repeated ones
// are faults.
func (w *walker) entries(n node, known []string, read func(key string, v node)) map[string]node {
	object, ok := n.ast.(*ast.MappingNode)
	if !ok {
		w.fault(n, "expected an object%s, found %s", withKeys(known), describe(n))
		return nil
	}
	seen := make(map[string]node, len(object.Values))
	for _, kv := range object.Values {
		key, ok := scalarText(kv.Key)
		at := n.child(kv.Key, printable(key))
		first, dup := seen[key]
		// What follows a colon without a space is shown to nobody: it may be the secret.
		word, _, glued := strings.Cut(key, ":")
		switch {
		case kv.Start.Type != token.MappingValueType:
			// In braces a key may stand alone, and may be the secret.
			w.fault(node{kv.Key, n.path}, "%s", wantsKey)
		case !ok:
			w.fault(node{kv.Key, n.path}, "expected a key in quotes, found %s", describe(at))
		case dup:
			w.fault(at, "key repeated (first at %s): remove one", first.at())
		case known != nil && glued:
			w.fault(node{kv.Key, n.path}, "unknown key %s: a colon needs a space after it", quote(word+":…"))
		case known != nil && !slices.Contains(known, key):
			w.fault(node{kv.Key, n.path}, "unknown key %s%s", quote(key), didYouMean(key, known))
		default:
			seen[key] = at
			read(key, n.child(kv.Value, printable(key)))
		}
	}
	return seen
}

func withKeys(known []string) string {
	if known == nil {
		return ""
	}
	return " with " + strings.Join(known, ", ")
}

// list calls read for each element of a list.
func (w *walker) list(n node, what string, read func(node)) {
	seq, ok := n.ast.(*ast.SequenceNode)
	if !ok {
		hint := ": put it in brackets [ ], or behind a dash"
		if _, nothing := n.ast.(*ast.NullNode); nothing || n.ast == nil || isScalar(n) {
			hint = ""
		}
		w.fault(n, "expected a list of %s, found %s%s", what, describe(n), hint)
		return
	}
	for i, v := range seq.Values {
		read(n.element(v, i))
	}
}

// faultyBelow says whether n or something in it has a fault already.
func (w *walker) faultyBelow(n node) bool {
	return slices.ContainsFunc(w.faults, func(f Fault) bool { return strings.HasPrefix(f.Key, n.path) })
}

// oneOrMore calls read for n itself, or for each element where n is a list.
func (w *walker) oneOrMore(n node, read func(node)) {
	if seq, ok := n.ast.(*ast.SequenceNode); ok {
		for i, v := range seq.Values {
			read(n.element(v, i))
		}
		return
	}
	read(n)
}

// scalarText returns the text of a string, however it is quoted.
func scalarText(a ast.Node) (string, bool) {
	switch a := a.(type) {
	case *ast.StringNode:
		return a.Value, true
	case *ast.LiteralNode:
		if a.Value != nil {
			return strings.TrimRight(a.Value.Value, "\n"), true
		}
	}
	return "", false
}

// text returns a string that has something in it and no control characters.
func (w *walker) text(n node, what string) (string, bool) {
	s, ok := scalarText(n.ast)
	switch {
	case !ok && isScalar(n):
		w.fault(n, "expected %s, found %s: put it in quotes", what, describe(n))
	case !ok:
		w.fault(n, "expected %s, found %s", what, describe(n))
	case s == "":
		w.fault(n, "is empty; expected %s", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		w.fault(n, "expected %s on one line, found a control character in %s", what, quote(s))
	default:
		return s, true
	}
	return "", false
}

// oneOf returns one of the words.
func (w *walker) oneOf(n node, words ...string) (string, bool) {
	s, ok := w.text(n, strings.Join(words, " or "))
	if ok && !slices.Contains(words, s) {
		w.fault(n, "%s is none of %s%s", quote(s), strings.Join(words, ", "), nearOnly(s, words))
		return "", false
	}
	return s, ok
}

func nearOnly(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return `; did you mean "` + near + `"?`
	}
	return ""
}

// boolean returns true or false.
func (w *walker) boolean(n node) (value, ok bool) {
	b, ok := n.ast.(*ast.BoolNode)
	if !ok {
		w.fault(n, "expected true or false, found %s", describe(n))
		return false, false
	}
	return b.Value, true
}

// number returns a decimal number, quoted or not, within [low, high].
func (w *walker) number(n node, what string, low, high float64) (float64, bool) {
	var s string
	switch n.ast.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		s = n.ast.GetToken().Value
	default:
		s, _ = scalarText(n.ast)
	}
	// Only what everybody reads alike: no hexadecimal, no octal, no 1_000, no infinity.
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) || strings.Trim(s, "+-.0123456789eE") != "" || len(s) > 1 && s[0] == '0' && s[1] != '.' {
		w.fault(n, "expected %s, found %s", what, describe(n))
		return 0, false
	}
	if f < low || f > high {
		w.fault(n, "%s is out of range; expected %s from %s to %s", quote(s), what, trim(low), trim(high))
		return 0, false
	}
	return f, true
}

// trim writes a number as short as it can be read.
func trim(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// integer returns a whole number within [low, high].
func (w *walker) integer(n node, what string, low, high int64) (int64, bool) {
	f, ok := w.number(n, what, float64(low), float64(high))
	if ok && f != math.Trunc(f) {
		w.fault(n, "%s is not whole; expected %s", trim(f), what)
		return 0, false
	}
	return int64(f), ok
}

// seconds returns a duration that is written as a number of seconds.
func (w *walker) seconds(n node, low, high float64) (time.Duration, bool) {
	if s, ok := scalarText(n.ast); ok {
		if d, ok := withUnit(s); ok {
			w.fault(n, "expected a number of seconds, found %s: write %s", describe(n), trim(d.Seconds()))
			return 0, false
		}
	}
	f, ok := w.number(n, "a number of seconds", low, high)
	return time.Duration(math.Round(f * float64(time.Second))), ok
}

func isScalar(n node) bool {
	switch n.ast.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// describe says what stands at n. Callers never use it on a secret.
func describe(n node) string {
	switch a := n.ast.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return quote(a.Value)
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.MappingNode:
		return "an object"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return printable(tokenText(a.GetToken()))
	}
	return "something else"
}

func tokenText(tk *token.Token) string {
	if tk == nil {
		return ""
	}
	return tk.Value
}

// quote puts a value in quotes, shortened, so that no fault floods a screen. What follows the
// word secret is left out: a value swallows the next key where a comma or a line end is
// missing, and a key its value where the colon is.
func quote(s string) string { return strconv.Quote(shorten(afterSecret.ReplaceAllString(s, "$1…"))) }

var afterSecret = regexp.MustCompile(`(?is)(secret)(?:[^./_s-]|s[^./_-]).*`)

// printable is quote without the quotes.
func printable(s string) string { q := quote(s); return q[1 : len(q)-1] }

func shorten(s string) string {
	if r := []rune(s); len(r) > 64 {
		return string(r[:63]) + "…"
	}
	return s
}
