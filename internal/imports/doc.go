// Package imports owns the map of the project: which room may use which other, and what
// the deciding rooms must not touch, with the reason for each. It holds nothing but the
// tests that keep to it; it leaves the reasons behind the map to docs/architecture.md.
package imports
