package check

import (
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		rise, fall    int
		results, news string // H and F; + where the verdict is new
	}{
		{0, 0, "HHFFH", "+.+.+"},
		{1, 1, "FHFH", "++++"},
		{2, 3, "HFFHFFFHFHH", "+.....+...+"},
		{3, 1, "FHHFHHHF", "+.....++"},
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

func TestTail(t *testing.T) {
	long := strings.Repeat("é", 300)
	for _, test := range []struct {
		name  string
		wrote []string
		want  string
	}{
		{"nothing", nil, ""},
		{"blank lines", []string{"\n \n\t\n"}, ""},
		{"in pieces", []string{"one\ntw", "o\n", "\n"}, "two"},
		{"no line end", []string{"one\ntwo"}, "two"},
		{"control characters", []string{"a\x1b[2Jb\x00c\u202ed\te"}, "a[2Jbcd e"},
		{"not text", []string{"\xff\xfe ok \xff"}, "ok"},
		{"long, cut between characters", []string{long}, strings.Repeat("é", 100) + "…"},
		{"more than is kept", []string{strings.Repeat("x", 5000), "\nend"}, "end"},
	} {
		var out tail
		for _, w := range test.wrote {
			if n, err := out.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("%s: wrote %d of %d, %v", test.name, n, len(w), err)
			}
		}
		if got := out.line(); got != test.want || len(out.kept) > tailLen {
			t.Errorf("%s: got %q, want %q; kept %d bytes", test.name, got, test.want, len(out.kept))
		}
	}
}

// A process that can't be killed now (here: one that nobody kills) bars, and no other
// is started beside it until it is gone.
func TestStuck(t *testing.T) {
	hung, err := start(Exec{Command: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	c := commander{Exec: Exec{Command: []string{"true"}, Interval: time.Hour}, stuck: hung}
	if got := c.once(t.Context()); !strings.Contains(got, "hangs in the kernel") {
		t.Errorf("got %q, want that it hangs in the kernel", got)
	}
	hung.kill()
	<-hung.exited
	if got := c.once(t.Context()); got != "" || c.stuck != nil {
		t.Errorf("got %q, want healthy once the process is gone", got)
	}
}
