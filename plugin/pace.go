package plugin

import (
	"context"
	"time"
)

// A pace allows so much at once, and so much a second from then on.
type pace struct {
	burst, rate float64
	left        float64
	at          time.Time
}

func newPace(burst, rate float64) *pace { return &pace{burst: burst, rate: rate, left: burst} }

// take takes one of what is allowed, or says how long to wait for it.
func (p *pace) take(now time.Time) time.Duration {
	if !p.at.IsZero() {
		p.left = min(p.burst, p.left+now.Sub(p.at).Seconds()*p.rate)
	}
	p.at = now
	if p.left < 1 {
		return time.Duration((1 - p.left) / p.rate * float64(time.Second))
	}
	p.left--
	return 0
}

// wait waits for its turn; false when ctx ends before.
func (p *pace) wait(ctx context.Context) bool {
	for {
		d := p.take(time.Now())
		if d == 0 {
			return true
		}
		timer := time.NewTimer(d)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
}

// lineUnit is how many bytes count as a line.
const lineUnit = 4096

// waitFor waits for the turn of a line that was read; a long one counts as several.
func (p *pace) waitFor(ctx context.Context, line []byte) bool {
	for range 1 + len(line)/lineUnit {
		if !p.wait(ctx) {
			return false
		}
	}
	return true
}
