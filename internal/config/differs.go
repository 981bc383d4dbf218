package config

import "reflect"

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
		{"checks", c.Checks, o.Checks},
		{"hooks", c.Hooks, o.Hooks},
		{"when_all_fail", c.WhenAllFail, o.WhenAllFail},
	} {
		if !reflect.DeepEqual(x.a, x.b) {
			keys = append(keys, x.key)
		}
	}
	return keys
}
