package daemon

import (
	"cmp"
	"slices"
	"time"

	"github.com/vippy-ha/vippy/cluster"
)

// trouble keeps the alarms that the daemon raises beside the core's.
type trouble struct {
	alarms []alarm
}

type alarm struct {
	cluster.Alarm
	until time.Time // zero: until it is cleared
}

// momentary is how long an alarm stands that tells of a moment, not of a state.
const momentary = 5 * time.Minute

// raise raises an alarm that tells of a moment.
func (t *trouble) raise(name string, now time.Time, detail string) {
	t.clear(name)
	t.alarms = append(t.alarms, alarm{cluster.Alarm{Name: name, Since: now, Detail: detail}, now.Add(momentary)})
}

// state raises an alarm that stands while detail is not empty.
func (t *trouble) state(name string, now time.Time, detail string) {
	since := now
	for _, a := range t.alarms {
		if a.Name == name {
			since = a.Since
		}
	}
	t.clear(name)
	if detail != "" {
		t.alarms = append(t.alarms, alarm{Alarm: cluster.Alarm{Name: name, Since: since, Detail: detail}})
	}
}

func (t *trouble) clear(name string) {
	t.alarms = slices.DeleteFunc(t.alarms, func(a alarm) bool { return a.Name == name })
}

// standing returns the alarms that stand, by name.
func (t *trouble) standing(now time.Time) []cluster.Alarm {
	var out []cluster.Alarm
	for _, a := range t.alarms {
		if a.until.IsZero() || now.Before(a.until) {
			out = append(out, a.Alarm)
		}
	}
	slices.SortStableFunc(out, func(a, b cluster.Alarm) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
