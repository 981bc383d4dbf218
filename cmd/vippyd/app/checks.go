package app

import (
	"github.com/vippy-ha/vippy/check"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/plugin"
)

// checks makes the plugins that a config's checks are.
func checks(c *config.Config) (out []plugin.Plugin) {
	for _, k := range c.Checks {
		e := check.Exec{Label: k.Name, Command: k.Command, Interval: k.Interval, Timeout: k.Timeout, Rise: k.Rise, Fall: k.Fall}
		if !k.Bar {
			e.Penalty = k.Penalty
		}
		for _, key := range k.Groups {
			e.Groups = append(e.Groups, key.String())
		}
		out = append(out, e)
	}
	return out
}
