package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/vippy-ha/vippy/ctlsocket"
)

// printClassic prints the status as Vippy's vippyctl does, from the same fields: for the
// scripts that read it. The prefixes are right, though, where Vippy rounded them to bytes.
func printClassic(b *bytes.Buffer, s ctlsocket.Status) error {
	state := "inactive"
	if s.State.Active {
		state = "active"
	}
	fmt.Fprintf(b, "State:  %s\n", state)
	if r := s.State.InactiveReason; r != nil {
		fmt.Fprintf(b, "Reason: %s\n", oneLine(*r))
	}
	owners := map[string]string{}
	for owner, groups := range s.State.Ownership {
		for _, g := range groups {
			owners[classicGroup(g)] = owner
		}
	}
	for i, g := range s.Config.VIPs {
		text := classicGroup(g)
		owner, known := owners[text]
		if len(g.Addresses) == 0 && i < len(s.Groups) { // an election, which Vippy didn't know
			owner, known = s.Groups[i].Owner, s.State.Mature
			text = s.Groups[i].Name + text
		}
		mark := "    "
		switch {
		case !known:
			owner = "???"
		case owner == s.Identity:
			mark = "(*) "
		case owner == ctlsocket.Unowned, owner == "":
			owner = "(unowned)"
		}
		fmt.Fprintf(b, "%s%s: %s\n", mark, oneLine(owner), oneLine(text))
	}
	var unsaid bytes.Buffer
	return verdict(&unsaid, s)
}

// classicGroup lists a group's addresses, those of IPv6 without a prefix, and the node that
// it prefers most.
func classicGroup(g ctlsocket.VIPGroup) string {
	var words []string
	for _, a := range g.Addresses {
		words = append(words, a.Classic())
	}
	text := strings.Join(words, " ")
	if len(g.Prefer) > 0 {
		text += " P(" + g.Prefer[0] + ")"
	}
	return text
}
