// Package docs owns the tests that keep README.md and docs/ true: their commands are
// run, their configs parsed, their links followed. It leaves the tables of keys in
// docs/reference.md to internal/config, and the vectors in docs/protocol.md to cluster.
package docs
