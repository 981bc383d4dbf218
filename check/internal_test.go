package check

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		rise, fall    int
		results, news string // H and F; + where the verdict is new
	}{
		{0, 0, "HHFFH", "+.+.+"},
		{1, 1, "FHFH", "+++."},
		{2, 3, "HFFHFFFHFHH", "+.....+...+"},
		{3, 1, "FHHFHHHF", "+.....++"},
		// With each relapse soon after a recovery it takes twice as long to be believed.
		{1, 1, "HFHFHHFHHHHF", "++++.++...++"},
		{1, 1, "HFHFHFHFHFHFHFHF", "++++............"},
		{1, 1, "HFH" + strings.Repeat("H", steadyAfter) + "FHFH", "+++" + strings.Repeat(".", steadyAfter) + "+++."},
	} {
		v := verdict{rise: test.rise, fall: test.fall}
		var news strings.Builder
		for _, r := range test.results {
			if v.take(r == 'H') {
				news.WriteByte('+')
			} else {
				news.WriteByte('.')
			}
		}
		if news.String() != test.news {
			t.Errorf("rise %d, fall %d, results %s: news at %s, want %s", test.rise, test.fall, test.results, news.String(), test.news)
		}
	}
}
