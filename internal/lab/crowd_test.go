package lab

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestCrowds(t *testing.T) {
	v, w := netip.MustParseAddr("10.99.1.1"), netip.MustParseAddr("10.99.1.2")
	for _, c := range []struct {
		name       string
		holds      []hold
		none, dual time.Duration
	}{
		{"nobody ever", nil, 0, 0},
		{"one, all the time", []hold{{1, v, 0, forever}}, 0, 0},
		{"a move with a gap", []hold{{1, v, 0, 140}, {2, v, 150, forever}}, 10, 0},
		{"a move at once", []hold{{1, v, 0, 140}, {2, v, 140, forever}}, 0, 0},
		{"a move with two owners", []hold{{1, v, 0, 150}, {2, v, 140, forever}}, 0, 10},
		{"two twice are added up", []hold{{1, v, 0, forever}, {2, v, 110, 120}, {2, v, 150, 155}}, 0, 15},
		{"three are no worse than two", []hold{{1, v, 0, forever}, {2, v, 110, 120}, {3, v, 110, 120}}, 0, 10},
		{"only what is between counts", []hold{{1, v, 0, forever}, {2, v, 50, 110}, {2, v, 195, 300}}, 0, 15},
		{"the worst address counts", []hold{{1, v, 0, 150}, {1, w, 0, 120}, {2, w, 130, forever}}, 50, 0},
		{"lost for good", []hold{{1, v, 0, 90}}, 100, 0},
	} {
		if none, dual := crowds(c.holds, 100, 200); none != c.none || dual != c.dual {
			t.Errorf("%s: none %d, dual %d; want %d, %d", c.name, none, dual, c.none, c.dual)
		}
	}
}

func TestWithout(t *testing.T) {
	v := netip.MustParseAddr("10.99.1.1")
	for _, c := range []struct {
		name  string
		times []span
		want  [][2]instant
	}{
		{"never away", nil, [][2]instant{{100, 200}}},
		{"away before and after", []span{{10, 100}, {200, forever}}, [][2]instant{{100, 200}}},
		{"away at the beginning", []span{{10, 120}}, [][2]instant{{120, 200}}},
		{"away twice", []span{{110, 120}, {130, 140}}, [][2]instant{{100, 110}, {120, 130}, {140, 200}}},
		{"away for good", []span{{150, forever}}, [][2]instant{{100, 150}}},
		{"away all the time", []span{{50, forever}}, nil},
	} {
		var got [][2]instant
		for _, h := range without(hold{1, v, 100, 200}, c.times) {
			got = append(got, [2]instant{h.from, h.to})
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: left are %v, want %v", c.name, got, c.want)
		}
	}
}
