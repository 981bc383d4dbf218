package config

import (
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A reference is a word that stands for something elsewhere in the file.
type reference struct {
	at   node
	word string
}

// checks reads the checks, each under its name.
func (w *walker) checks(n node) {
	w.entries(n, nil, func(name string, v node) {
		c := Check{Interval: 2 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 2, Bar: true}
		if name == "" || len(name) > 63 || strings.ContainsAny(name, " \t\n") {
			w.fault(v, "a check's name has 1 to 63 bytes and no space")
		}
		c.Name = name
		var groups []reference
		given := w.object(v, w.checkFields(&c, &groups))
		w.checkSubject(v, given)
		if _, ok := given["fall"]; !ok && (given["process"].ast != nil || given["file"].ast != nil) {
			c.Fall = 1 // what was seen is no sample
		}
		w.cfg.Checks = append(w.cfg.Checks, c)
		w.checkGroups = append(w.checkGroups, groups)
	})
}

// subjects are the keys of a check of which it has exactly one; details, the keys that go
// with one of them only.
var (
	subjects = []string{"command", "http", "tcp", "process", "file"}
	details  = []struct{ key, subject string }{{"user", "command"}, {"exit_codes", "command"}, {"expect", "http"}, {"when", "file"}}
)

// checkSubject notes a check that looks at nothing, or at several things.
func (w *walker) checkSubject(n node, given map[string]node) {
	if given == nil {
		return // that it is no object has been said
	}
	first := ""
	for _, key := range subjects {
		at, ok := given[key]
		switch {
		case !ok:
		case first == "":
			first = key
		default:
			w.fault(at, "%s is given at %s: a check has one of %s", first, given[first].at(), strings.Join(subjects, ", "))
		}
	}
	if first == "" {
		w.fault(n, "one of %s is missing", strings.Join(subjects, ", "))
		return
	}
	for _, d := range details {
		if at, ok := given[d.key]; ok && given[d.subject].ast == nil {
			w.fault(at, "goes with %s, and this check has %s: remove it", d.subject, first)
		}
	}
}

// checkFields are the keys of a check.
func (w *walker) checkFields(c *Check, groups *[]reference) fields {
	return fields{
		{"command", func(n node) { c.Command = w.command(n) }},
		{"http", func(n node) {
			s, ok := w.text(n, "a URL")
			if u, err := url.Parse(s); ok && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
				// Not shown whole: there may be a password in it.
				w.fault(n, "is no URL such as http://127.0.0.1:8080/health")
			}
			c.HTTP = s
		}},
		{"tcp", func(n node) {
			s, ok := w.text(n, "HOST:PORT")
			if ok && !hostPort(s) {
				w.fault(n, "%s is not HOST:PORT such as 127.0.0.1:5432", quote(s))
			}
			c.TCP = s
		}},
		{"process", func(n node) {
			s, ok := w.text(n, "a program's name or the path of a pid file")
			if ok && !path.IsAbs(s) && strings.Contains(s, "/") {
				w.fault(n, "%s is neither a program's name nor the absolute path of a pid file", quote(s))
			}
			c.Process = s
		}},
		{"file", func(n node) { c.File, _ = w.path(n) }},
		{"user", func(n node) { c.User, _ = w.text(n, "a user's name") }},
		{"exit_codes", func(n node) {
			s, _ := w.oneOf(n, "plain", "nagios")
			c.Nagios = s == "nagios"
		}},
		{"expect", func(n node) { c.Expect, _ = w.text(n, "a text that the page holds") }},
		{"when", func(n node) {
			s, _ := w.oneOf(n, "there", "missing")
			c.Missing = s == "missing"
		}},
		{"interval", w.duration(&c.Interval, 0.1, 3600)},
		{"timeout", w.duration(&c.Timeout, 0.01, 3600)},
		{"rise", w.times(&c.Rise)},
		{"fall", w.times(&c.Fall)},
		{"on_fail", func(n node) { w.onFail(n, &c.Bar, &c.Penalty) }},
		{"groups", w.groupWords(groups)},
	}
}

// hostPort says whether s is HOST:PORT with a number for the port.
func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, e := strconv.ParseUint(port, 10, 16)
	return err == nil && e == nil && n > 0 && host != ""
}

// groupWords returns what reads names, keys or addresses of groups, looked up later.
func (w *walker) groupWords(words *[]reference) func(node) {
	return func(n node) {
		w.oneOrMore(n, func(e node) {
			if s, ok := w.text(e, "a group's name, key or address"); ok {
				*words = append(*words, reference{e, s})
			}
		})
	}
}

// times returns what reads "so often in a row" into count.
func (w *walker) times(count *int) func(node) {
	return func(n node) {
		if v, ok := w.integer(n, "a whole number", 1, 1000); ok {
			*count = int(v)
		}
	}
}

// onFail reads "bar" or "penalty N", and what else is allowed.
func (w *walker) onFail(n node, bar *bool, penalty *int, more ...string) {
	choices := append([]string{`"bar"`, `"penalty N"`}, more...)
	expected := strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
	s, ok := w.text(n, expected)
	if !ok || s == "bar" {
		return
	}
	number, isPenalty := strings.CutPrefix(s, "penalty ")
	v, err := strconv.Atoi(strings.TrimSpace(number))
	switch {
	case slices.Contains(more, strconv.Quote(s)):
		*bar = false
		return
	case (!isPenalty || err != nil) && len(more) == 0:
		w.fault(n, `%s is neither "bar" nor "penalty N"`, quote(s))
	case !isPenalty || err != nil:
		w.fault(n, `%s is not one of %s`, quote(s), expected)
	case v < 1 || v > MaxPenalty:
		w.fault(n, "%s is out of range; expected a penalty from 1 to %d", quote(s), MaxPenalty)
	default:
		*bar, *penalty = false, v
	}
}

// program is a line for the shell that is nothing but the path of a program.
var program = regexp.MustCompile(`^/[A-Za-z0-9_./+@%:,-]*$`)

// command reads a program with its arguments, or a line for the shell.
func (w *walker) command(n node) []string {
	if s, ok := scalarText(n.ast); ok {
		if strings.TrimSpace(s) == "" {
			w.fault(n, "is empty; expected a command")
			return nil
		}
		if program.MatchString(s) {
			return []string{s} // the same, and its program is looked at
		}
		return []string{"/bin/sh", "-c", s}
	}
	var argv []string
	w.list(n, "a program and its arguments", func(e node) {
		s, ok := scalarText(e.ast)
		switch {
		case !ok:
			w.fault(e, "expected text, found %s: put it in quotes", describe(e))
		case e.path == n.path+"[0]" && s == "":
			w.fault(e, "is empty; expected the path of a program")
		}
		argv = append(argv, s)
	})
	if len(argv) == 0 && !w.faultyBelow(n) {
		w.fault(n, "is empty; expected a program and its arguments")
	}
	return argv
}

// groupCheck reads the name of a check in a group, looked up when all checks are read.
func (w *walker) groupCheck(n node, g *draft) {
	s, ok := w.text(n, "a check's name")
	if !ok {
		return
	}
	if slices.Contains(g.Checks, s) {
		w.fault(n, "%s is named twice", quote(s))
		return
	}
	g.Checks = append(g.Checks, s)
	w.later = append(w.later, func() {
		var known []string
		for _, c := range w.cfg.Checks {
			known = append(known, c.Name)
		}
		switch {
		case slices.Contains(known, s):
		case len(known) == 0:
			w.fault(n, "%s is not one of checks: there are none", quote(s))
		default:
			w.fault(n, "%s is not one of checks%s", quote(s), didYouMean(s, known))
		}
	})
}

// resolveChecks gives each check the groups that it speaks for: those that it names and
// those that name it; and each plugin those that it names.
func (w *walker) resolveChecks() {
	for i := range w.cfg.Checks {
		c := &w.cfg.Checks[i]
		c.Named = w.knownGroups(w.checkGroups[i])
		c.Groups = c.speaksFor(w.cfg.Plan)
	}
	for i := range w.cfg.Plugins {
		w.cfg.Plugins[i].Groups = w.knownGroups(w.pluginGroups[i])
	}
}

// knownGroups returns the words that stand for groups of the plan.
func (w *walker) knownGroups(words []reference) (known []string) {
	for _, ref := range words {
		if w.cfg.Plan.Find(ref.word) >= 0 {
			known = append(known, ref.word)
			continue
		}
		var names []string
		for _, g := range w.cfg.Plan.Groups {
			names = append(names, g.Name)
		}
		w.fault(ref.at, "%s is no group of vips%s", quote(ref.word), nearOnly(ref.word, names))
	}
	return known
}

// hooks reads the commands, each under its event.
func (w *walker) hooks(n node) {
	w.entries(n, HookEvents, func(event string, v node) {
		h := Hook{Event: event, Timeout: 10 * time.Second}
		if _, ok := v.ast.(*ast.MappingNode); ok {
			w.complete(v, w.object(v, w.hookFields(&h)), "command")
		} else {
			h.Command = w.command(v)
		}
		w.cfg.Hooks = append(w.cfg.Hooks, h)
	})
}

// hookFields are the keys of a hook that is an object.
func (w *walker) hookFields(h *Hook) fields {
	return fields{
		{"command", func(n node) { h.Command = w.command(n) }},
		{"timeout", w.duration(&h.Timeout, 0.01, 3600)},
		{"user", func(n node) { h.User, _ = w.text(n, "a user's name or number") }},
	}
}
