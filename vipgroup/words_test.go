package vipgroup

import "testing"

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		nodes, groups int
		want          string
	}{
		{1, 1, "1 node and 1 group"},
		{2, 0, "2 nodes and 0 groups"},
	} {
		p := Plan{Nodes: make([]string, tt.nodes), Groups: make([]Group, tt.groups)}
		if got := p.Size(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
