package daemon

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/netplumb"
)

// kernelNews tells the core what the plumber reports: what is there and gone, which
// links can carry nothing, what the kernel refused, and that frames arrive.
func (l *loop) kernelNews(now time.Time) {
	report, news := l.kernel.observe()
	for _, n := range news {
		l.node.Report(now, n)
	}
	if report.Frames != l.wire.frames {
		l.wire.frames = report.Frames
		l.node.Sign(now, cluster.Sign{Kind: cluster.Frame})
	}
	groups := l.config.Plan.Groups
	if l.linksChanged(report.Links) {
		l.ballots.judgeLinks(now, l.node, groups, report.Links)
		l.chat.lookAtLinks()
	}
	l.ballots.judgeFailures(now, l.node, groups, report.Failed)
	l.node.Witness(now, l.witnesses())
	l.trouble.state(ctlsocket.AlarmCannotPlumb, now, refusals(report.Failed))
	if len(news) > 0 {
		l.story.stir(now)
	}
	l.logOps(report)
}

// linksChanged says whether the links differ from those last judged.
func (l *loop) linksChanged(links []netplumb.Link) bool {
	state := make([]netplumb.Link, len(links))
	for i, link := range links {
		state[i] = netplumb.Link{Name: link.Name, Exists: link.Exists, Up: link.Up, Carrier: link.Carrier}
	}
	if equalLinks(state, l.links) {
		return false
	}
	l.links = state
	return true
}

func equalLinks(a, b []netplumb.Link) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if linkFault(a[i]) != linkFault(b[i]) || a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

func refusals(failed []netplumb.Failure) string {
	var texts []string
	for _, f := range failed {
		if len(texts) == 3 {
			texts = append(texts, "and more")
			break
		}
		texts = append(texts, f.Err.Error())
	}
	return strings.Join(texts, "; ")
}

// logOps tells what was done to the kernel, with the stamps by which moves are measured.
func (l *loop) logOps(r netplumb.Report) {
	for _, err := range r.Errors {
		l.log.Warn("kernel", "err", err)
	}
	if !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, op := range r.Ops {
		switch op.Kind {
		case netplumb.Add:
			l.log.Debug("address added", "addr", op.Address, "link", op.Link, "at", op.At.Nanoseconds())
		case netplumb.Remove:
			l.log.Debug("address removed", "addr", op.Address, "link", op.Link, "at", op.At.Nanoseconds())
		case netplumb.Promote:
			l.log.Debug("promote_secondaries set", "link", op.Link, "at", op.At.Nanoseconds())
		}
	}
}
