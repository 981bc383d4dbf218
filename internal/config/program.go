package config

import (
	"path"
	"slices"
	"strings"
)

// programs reads the plugins: each a path, or an object.
func (w *walker) programs(n node) {
	w.list(n, "plugins, each the path of a program or an object", func(e node) {
		var words []reference
		p := Program{Bar: true}
		named := e
		if _, ok := scalarText(e.ast); ok {
			s, ok := w.path(e)
			if !ok {
				return
			}
			p.Command = []string{s}
		} else {
			given := w.object(e, w.programFields(&p, &words))
			w.complete(e, given, "command")
			if at, ok := given["name"]; ok {
				named = at
			}
		}
		if p.Name == "" && len(p.Command) > 0 {
			p.Name = path.Base(p.Command[0])
		}
		earlier := w.cfg.Plugins
		w.later = append(w.later, func() { w.pluginName(named, p.Name, earlier) })
		w.cfg.Plugins = append(w.cfg.Plugins, p)
		w.pluginGroups = append(w.pluginGroups, words)
	})
}

// programFields are the keys of a plugin.
func (w *walker) programFields(p *Program, groups *[]reference) fields {
	return fields{
		{"command", func(n node) { p.Command = w.command(n) }},
		{"name", func(n node) {
			s, ok := w.text(n, "a plugin's name")
			if ok && (len(s) > 63 || strings.ContainsAny(s, " \t\n")) {
				w.fault(n, "a plugin's name has 1 to 63 bytes and no space")
			}
			p.Name = s
		}},
		{"user", func(n node) { p.User, _ = w.text(n, "a user's name") }},
		{"timeout", w.duration(&p.Timeout, 0, 86400)},
		{"on_fail", func(n node) { w.onFail(n, &p.Bar, &p.Penalty, `"ignore"`) }},
		{"groups", w.groupWords(groups)},
	}
}

// pluginName notes a name that an earlier plugin or a check has: votes are told apart by it.
func (w *walker) pluginName(n node, name string, earlier []Program) {
	switch {
	case name == "":
	case slices.ContainsFunc(w.cfg.Checks, func(c Check) bool { return c.Name == name }):
		w.fault(n, "a check is called %s, too: give the plugin another name", quote(name))
	case slices.ContainsFunc(earlier, func(p Program) bool { return p.Name == name }):
		w.fault(n, "another plugin is called %s, too: give one of them another name", quote(name))
	}
}
