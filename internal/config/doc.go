// Package config turns the file that a person wrote into a checked, typed Config, and
// says everything that is wrong with it at once, each fault with its file, line and
// column, what was found, what was expected and the nearest known key.
//
// It also tells when the file changes. It applies nothing, opens no socket and keeps no
// state: what to do with a Config, or with a change, is its caller's business.
//
// The keys are listed in docs/reference.md; a test holds the two together.
package config
