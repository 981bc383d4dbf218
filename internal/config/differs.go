package config

import (
	"reflect"
	"slices"
)

// Differs returns the keys whose values differ between two configs, in the order of the
// reference; without those of the plan, and without the secrets.
func (c *Config) Differs(o *Config) (keys []string) {
	for _, x := range []struct {
		key  string
		a, b any
	}{
		{"chat", c.Chat, o.Chat},
		{"chat_interface", c.ChatInterfaces, o.ChatInterfaces},
		{"peers", c.Peers, o.Peers},
		{"interval", c.Interval, o.Interval},
		{"stale", c.Stale, o.Stale},
		{"mature", c.Mature, o.Mature},
		{"lifetime", c.Lifetime, o.Lifetime},
		{"arp-cache", c.ArpCache, o.ArpCache},
		{"notify", c.Notify, o.Notify},
		{"witness", c.Witness, o.Witness},
		{"management", c.Management, o.Management},
		{"logging", c.Logging, o.Logging},
		{"reload", c.Reload, o.Reload},
		{"plugins", c.Plugins, o.Plugins},
		{"checks", c.saidChecks(), o.saidChecks()},
		{"hooks", c.Hooks, o.Hooks},
		{"when_all_fail", c.WhenAllFail, o.WhenAllFail},
	} {
		if !reflect.DeepEqual(x.a, x.b) {
			keys = append(keys, x.key)
		}
	}
	return keys
}

// saidChecks are the checks without what they get of the plan.
func (c *Config) saidChecks() []Check {
	out := slices.Clone(c.Checks)
	for i := range out {
		out[i].Groups = nil
	}
	return out
}
