package config

import "fmt"

// fixed are the keys that only a new process can change, each with the reason.
var fixed = []struct {
	key, why string
	of       func(*Config) string
}{
	{"state_dir", "its lock is what keeps a second daemon away, and boot ids must go on growing", func(c *Config) string { return c.StateDir }},
	{"cluster", "this node would leave its cluster without handing over", func(c *Config) string { return c.Cluster }},
}

// Fixed returns the keys that no reload can change, with their values.
func (c *Config) Fixed() map[string]string {
	out := map[string]string{}
	for _, x := range fixed {
		out[x.key] = x.of(c)
	}
	return out
}

// Follows says why a daemon whose fixed keys are these can't go over to this config.
func (c *Config) Follows(running map[string]string) error {
	for _, x := range fixed {
		if was, is := running[x.key], x.of(c); was != "" && was != is {
			return fmt.Errorf("%s: %q can't become %q while this daemon runs: %s; write %q again, or restart", x.key, was, is, x.why, was)
		}
	}
	return nil
}
