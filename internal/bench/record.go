package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vippy-ha/vippy/internal/lab"
)

// A Record is one thing measured: a line of the raw records. Exactly one of its parts is
// there.
type Record struct {
	About *About `json:"about,omitempty"`
	Fault *Fault `json:"fault,omitempty"`
	Rest  *Rest  `json:"rest,omitempty"`
	Wire  *Wire  `json:"wire,omitempty"`
}

// About says where, how and of what the records are; it is the first one.
type About struct {
	// Commit is that of the sources, with "+" where they had changed since.
	Commit     string `json:"commit"`
	Date       string `json:"date"`
	Command    string `json:"command"`
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Go         string `json:"go"`
	Keepalived string `json:"keepalived"`
	Runs       int    `json:"runs"`
	// Seed is that of the random moments.
	Seed uint64 `json:"seed"`
	// WatchS is how long a fault was watched that never ended, HealS a heal, in seconds.
	WatchS float64 `json:"watch_s"`
	HealS  float64 `json:"heal_s"`
	// RestS is how long the clusters at rest were watched, in seconds.
	RestS float64 `json:"rest_s"`
}

// A Fault is what one fault did. Times are in milliseconds.
type Fault struct {
	Name   string `json:"name"`
	System System `json:"system"`
	Run    int    `json:"run"`
	// GapMS is the client's longest time without an answer, over all addresses; 0 when each
	// probe was answered.
	GapMS float64 `json:"gap_ms"`
	// Lost is how many probes of one address got no answer, the most over all addresses.
	Lost int `json:"lost"`
	// NoneMS is how long an address was in the kernel of no host on the wire.
	NoneMS float64 `json:"none_ms"`
	// DualMS is how long an address was in the kernels of two hosts on the wire.
	DualMS float64 `json:"dual_ms"`
	// ApartMS is the same with hosts that were cut off.
	ApartMS float64 `json:"apart_ms"`
	// AllMS is from the fault to the last probe without an answer.
	AllMS float64 `json:"all_ms"`
	// MovedMS is from the fault to the last address that came to a kernel.
	MovedMS float64 `json:"moved_ms"`
	// LateMS is how late the probe itself was.
	LateMS float64 `json:"late_ms"`
	// EveryMS is the time between two probes of one address.
	EveryMS float64 `json:"every_ms"`
	// Open: when the watch ended, it was not so yet that every address was on exactly one
	// host, the right one, and answered. What was going on then would have gone on.
	Open bool `json:"open,omitempty"`
	// Note says why.
	Note string `json:"note,omitempty"`
}

// Without is how long the address was not on exactly one host for all who use it: the
// client's silence and the time of two owners.
func (f Fault) Without() float64 { return f.GapMS + f.DualMS }

// Kernels is how long an address was not in the kernel of exactly one host on the wire.
func (f Fault) Kernels() float64 { return f.NoneMS + f.DualMS }

// newFault writes down what a watch saw.
func newFault(name string, s System, run int, every time.Duration, wrong string, sight lab.Sight) *Fault {
	return &Fault{
		Name:    name,
		System:  s,
		Run:     run,
		GapMS:   lab.Milliseconds(sight.Gap),
		Lost:    sight.Lost,
		NoneMS:  lab.Milliseconds(sight.None),
		DualMS:  lab.Milliseconds(sight.Dual),
		ApartMS: lab.Milliseconds(sight.Apart),
		AllMS:   lab.Milliseconds(sight.Restored),
		MovedMS: lab.Milliseconds(sight.Moved),
		LateMS:  lab.Milliseconds(sight.Late),
		EveryMS: lab.Milliseconds(every),
		Open:    wrong != "",
		Note:    wrong,
	}
}

// A Rest is one process of a cluster at rest.
type Rest struct {
	System  System `json:"system"`
	Host    string `json:"host"`
	Process string `json:"process"`
	// Holder: its host has the addresses.
	Holder bool `json:"holder"`
	// CPU is in percent of one core.
	CPU float64 `json:"cpu_percent"`
	// RSS, PSS and Private are in KiB (smaps_rollup of proc(5)).
	RSS     float64 `json:"rss_kib"`
	PSS     float64 `json:"pss_kib"`
	Private float64 `json:"private_kib"`
}

// A Wire is what all hosts of a cluster at rest sent, of all protocols.
type Wire struct {
	System  System  `json:"system"`
	Packets float64 `json:"packets_per_s"`
	Bytes   float64 `json:"bytes_per_s"`
}

// Read reads records, one a line.
func Read(r io.Reader) (out []Record, err error) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var rec Record
		if err := json.Unmarshal(in.Bytes(), &rec); err != nil {
			return nil, fmt.Errorf("record %d: %w", len(out)+1, err)
		}
		out = append(out, rec)
	}
	if len(out) == 0 || out[0].About == nil {
		return nil, errors.New("the records don't begin with what they are about")
	}
	return out, in.Err()
}
