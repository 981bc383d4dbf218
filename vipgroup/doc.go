// Package vipgroup owns the nouns of a cluster (VIP, Group, Plan, View, Assignment)
// and the one decision that all nodes must reach alike: which node each group of
// virtual addresses belongs to.
//
// It leaves alone everything that differs between nodes or moments: it reads no
// clock, does no I/O and does not know who is alive. Same inputs, same answer, on
// every node and Go version.
package vipgroup
