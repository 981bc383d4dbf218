package config

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vippy-ha/vippy/vipgroup"
)

// Parse checks the bytes of a file without touching the file system: the secret of a
// `secret_file` is not read. name is what the faults call the file. The error, if any,
// is Faults.
func Parse(name string, data []byte) (*Config, error) {
	w, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	return w.cfg, nil
}

// parse is Parse, with what else Load wants to know. The walker is there in any case.
func parse(name string, data []byte) (*walker, error) {
	w := &walker{name: name, cfg: defaults(name)}
	w.cfg.Hash = sha256.Sum256(data)
	body, fault := parseYAML(name, data)
	if fault != nil {
		return w, Faults{*fault}
	}
	w.file(node{body, ""})
	if len(w.faults) > 0 {
		return w, w.sorted()
	}
	return w, nil
}

// file reads the file's top object and then checks what depends on several keys.
func (w *walker) file(n node) {
	if _, ok := n.ast.(*ast.MappingNode); !ok {
		// Not described: a file without a colon may hold nothing but the secret.
		w.fault(n, "expected `key: value` lines or an object in braces")
		return
	}
	given := w.object(n, w.topFields())
	w.required(given)
	w.timing(given)
	for _, check := range w.later {
		check()
	}
	w.makePlan()
}

// required are the keys that no file can do without.
func (w *walker) required(given map[string]node) {
	whole := func(key, text string) {
		w.faults = append(w.faults, Fault{File: w.name, Key: key, Text: text})
	}
	var secrets []string
	for _, key := range []string{"secret", "secret_file", "secrets"} {
		if _, ok := given[key]; ok {
			secrets = append(secrets, key)
		}
	}
	switch {
	case len(secrets) == 0:
		whole("secret", "missing: all nodes share one secret text (or secret_file: PATH, or secrets: [new, old])")
	case len(secrets) > 1:
		w.fault(given[secrets[1]], "%s is given at %s: keep one of secret, secret_file and secrets", secrets[0], given[secrets[0]].at())
	}
	if _, ok := given["nodes"]; !ok {
		whole("nodes", "missing: a list of the names of all nodes, the same on each of them")
	}
	if _, ok := given["vips"]; !ok {
		whole("vips", `missing: a list of groups such as [ { interface: eth0, ip: 10.8.3.195/24 } ]`)
	}
}

// timing checks the keys that bound each other.
func (w *walker) timing(given map[string]node) {
	c := w.cfg
	if least := 3*c.Interval + staleSlack; c.Stale < least && !w.faulty("stale", "interval") {
		at, ok := given["stale"]
		if !ok {
			at = given["interval"]
		}
		at.path = "stale"
		w.fault(at, "%s s is less than 3 interval + 0.05 = %s s: raise stale, or lower interval (%s s) to at most %s s",
			trim(c.Stale.Seconds()), trim(least.Seconds()), trim(c.Interval.Seconds()), trim((max(c.Stale-staleSlack, 0) / 3).Truncate(time.Millisecond).Seconds()))
		return
	}
	if most := c.Stale / 5; c.Interval > most {
		w.notice("interval: %s s shortened to %s s, a fifth of stale", trim(c.Interval.Seconds()), trim(most.Seconds()))
		c.Interval = most
	}
}

// faulty says whether one of the keys has a fault already, so that a second one, about
// how it goes with others, would only confuse.
func (w *walker) faulty(keys ...string) bool {
	return slices.ContainsFunc(w.faults, func(f Fault) bool { return slices.Contains(keys, f.Key) })
}

func (w *walker) notice(format string, args ...any) {
	w.cfg.Notices = append(w.cfg.Notices, fmt.Sprintf(format, args...))
}

// makePlan puts the plan together and resolves what the checks speak for. Whatever
// NewPlan refuses should have been found before, with its place: FuzzParse looks for more.
func (w *walker) makePlan() {
	if len(w.faults) > 0 {
		return
	}
	w.plan.Rebalance = 0
	if w.rebalance {
		w.plan.Rebalance = w.pause
	}
	plan, err := vipgroup.NewPlan(w.plan)
	if err != nil {
		for text := range strings.Lines(err.Error()) {
			w.faults = append(w.faults, Fault{File: w.name, Text: strings.TrimSpace(text)})
		}
		return
	}
	w.cfg.Plan = plan
	w.resolveChecks()
	w.majority()
}
