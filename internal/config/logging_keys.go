package config

import (
	"maps"
	"slices"
)

// loggingFields are the keys of `logging`.
func (w *walker) loggingFields() fields {
	l := &w.cfg.Logging
	return fields{
		{"driver", func(n node) {
			if s, ok := w.oneOf(n, "console", "syslog"); ok {
				l.Driver = s
			}
		}},
		{"facility", func(n node) {
			if s, ok := w.oneOf(n, slices.Sorted(maps.Keys(Facilities))...); ok {
				l.Facility = s
			}
		}},
		{"mask", func(n node) {
			// As with setlogmask: what a given mask doesn't name is off.
			l.Mask = map[Severity]bool{}
			w.object(n, w.maskFields())
		}},
	}
}

// maskFields are the keys of `logging.mask`.
func (w *walker) maskFields() fields {
	var fs fields
	for i, name := range Severities {
		fs = append(fs, field{name, func(n node) {
			w.cfg.Logging.Mask[Severity(i)], _ = w.boolean(n)
		}})
	}
	return fs
}
