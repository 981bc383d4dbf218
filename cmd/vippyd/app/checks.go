package app

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/child"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
)

// checks makes the plugins that a config's checks are.
func checks(c *config.Config) (out []plugin.Plugin) {
	for _, k := range c.Checks {
		common := check.Common{Label: k.Name, Interval: k.Interval, Timeout: k.Timeout, Rise: k.Rise, Fall: k.Fall}
		if !k.Bar {
			common.Penalty = k.Penalty
		}
		for _, key := range k.Groups {
			common.Groups = append(common.Groups, key.String())
		}
		switch {
		case k.HTTP != "":
			out = append(out, check.HTTP{Common: common, URL: k.HTTP, Expect: k.Expect})
		case k.TCP != "":
			out = append(out, check.TCP{Common: common, Address: k.TCP})
		case k.Process != "":
			out = append(out, check.Process{Common: common, Target: k.Process})
		case k.File != "":
			out = append(out, check.File{Common: common, Path: k.File, Missing: k.Missing})
		default:
			out = append(out, check.Exec{Common: common, Command: k.Command, User: k.User, Nagios: k.Nagios})
		}
	}
	return out
}

// programs makes the plugins that a config's programs are.
func programs(c *config.Config) (out []plugin.Plugin) {
	for _, p := range c.Plugins {
		penalty := p.Penalty
		if p.Bar {
			penalty = 0
		}
		out = append(out, plugin.Program{
			Label: p.Name, Command: p.Command, User: p.User, Timeout: p.Timeout,
			Penalty: penalty, Silent: !p.Bar && p.Penalty == 0, Groups: p.Groups,
		})
	}
	return out
}

// extra makes the plugins that the flags name, and says which of them can't be run. The
// daemon's folder is nobody's business later on, so a path is made absolute now.
func extra(paths []string) (out []plugin.Plugin, err error) {
	for _, flag := range paths {
		path, fault := filepath.Abs(flag)
		if fault == nil {
			fault = child.Spec{Command: []string{path}}.Check()
		}
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("-p %s: %w", flag, fault))
		}
		out = append(out, plugin.Program{Label: filepath.Base(path), Command: []string{path}})
	}
	return out, err
}

// notRun says which programs of the config could not be run on this host as it is now.
func notRun(c *config.Config) (out []string) {
	judge := func(what string, command []string, user string) {
		if err := (child.Spec{Command: command, User: user}).Check(); err != nil {
			out = append(out, fmt.Sprintf("%s would fail: %v", what, err))
		}
	}
	for _, k := range c.Checks {
		if len(k.Command) > 0 {
			judge("check "+k.Name, k.Command, k.User)
		}
	}
	for _, p := range c.Plugins {
		judge("plugin "+p.Name, p.Command, p.User)
	}
	for _, h := range c.Hooks {
		judge("hook "+h.Event, h.Command, h.User)
	}
	return out
}
