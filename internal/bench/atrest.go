package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/vippy-ha/vippy/internal/lab"
)

const (
	// restAfter is how long a cluster is left alone before it counts as at rest: the
	// announcements of new addresses are over by then.
	restAfter = 15 * time.Second
	// restFor is how long it is watched then: once through the schedule of the announcements
	// that never end.
	restFor = 60 * time.Second
)

// A sample is what a cluster has used up.
type sample struct {
	at            time.Time
	frames, bytes uint64
	seconds       map[int]float64 // by process id
}

func (c *cluster) sample(families [][]member) (s sample, err error) {
	s.at, s.seconds = time.Now(), map[int]float64{}
	if s.frames, s.bytes, err = c.Traffic(); err != nil {
		return s, err
	}
	for _, family := range families {
		for _, m := range family {
			if s.seconds[m.pid], err = processor(m.pid); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// atRest measures a cluster at rest.
func (c *cluster) atRest(ctx context.Context, report func(Record)) error {
	c.StopProbing()
	var families [][]member
	for _, n := range c.nodes {
		all, err := n.family()
		defer forget(all)
		if err != nil {
			return err
		}
		if len(all) != 2 {
			return fmt.Errorf("%s: %d processes on %s, not 2", c.system, len(all), n.Name)
		}
		families = append(families, all)
	}
	if err := lab.Pause(ctx, restAfter); err != nil {
		return err
	}
	before, err := c.sample(families)
	if err != nil {
		return err
	}
	if err := lab.Pause(ctx, restFor); err != nil {
		return err
	}
	after, err := c.sample(families)
	if err != nil {
		return err
	}
	return c.use(families, before, after, report)
}

// use reports what a cluster used between two samples, and its memory.
func (c *cluster) use(families [][]member, before, after sample, report func(Record)) error {
	length := after.at.Sub(before.at).Seconds()
	report(Record{Wire: &Wire{System: c.system,
		Packets: tenth(float64(after.frames-before.frames) / length),
		Bytes:   tenth(float64(after.bytes-before.bytes) / length)}})
	for i, family := range families {
		for _, m := range family {
			mem, err := resident(m.pid)
			if err != nil {
				return err
			}
			report(Record{Rest: &Rest{System: c.system, Host: c.Hosts[i].Name, Process: m.role(family), Holder: i == 0,
				CPU: hundredth((after.seconds[m.pid] - before.seconds[m.pid]) / length * 100),
				RSS: mem.resident, PSS: mem.share, Private: mem.private}})
		}
	}
	return nil
}

// role tells the two processes of a family apart.
func (m member) role(family []member) string {
	if m.pid == family[0].pid {
		return "first"
	}
	return "child"
}

func tenth(f float64) float64     { return float64(int64(f*10+0.5)) / 10 }
func hundredth(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
