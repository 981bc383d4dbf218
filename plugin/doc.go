// Package plugin owns the contract between vippy and the code that watches over a
// node's health or listens to what happens to its groups: a plugin votes and listens.
// It also owns the Runner, under which plugins live.
//
// It leaves alone what a vote leads to: a plugin can reach neither the cluster nor the
// kernel, and a plugin that floods, blocks, panics or ends harms nothing but its own
// vote.
package plugin
