package vipgroup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// forecastPlan makes a plan of groups written as "a+b:node c".
func forecastPlan(t *testing.T, nodes, groups string) Plan {
	t.Helper()
	p := Plan{Nodes: strings.Fields(nodes)}
	for _, word := range strings.Fields(groups) {
		letters, prefer, _ := strings.Cut(word, ":")
		g := Group{Name: letters, Preempt: true}
		if prefer != "" {
			g.Prefer = []string{prefer}
		}
		for _, l := range strings.Split(letters, "+") {
			g.VIPs = append(g.VIPs, VIP{Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, l[0]}), 32)})
		}
		p.Groups = append(p.Groups, g)
	}
	p, err := NewPlan(p)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestForecast(t *testing.T) {
	const groups = "a b c+d e"
	for _, tt := range []struct {
		name, nodes, groups string
		holders             string // "group=node"
		down                string
		penalty             string // "group=node"
		want                string
	}{
		{"nothing changes", "x y", groups, "a=x b=y c+d=x e=y", "", "", ""},
		{"a new preference", "x y", "a:y b c+d e", "a=x b=y c+d=x e=y", "", "", "a x>y preferred node"},
		{"whom it prefers is down", "x y", "a:y b c+d e", "a=x b=x c+d=x e=x", "y", "", ""},
		{"whom it prefers bars it", "x y", "a:y b c+d e", "a=x b=y c+d=x e=y", "", "a=y", ""},
		{"a new group", "x y", "a b c+d e f", "a=x b=x c+d=x e=y", "", "", "f >y evens the load"},
		{"a group gone", "x y", "b c+d e", "a=x b=y c+d=x e=y", "", "", "a x> gone"},
		{"a node gone", "x", groups, "a=x b=y c+d=x e=y", "", "", "b y>x only eligible node; e y>x only eligible node"},
		{"a node more, which nobody heard yet", "x y z", groups, "a=x b=y c+d=x e=y", "", "", ""},
		{"taken apart", "x y", "a b c d e", "a=x b=y c+d=x e=y", "", "", ""},
		{"joined, from two nodes", "x y", "a+b:y c+d e", "a=x b=y c+d=x e=y", "", "", "a+b x and y>y joined preferred node"},
		{"joined, from one", "x y", "a+b c+d e", "a=x b=x c+d=x e=y", "", "", ""},
		{"one address more", "x y", "a b c+d+f e", "a=x b=y c+d=x e=y", "", "", "c+d+f x>x joined evens the load"},
		{"nobody has anything", "x y", "a:x b:x c+d:x e:x", "", "", "", "a >x preferred node; b >x preferred node; c+d >x preferred node; e >x preferred node"},
	} {
		was, is := forecastPlan(t, "x y", groups), forecastPlan(t, tt.nodes, tt.groups)
		v := View{Eligible: []bool{tt.down != "x", tt.down != "y"}, Holder: []int{-1, -1, -1, -1}, Penalty: make([][]int, 2)}
		each := func(list string, do func(g, n int)) {
			for _, word := range strings.Fields(list) {
				g, n, _ := strings.Cut(word, "=")
				do(was.Find(g), was.Node(n))
			}
		}
		each(tt.holders, func(g, n int) { v.Holder[g] = n })
		each(tt.penalty, func(g, n int) { v.Penalty[n] = make([]int, 4); v.Penalty[n][g] = Barred })
		var got []string
		for _, m := range Forecast(was, v, is) {
			if m.Stays {
				continue
			}
			text := fmt.Sprintf("%s %s>%s", m.Group, m.From, m.To)
			if m.Joined {
				text += " joined"
			}
			if m.Gone {
				text += " gone"
			} else {
				text += " " + string(m.Reason)
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}
