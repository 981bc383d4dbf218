package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Every key that Vippy reads, in every form in which it reads it.
func TestVippysKeys(t *testing.T) {
	groups := func(c *Config) string {
		var out []string
		for _, g := range c.Plan.Groups {
			text := strings.Join(g.Prefer, ",")
			for _, v := range g.VIPs {
				text += " " + v.Interface + "=" + v.Address.String()
			}
			out = append(out, strings.TrimSpace(text))
		}
		slices.Sort(out)
		return strings.Join(out, "; ")
	}
	mask := func(c *Config) (kept string) {
		for s, name := range Severities {
			if c.Logging.Mask[Severity(s)] {
				kept += name + " "
			}
		}
		return strings.TrimSpace(kept)
	}
	for _, c := range []struct {
		keys string
		got  func(*Config) any
		want string
	}{
		{`"chat": "224.1.1.1:5007"`, func(c *Config) any { return c.Chat }, "224.1.1.1:5007"},
		{`"chat_interface": "all"`, func(c *Config) any { return c.ChatInterfaces }, "[]"},
		{`"chat_interface": "10.8.3.1"`, func(c *Config) any { return c.ChatInterfaces }, "[10.8.3.1]"},
		{`"version": 5`, func(c *Config) any { return c.Plan.Version }, "5"},
		{``, func(c *Config) any { return c.Plan.Version }, "0"},
		{`"interval": 0.5, "stale": 5`, func(c *Config) any { return c.Interval }, "500ms"},
		{`"interval": "0.5", "stale": "5"`, func(c *Config) any { return c.Stale }, "5s"},
		{`"stale": 5`, func(c *Config) any { return c.Stale }, "5s"},
		{`"mature": 7`, func(c *Config) any { return c.Mature }, "7s"},
		{`"arp-cache": "90"`, func(c *Config) any { return c.ArpCache }, "1m30s"},
		{`"arp-cache": 90`, func(c *Config) any { return c.ArpCache }, "1m30s"},
		{``, func(c *Config) any { return c.ArpCache }, "15s"},
		{`"notify": ["arp-cache", {"interface": "e0", "ip": "10.8.3.9/29"}, {"interface": "e0", "ip": "10.8.3.1"}]`,
			func(c *Config) any { return c.Notify }, "[{true  invalid Prefix} {false e0 10.8.3.8/29} {false e0 10.8.3.1/32}]"},
		{``, func(c *Config) any { return c.Notify }, "[]"},
		{`"management": "/run/v.sock"`, func(c *Config) any { return c.Management }, "/run/v.sock"},
		{``, func(c *Config) any { return c.Management }, "/var/run/vippy.socket"},
		{`"plugins": ["/opt/a.js", "/opt/b.js"]`, func(c *Config) any { return len(c.Plugins) }, "2"},
		{`"logging": {"driver": "console"}`, func(c *Config) any { return c.Logging.Driver }, "console"},
		{`"logging": {"driver": "syslog"}`, func(c *Config) any { return c.Logging.Driver + " " + c.Logging.Facility }, "syslog local7"},
		{`"logging": {"driver": "syslog", "facility": "daemon"}`, func(c *Config) any { return c.Logging.Facility }, "daemon"},
		{`"logging": {"driver": "console", "mask": {"err": true, "notice": true, "info": false}}`, func(c *Config) any { return mask(c) }, "err notice"},
		{`"logging": {"driver": "console"}`, func(c *Config) any { return mask(c) }, "emerg alert crit err warning notice"},
	} {
		text := `{ "secret": "a secret of some length", "nodes": ["node1", "node2"], "vips": []`
		if c.keys != "" {
			text += ", " + c.keys
		}
		if got := fmt.Sprint(c.got(mustParse(t, text+" }"))); got != c.want {
			t.Errorf("%s: %s, want %s", c.keys, got, c.want)
		}
	}

	text := `{ "secret": "a secret of some length", "nodes": ["node1", "node2"], "vips": [
		[ { "interface": "e0", "ip": "10.8.3.195/24" } ],
		[ 'node2', { "interface": "e0", "ip": "10.8.3.196" }, { "interface": "e1", "ip": "2001:db8::1/64" } ],
		[ { "interface": "e0", "ip": "2001:db8::2" } ] ] }`
	const want = "e0=10.8.3.195/24; e0=2001:db8::2/128; node2 e0=10.8.3.196/32 e1=2001:db8::1/64"
	c := mustParse(t, text)
	if got := groups(c); got != want {
		t.Errorf("vips: %s, want %s", got, want)
	}
	if got := fmt.Sprint(c.Plan.Nodes); got != "[node1 node2]" {
		t.Errorf("nodes: %s", got)
	}
}
