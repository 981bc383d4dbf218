package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page in docs says what the raw records beside it say.
func TestPageAgreesWithItsRecords(t *testing.T) {
	docs := filepath.Join("..", "..", "docs")
	f, err := os.Open(filepath.Join(docs, "benchmarks.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Page(records)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/benchmarks.md is not what its records say; make it anew: go run ./internal/bench/cmd -page-only")
	}
}

// invented are records in which vippy wins a stop and loses a return.
func invented() []Record {
	out := []Record{{About: &About{Commit: "abc", Command: "make bench", Runs: 2, WatchS: 8, HealS: 15}}}
	add := func(name string, s System, gap, dual float64, open bool) {
		out = append(out, Record{Fault: &Fault{Name: name, System: s, Run: 1, GapMS: gap, DualMS: dual, Open: open}})
	}
	add(stop, KeepalivedSlow, 600, 0, false)
	add(stop, KeepalivedSlow, 700, 10, false)
	add(stop, VippyDefault, 2, 0, false)
	add("return", KeepalivedSlow, 0, 0.5, false)
	add("return", VippyDefault, 2, 0, false)
	add("hang", KeepalivedSlow, 0, 5000, true)
	add("hang", VippyDefault, 10, 0, false)
	add(heal, KeepalivedSlow, 15000, 100, true)
	add(heal, KeepalivedSlow, 5, 300, false)
	add(heal, VippyDefault, 3, 0, false)
	add(startOf+resting.suffix, KeepalivedFast, 0, 0, true)
	return append(out, Record{Wire: &Wire{System: VippyDefault, Packets: 47, Bytes: 9000}})
}

func TestPage(t *testing.T) {
	text, err := Page(invented())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| ordered stop | 655 / 710 | 2.0 / 2.0 | 328 |", // (600 + 710) / 2
		"| the old owner returns | 0.50 / 0.50 | 2.0 / 2.0 | 0.25 |",
		"- the old owner returns: 2.0 ms with vippy, 0.50 ms with keepalived 1 s\n",
		"| SIGSTOP of the process that works | ≥ 5000 / ≥ 5000 | 10.0 / 10.0 | ≥ 500 |",
		"| keepalived 1 s | 2 | 1 | ≥ 15000 | 200 / ≥ 300 |",
		"| vippy | 1 | 0 | 3.0 | 0 / 0 |",
		"Not counted: clusters of keepalived 0.1 s that had not all addresses on the first host 1m0s after their start: 1.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if again, err := Page(invented()); err != nil || again != text {
		t.Error("the same records make another page")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestRecordsBeginWithWhatTheyAreAbout(t *testing.T) {
	if _, err := Read(strings.NewReader(`{"wire":{"system":"vippy"}}` + "\n")); err == nil {
		t.Error("no error")
	}
	if _, err := Page(nil); err == nil {
		t.Error("no error for no records")
	}
}
