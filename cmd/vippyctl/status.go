package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/vipgroup"
)

func (a *app) status() *cobra.Command {
	classic := false
	c := &cobra.Command{
		Use:   "status",
		Short: "Show who has which address, and what is wrong",
		Long: `Show who has which address, and what is wrong.

HELD is what may be in this host's kernel; the other columns are what the node heard.
Exit status: 0 every group has one owner; 1 one has none or several; 2 no daemon, or it
can't tell: it has just started or is isolated.`,
		Example: `  vippyctl status
  vippyctl status >/dev/null || mail -s "vippy needs you" root </dev/null
  vippyctl status -o json | jq -r '.groups[] | [.name, .owner] | @tsv'`,
		SuggestFor: []string{"state", "list", "show", "ls"},
		Args:       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if classic {
				return ask(cmd, a, "/status", printClassic)
			}
			return ask(cmd, a, "/status", printStatus)
		},
	}
	c.Flags().BoolVar(&classic, "classic", false, "print Vippy's text, for scripts that read it")
	return c
}

func printStatus(b *bytes.Buffer, s ctlsocket.Status) error {
	live := 0
	for _, p := range s.Peers {
		if p.State == ctlsocket.PeerLive {
			live++
		}
	}
	head := func(name, value string) { fmt.Fprintf(b, "%-7s %s\n", name, oneLine(value)) }
	state := "inactive"
	if s.State.Active {
		state = "active"
	}
	head("Node:", s.Identity)
	head("State:", state)
	if r := s.State.InactiveReason; r != nil && *r != "" {
		head("Reason:", *r)
	}
	from := ""
	if s.Plan.From != "" && s.Plan.From != "file" {
		from = " from " + s.Plan.From
	}
	head("Plan:", fmt.Sprintf("version %d%s, %d of %s live", s.Config.Version, from, live, vipgroup.Count(len(s.Peers), "peer")))
	if s.Plan.Note != "" {
		head("Note:", s.Plan.Note)
	}
	if len(s.Alarms) > 0 || live < len(s.Peers) {
		b.WriteByte('\n')
	}
	if live < len(s.Peers) {
		fmt.Fprintf(b, "!! %s: vippyctl peers says more\n", oneLine(notLive(s)))
	}
	for _, al := range s.Alarms {
		how := ""
		if !al.Since.IsZero() {
			how = " for " + since(al.Since)
		}
		fmt.Fprintf(b, "!! ALARM %s%s: %s\n", oneLine(al.Name), how, oneLine(al.Detail))
	}
	b.WriteByte('\n')
	if len(s.Groups) == 0 {
		fmt.Fprintln(b, "the plan has no groups")
		return nil
	}
	var t table
	t.row("", "GROUP", "ADDRESS", "OWNER", "ASSIGNED", "HELD", "SINCE", "WHY")
	for _, g := range s.Groups {
		mark := ""
		if !g.Once() {
			mark = "!!"
		}
		t.row(mark, g.Name, addresses(g), owner(g), dash(g.Assigned), held(g), since(g.Since), why(g))
	}
	t.print(b)
	b.WriteByte('\n')
	return verdict(b, s)
}

// notLive names the peers that are not, and why packets were not believed: theirs may be among
// them.
func notLive(s ctlsocket.Status) string {
	var peers, refused []string
	for _, p := range s.Peers {
		if p.State != ctlsocket.PeerLive {
			peers = append(peers, p.Node+" is "+string(p.State))
		}
	}
	for _, why := range slices.Sorted(maps.Keys(s.Stats.Refusals)) {
		if n := s.Stats.Refusals[why]; n > 0 {
			refused = append(refused, fmt.Sprintf("%s %d", why, n))
		}
	}
	text := strings.Join(peers, ", ")
	if len(refused) > 0 {
		text += " (packets refused since the start: " + strings.Join(refused, ", ") + ")"
	}
	return text
}

// verdict says in a sentence whether every group has one owner, and returns nil if so.
func verdict(b *bytes.Buffer, s ctlsocket.Status) error {
	none, several := 0, 0
	for _, g := range s.Groups {
		switch {
		case len(g.Owners) > 1:
			several++
		case !g.Once():
			none++
		}
	}
	if none+several == 0 {
		fmt.Fprintln(b, "every group has one owner")
		return nil
	}
	var bad []string
	if several > 0 {
		bad = append(bad, vipgroup.Count(several, "group")+" with several owners")
	}
	if none > 0 {
		bad = append(bad, vipgroup.Count(none, "group")+" without owner")
	}
	fmt.Fprintf(b, "%s, of %d\n", strings.Join(bad, ", "), len(s.Groups))
	// Who has just begun to listen, or hears nobody, doesn't know that there is none.
	isolated := slices.ContainsFunc(s.Alarms, func(a ctlsocket.Alarm) bool { return a.Name == ctlsocket.AlarmIsolated })
	switch {
	case several > 0:
		return errNo
	case isolated:
		return errors.New("can't tell: this node is isolated, ask another one")
	case !s.State.Mature:
		return errors.New("can't tell yet: this node has just started to listen")
	}
	return errNo
}

// addresses is the group's first address and how many more there are.
func addresses(g ctlsocket.Group) string {
	switch n := len(g.Addresses); n {
	case 0:
		return "-"
	case 1:
		return g.Addresses[0].Address.String()
	default:
		return fmt.Sprintf("%s +%d", g.Addresses[0].Address, n-1)
	}
}

func owner(g ctlsocket.Group) string {
	if len(g.Owners) > 1 {
		return strings.Join(g.Owners, " AND ")
	}
	if g.Owner == "" {
		return "nobody"
	}
	return g.Owner
}

// held says what this host's kernel may have of the group, and what was seen there if
// that is something else.
func held(g ctlsocket.Group) string {
	plumbed := 0
	for _, a := range g.Addresses {
		if a.Plumbed {
			plumbed++
		}
	}
	switch all := len(g.Addresses); {
	case g.Held && plumbed == all:
		return "yes"
	case !g.Held && plumbed == 0:
		return "no"
	case !g.Held:
		return fmt.Sprintf("LEFT OVER %d of %d", plumbed, all)
	default:
		return fmt.Sprintf("%d of %d", plumbed, all)
	}
}

func why(g ctlsocket.Group) string {
	var parts []string
	if g.Reason != "" {
		parts = append(parts, g.Reason)
	}
	for _, a := range g.Addresses {
		if a.ContestedBy != "" {
			parts = append(parts, fmt.Sprintf("%s claims %s", a.ContestedBy, a.Address.Addr()))
		}
	}
	return strings.Join(parts, "; ")
}
