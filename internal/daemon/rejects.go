package daemon

import (
	"log/slog"
	"time"
)

// rejects bounds what the log says of packets that were refused.
type rejects struct {
	since        time.Time
	told, untold int
}

// rejectLines is how many of them a second it tells of: a flood must not fill the disk.
const rejectLines = 100

func (r *rejects) tells(now time.Time, log *slog.Logger) bool {
	if now.Sub(r.since) >= time.Second {
		if r.untold > 0 {
			log.Debug("more packets were refused", "count", r.untold)
		}
		*r = rejects{since: now}
	}
	if r.told < rejectLines {
		r.told++
		return true
	}
	r.untold++
	return false
}
