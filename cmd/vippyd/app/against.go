package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

// askTime is how long a daemon may take to answer.
const askTime = 5 * time.Second

// against says what a config would change in the cluster of the daemon at a socket, if it
// were used now: in what the plans differ, and which groups would move. It is an error, that
// has been printed, when the config's plan would not come into force as it is.
func against(ctx context.Context, out io.Writer, c *config.Config, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	client := ctlsocket.Client{Socket: socket}
	r, err := client.Plan(ctx)
	if err != nil {
		return exit{exitCantTell, err}
	}
	ruling, err := vipgroup.Decode(r.Encoding)
	if err != nil {
		return exit{exitCantTell, fmt.Errorf("the plan of the daemon at %s makes no sense here: %w (is it another version?)", socket, err)}
	}
	if err := c.Follows(r.Fixed); err != nil {
		return exit{exitNo, fmt.Errorf("a reload would be refused: %w", err)}
	}
	changes := vipgroup.Differ(ruling, c.Plan)
	if len(changes) == 0 {
		fmt.Fprintf(out, "nothing would change: plan %d is the one that rules at %s\n", c.Plan.Version, r.Identity)
		return nil
	}
	fmt.Fprintf(out, "against plan %d, which rules at %s:\n", ruling.Version, r.Identity)
	for _, x := range changes {
		for _, l := range []struct{ sign, text string }{{"-", x.Was}, {"+", x.Is}} {
			if l.text != "" {
				fmt.Fprintf(out, "  %s %s: %s\n", l.sign, x.Subject, l.text)
			}
		}
	}
	forecast(out, vipgroup.Forecast(ruling, viewOf(ruling, r.View), c.Plan))
	refuse := func(format string, args ...any) error {
		return exit{exitNo, fmt.Errorf(format, args...)}
	}
	switch {
	case c.Plan.Version < ruling.Version:
		return refuse("it would have no effect: version %d is lower than that of the plan that rules; raise it to %d", c.Plan.Version, ruling.Version+1)
	case c.Plan.Version == ruling.Version:
		return refuse("it would be a plan-conflict: version %d is that of the plan that rules; raise it to %d", c.Plan.Version, ruling.Version+1)
	}
	return nil
}

// viewOf is what the daemon knows, in places of its plan.
func viewOf(p vipgroup.Plan, v ctlsocket.PlanView) vipgroup.View {
	out := vipgroup.View{Eligible: make([]bool, len(p.Members())), Holder: make([]int, len(p.Groups)), Penalty: make([][]int, len(p.Members()))}
	for _, name := range v.Eligible {
		if i := p.Member(name); i >= 0 {
			out.Eligible[i] = true
		}
	}
	for g := range p.Groups {
		key := p.Groups[g].Key.String()
		out.Holder[g] = p.Member(v.Holders[key])
		for name, groups := range v.Penalties {
			if i := p.Member(name); i >= 0 && groups[key] > 0 {
				if out.Penalty[i] == nil {
					out.Penalty[i] = make([]int, len(p.Groups))
				}
				out.Penalty[i][g] = groups[key]
			}
		}
	}
	return out
}

// forecast says what becomes of the groups.
func forecast(out io.Writer, moves []vipgroup.Move) {
	stay := 0
	for _, m := range moves {
		nobody := func(name string) string { return cmp.Or(name, "nobody") }
		switch {
		case m.Stays:
			stay++
		case m.Gone:
			fmt.Fprintf(out, "  %s: given up by %s\n", m.Group, m.From)
		case m.Joined:
			fmt.Fprintf(out, "  %s: its addresses come together: %s -> %s (%s)\n", m.Group, nobody(m.From), nobody(m.To), m.Reason)
		default:
			fmt.Fprintf(out, "  %s: %s -> %s (%s)\n", m.Group, nobody(m.From), nobody(m.To), m.Reason)
		}
	}
	fmt.Fprintf(out, "%d of %s would move, with the nodes that are eligible now\n", len(moves)-stay, vipgroup.Count(len(moves), "group"))
}
