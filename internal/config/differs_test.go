package config

import (
	"slices"
	"strings"
	"testing"
)

// Every key of a file is told when its value is another, but for those of which the plan is
// made, those that a reload refuses to change, the secrets, and debug, which is logging.
func TestDiffers(t *testing.T) {
	const base = "secret: a secret of some length\nnodes: [a]\nvips: []\n"
	values := map[string]string{
		"chat": "224.0.0.9:5009", "chat_interface": "eth7", "peers": "[10.8.3.1]", "interval": "0.05", "stale": "0.7", "mature": "4",
		"lifetime": "2", "witness": "[10.8.3.2]", "arp-cache": "20", "notify": "[arp-cache]", "management": "/tmp/other", "reload": "auto",
		"logging": "{driver: syslog}", "plugins": "[/bin/true]", "checks": "{x: {tcp: 'localhost:1'}}", "hooks": "{taken: /bin/true}", "when_all_fail": "drop",
	}
	parse := func(text string) *Config {
		t.Helper()
		c, err := Parse("vippy.conf", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := parse(base)
	if keys := old.Differs(parse(base)); len(keys) > 0 {
		t.Errorf("the same differs in %v", keys)
	}
	const check = "checks: {x: {tcp: 'localhost:1'}}\n"
	grown := strings.Replace(base+check, "vips: []", "vips: [{name: web, checks: [x], addresses: [{interface: eth0, ip: 10.0.0.1/24}]}]", 1)
	if keys := parse(base + check).Differs(parse(grown)); len(keys) > 0 {
		t.Errorf("with a group that a check speaks for, %v differ", keys)
	}
	elsewhere := strings.Fields("secret secret_file secrets version nodes voters vips partition rebalance rebalance_pause cluster state_dir notify_rate debug")
	for _, key := range knownKeys()["Keys"] {
		value, told := values[key]
		if !told {
			if !slices.Contains(elsewhere, key) {
				t.Errorf("the test knows no value for %s", key)
			}
			continue
		}
		if keys := old.Differs(parse(base + key + ": " + value + "\n")); !slices.Equal(keys, []string{key}) {
			t.Errorf("with another %s, %v differ", key, keys)
		}
	}
}
