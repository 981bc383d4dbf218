// Package check owns the built-in health checks. Each is a plugin.Plugin: it looks at
// something every so often and votes on what it saw.
//
// It leaves alone what a vote leads to, and where the settings come from.
package check
