package config

import (
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
		w.complete(v, w.object(v, w.checkFields(&c, &groups)), "command")
		w.cfg.Checks = append(w.cfg.Checks, c)
		w.checkGroups = append(w.checkGroups, groups)
	})
}

// checkFields are the keys of a check.
func (w *walker) checkFields(c *Check, groups *[]reference) fields {
	return fields{
		{"command", func(n node) { c.Command = w.command(n) }},
		{"interval", w.duration(&c.Interval, 0.1, 3600)},
		{"timeout", w.duration(&c.Timeout, 0.01, 3600)},
		{"rise", w.times(&c.Rise)},
		{"fall", w.times(&c.Fall)},
		{"on_fail", func(n node) { w.onFail(n, c) }},
		{"groups", func(n node) {
			w.oneOrMore(n, func(e node) {
				if s, ok := w.text(e, "a group's name, key or address"); ok {
					*groups = append(*groups, reference{e, s})
				}
			})
		}},
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

// onFail reads "bar" or "penalty N".
func (w *walker) onFail(n node, c *Check) {
	s, ok := w.text(n, `"bar" or "penalty N"`)
	if !ok || s == "bar" {
		return
	}
	number, isPenalty := strings.CutPrefix(s, "penalty ")
	v, err := strconv.Atoi(strings.TrimSpace(number))
	if !isPenalty || err != nil {
		w.fault(n, `%s is neither "bar" nor "penalty N"`, quote(s))
		return
	}
	if v < 1 || v > MaxPenalty {
		w.fault(n, "%s is out of range; expected a penalty from 1 to %d", quote(s), MaxPenalty)
		return
	}
	c.Bar, c.Penalty = false, v
}

// command reads a program with its arguments, or a line for the shell.
func (w *walker) command(n node) []string {
	if s, ok := scalarText(n.ast); ok {
		if strings.TrimSpace(s) == "" {
			w.fault(n, "is empty; expected a command")
			return nil
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
// those that name it.
func (w *walker) resolveChecks() {
	plan := w.cfg.Plan
	for i := range w.cfg.Checks {
		c := &w.cfg.Checks[i]
		for _, ref := range w.checkGroups[i] {
			if plan.Find(ref.word) >= 0 {
				c.Named = append(c.Named, ref.word)
				continue
			}
			var names []string
			for _, g := range plan.Groups {
				names = append(names, g.Name)
			}
			w.fault(ref.at, "%s is no group of vips%s", quote(ref.word), nearOnly(ref.word, names))
		}
		c.Groups = c.speaksFor(plan)
	}
}

// hooks reads the commands, each under its event.
func (w *walker) hooks(n node) {
	w.entries(n, HookEvents, func(event string, v node) {
		h := Hook{Event: event, Timeout: 10 * time.Second}
		switch v.ast.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			w.complete(v, w.object(v, w.hookFields(&h)), "command")
		default:
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
