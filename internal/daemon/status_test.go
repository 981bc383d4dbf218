package daemon

import (
	"encoding/json"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
)

func TestRender(t *testing.T) {
	plan := testPlan(t, 7, "10.0.0.2", "10.0.0.1")
	now := time.Unix(1000, 0)
	one, two := plan.Find("10.0.0.1"), plan.Find("10.0.0.2")
	groups := make([]cluster.GroupStatus, 2)
	groups[one] = cluster.GroupStatus{Assigned: "a", Reason: "already there", Owners: []string{"a"}, Held: true, Since: now}
	groups[two] = cluster.GroupStatus{Assigned: "b", Reason: "preferred node", Claiming: true, Waiting: "a sign", Contested: true}
	s := shot(plan, []cluster.PeerStatus{
		{Node: "b", State: cluster.Live, Eligible: true, PlanVersion: 7, PlanDigest: plan.Digest(), LastHeard: now.Add(-30 * time.Millisecond)},
	}, groups...)
	s.now, s.grant, s.changes = now, 700*time.Millisecond, 3
	s.status.Stats = cluster.Stats{Sent: 10, Received: 20, Refused: map[cluster.Refusal]uint64{cluster.BadSeal: 2, cluster.Reflected: 9}}
	key := plan.Groups[two].Key
	s.votes = []cluster.Vote{{Source: "netplumb", Group: &key, Bar: true, Reason: "refused"}}
	s.status.Rivals = []cluster.Rival{{Addr: netip.MustParseAddr("10.0.0.2"), MAC: "02:00:00:00:00:01", Node: "c"}}
	s.status.Stats.Conflicts = 5
	s.alarms = []cluster.Alarm{{Name: "cannot-plumb", Detail: "refused"}}

	got := render(s)
	want := []ctlsocket.Group{
		{Key: plan.Groups[one].Key.String(), Name: "g1", Assigned: "a", Owner: "a", Held: true, Reason: "already there", Since: now,
			Addresses: []ctlsocket.GroupAddress{{Address: netip.MustParsePrefix("10.0.0.1/32"), Interface: "eth0", Plumbed: true}}},
		{Key: key.String(), Name: "g0", Assigned: "b", Reason: "preferred node; waiting: a sign; barred here by netplumb: refused",
			Addresses: []ctlsocket.GroupAddress{{Address: netip.MustParsePrefix("10.0.0.2/32"), Interface: "eth0", ContestedBy: "02:00:00:00:00:01 (c)"}}},
	}
	if diff := cmp.Diff(want, got.Groups, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if got.Stats.Net != (ctlsocket.NetStats{Ignore: 2, SendAnnounce: 10, RecvAnnounce: 20}) || got.Stats.StateChanges != 3 || got.Stats.Conflicts != 5 {
		t.Errorf("stats: %+v; an own packet that came back is not ignored traffic", got.Stats)
	}
	if !got.Grant.Valid || got.Grant.RemainingMS != 700 {
		t.Errorf("grant: %+v", got.Grant)
	}
	if p := got.Peers[0]; p.LastHeardMS != 30 || p.PlanDigest != plan.Digest().String() {
		t.Errorf("peer: %+v", p)
	}
	if len(got.Alarms) != 1 || got.Alarms[0].Name != "cannot-plumb" {
		t.Errorf("alarms: %+v", got.Alarms)
	}
	if o := got.State.Ownership; len(o["a"]) != 1 || len(o[ctlsocket.Unowned]) != 1 || o["b"] != nil {
		t.Errorf("ownership: %+v", o)
	}
	if _, ok := got.State.Ownership["b"]; !ok {
		t.Error("an active node without groups is missing in the ownership")
	}
	s.status.Groups[two].Owners = []string{"a"}
	if o, ok := render(s).State.Ownership[ctlsocket.Unowned]; !ok || len(o) != 0 {
		t.Errorf("unowned, of which there is none: %v, %+v", ok, o)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}

func TestInactiveReason(t *testing.T) {
	tests := []struct {
		name   string
		status cluster.Status
		want   string // "" while active
	}{
		{"active", cluster.Status{Mature: true, Eligible: true}, ""},
		{"young", cluster.Status{Reasons: []string{"isolated", "booting"}}, "booting"},
		{"drained", cluster.Status{Mature: true, Reasons: []string{"drained", "more"}}, "drained"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st := renderState(&snapshot{status: tt.status})
			got := ""
			if st.InactiveReason != nil {
				got = *st.InactiveReason
			}
			if got != tt.want || st.Active != (tt.want == "") {
				t.Errorf("active %v, reason %q; want %q", st.Active, got, tt.want)
			}
		})
	}
}

// Two nodes that have nobody to ask can't tell which of them is cut off: the status says so.
func TestTwoNodesAreAdvisedAWitness(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"two nodes":           {planText, unwitnessed},
		"with a witness":      {planText + "witness: 10.0.0.250\n", ""},
		"with a third, voter": {planText + "partition: single\nvoters: [a, b, c]\n", ""},
		"one node":            {soloText, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w world
				n := w.start(t, "a", tt.text)
				time.Sleep(time.Second)
				synctest.Wait()
				if got := n.loop.Status().Plan.Note; got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				if err := n.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
