package netplumb

import "time"

// burst is how many frames may go out at once after a pause: ten announcements by ARP,
// which take two frames each.
const burst = 20

// A bucket holds the frames that may go out now: at most burst, and so many more each
// second as the rate says. All instants are CLOCK_BOOTTIME.
type bucket struct {
	tokens float64
	filled time.Duration
}

// take takes frames out, if there are so many.
func (b *bucket) take(now time.Duration, frames int, rate float64) bool {
	b.tokens = min(burst, b.tokens+(now-b.filled).Seconds()*rate)
	b.filled = now
	if b.tokens < float64(frames) {
		return false
	}
	b.tokens -= float64(frames)
	return true
}

// when returns the instant from which on so many frames may go out.
func (b *bucket) when(frames int, rate float64) time.Duration {
	missing := max(0, float64(frames)-b.tokens)
	return b.filled + time.Duration(missing/rate*float64(time.Second))
}
