package sim

import "time"

// A clock is what a host believes of time. It starts somewhere of its own, runs up to
// 1 % too fast or too slow, and stands still while the host's virtual machine is paused.
type clock struct {
	base int64 // ns since 1970 at the start of the world
	rate int64 // parts of 10000 by which it is too fast
	lost int64 // ns of world time during which it stood still
}

// at is what the clock shows at a moment of world time.
func (c *clock) at(world int64) int64 {
	t := world - c.lost
	return c.base + t + t*c.rate/10000
}

// when is the earliest moment of world time at which the clock shows at least local.
func (c *clock) when(local int64) int64 {
	return c.lost + (local-c.base)*10000/(10000+c.rate) + 1
}

// span is how long a duration on this clock takes in world time.
func (c *clock) span(local int64) int64 { return local * 10000 / (10000 + c.rate) }

// time is the clock's face as the core wants it.
func (c *clock) time(world int64) time.Time { return time.Unix(0, c.at(world)) }
