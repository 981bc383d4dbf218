package ctlsocket

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// metrics renders the status in Prometheus' text exposition format 0.0.4.
func (s Status) metrics() string {
	var b strings.Builder
	metric := func(kind, name, help string) {
		fmt.Fprintf(&b, "# HELP vippy_%s %s\n# TYPE vippy_%s %s\n", name, help, name, kind)
	}
	single := func(kind, name, help string, value any) {
		metric(kind, name, help)
		fmt.Fprintf(&b, "vippy_%s %v\n", name, value)
	}
	labelled := func(name, label, value string, n any) {
		fmt.Fprintf(&b, "vippy_%s{%s=\"%s\"} %v\n", name, label, labelEscaper.Replace(value), n)
	}

	single("counter", "announcements_sent_total", "Announcements sent.", s.Stats.Net.SendAnnounce)
	single("counter", "announcements_received_total", "Announcements believed.", s.Stats.Net.RecvAnnounce)
	metric("counter", "refusals_total", "Packets not believed, by reason.")
	for _, reason := range slices.Sorted(maps.Keys(s.Stats.Refusals)) {
		labelled("refusals_total", "reason", reason, s.Stats.Refusals[reason])
	}
	single("counter", "conflicts_total", "ARP frames in which another host claimed an address of this node.", s.Stats.Conflicts)
	single("counter", "state_changes_total", "Changes of the groups owned by this node.", s.Stats.StateChanges)

	held := 0
	metric("gauge", "group_owners", "Nodes that announce the group as held; 1 is right.")
	for _, g := range s.Groups {
		owners := len(g.Owners)
		if g.Once() {
			owners = 1
		}
		labelled("group_owners", "group", g.Name, owners)
		if g.Held {
			held++
		}
	}
	single("gauge", "groups_held", "Groups that may be in this host's kernel.", held)

	peers := map[PeerState]int{}
	for _, p := range s.Peers {
		peers[p.State]++
	}
	metric("gauge", "peers", "Other nodes of the plan, by how they are heard.")
	for _, state := range []PeerState{PeerLive, PeerOneWay, PeerDeaf, PeerAbsent} {
		labelled("peers", "state", string(state), peers[state])
	}
	metric("gauge", "alarm", "Alarms that are on.")
	alarms := map[string]int{}
	for _, a := range s.Alarms {
		alarms[a.Name]++
	}
	for _, name := range slices.Sorted(maps.Keys(alarms)) {
		labelled("alarm", "name", name, alarms[name])
	}

	single("gauge", "plan_version", "Version of the plan in force.", s.Config.Version)
	single("gauge", "mature", "1 when this node has listened long enough to hold groups.", bit(s.State.Mature))
	single("gauge", "active", "1 when this node may hold groups.", bit(s.State.Active))
	single("gauge", "grant_valid", "1 while this daemon may have addresses.", bit(s.Grant.Valid))
	single("gauge", "guard_ok", "1 while a guard watches the daemon.", bit(s.Guard.OK))
	return b.String()
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}

// goroutines is the one metric of the process and not of its status: if something leaks, it
// grows.
func goroutines() string {
	return fmt.Sprintf("# HELP vippy_goroutines Goroutines of this daemon.\n# TYPE vippy_goroutines gauge\nvippy_goroutines %d\n", runtime.NumGoroutine())
}
