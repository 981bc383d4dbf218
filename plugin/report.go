package plugin

import (
	"sync"
	"time"
)

// A Report is what there is to know of one plugin.
type Report struct {
	Name string
	// Program is the command of a program, nil for what is compiled in.
	Program []string
	// Running says whether it runs now, PID as which process (0 for none of its own), and
	// Since from when on it does, or doesn't.
	Running bool
	PID     int
	Since   time.Time
	// Restarts counts how often it was started again after it had ended.
	Restarts int
	// Failure says how it last ended, "" for never.
	Failure string
	// Votes are its votes that say something, in the order of groups; Voted is false
	// while nothing at all is known of it.
	Votes []Vote
	Voted bool
	// Stderr is the last line that a program wrote there.
	Stderr string
}

// Reports tells of all plugins, in the order of Set. It may be called from any goroutine.
func (r *Runner) Reports() []Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Report, len(r.live))
	for i, c := range r.live {
		out[i] = c.host.state.report()
		out[i].Name = c.plugin.Name()
		out[i].Votes, out[i].Voted = r.box.standing(c.host)
		if p, ok := c.plugin.(Program); ok {
			out[i].Program = p.Command
		}
	}
	return out
}

// state is what becomes of a plugin, for people.
type state struct {
	mu  sync.Mutex
	now Report
}

func (s *state) report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *state) set(f func(*Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.now)
}

func (s *state) began() {
	s.set(func(r *Report) {
		if r.Failure != "" {
			r.Restarts++
		}
		r.Running, r.Since = true, time.Now()
	})
}

func (s *state) ended(err error) {
	s.set(func(r *Report) { r.Running, r.PID, r.Since, r.Failure = false, 0, time.Now(), err.Error() })
}
