package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/cluster"
	"github.com/vippy-ha/vippy/netplumb"
)

// kernelNews tells the core what the plumber reports: what is there and gone, which
// links can carry nothing, what the kernel refused, and that frames arrive.
func (l *loop) kernelNews(now time.Time) (worth bool) {
	seq := l.kernel.report.Seq
	report, news := l.kernel.observe()
	worth = len(news) > 0 || report.Seq != seq || len(report.Ops) > 0 || len(report.Errors) > 0 ||
		len(report.Lost) > 0 || len(report.Failed) > 0
	if report.HeardDropped != l.wire.dropped {
		l.wire.dropped = report.HeardDropped
		l.node.Missed(now)
		worth = true
		l.complain(now, "ARP answers may be lost, so silent addresses are asked anew: is there a flood of ARP, or is this host short of CPU?")
	}
	for _, n := range news {
		l.node.Report(now, n)
	}
	if report.Frames != l.wire.frames {
		l.wire.frames = report.Frames
		l.node.Sign(now, cluster.Sign{Kind: cluster.Frame})
	}
	groups := l.config.Plan.Groups
	if before := l.links; l.linksChanged(report.Links) {
		if regained(before, l.links) {
			l.node.Missed(now) // nobody was asked there meanwhile
		}
		l.ballots.judgeLinks(now, l.node, groups, report.Links)
		l.chat.lookAtLinks()
		worth = true
	}
	l.ballots.judgeFailures(now, l.node, groups, report.Failed)
	l.ballots.judgeDeleted(now, l.node, groups, report.Deleted)
	l.warn(now, report.Deleted)
	l.warnOfStrays(now, l.kernel.strays)
	l.node.Witness(now, l.witnesses())
	if len(news) > 0 {
		l.story.stir(now)
	}
	l.complainOf(now, report.Errors)
	l.done = append(l.done, report.Ops...) // logged after the turn: a peer waits for that
	return worth
}

// linksChanged says whether the links differ from those last judged.
func (l *loop) linksChanged(links []netplumb.Link) bool {
	if equalLinks(links, l.links) {
		return false
	}
	l.links = links
	return true
}

// regained says whether a link works that did not before.
func regained(before, now []netplumb.Link) bool {
	return slices.ContainsFunc(now, func(link netplumb.Link) bool {
		i := slices.IndexFunc(before, func(b netplumb.Link) bool { return b.Name == link.Name })
		return i >= 0 && linkFault(before[i]) != "" && linkFault(link) == ""
	})
}

func equalLinks(a, b []netplumb.Link) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if linkFault(a[i]) != linkFault(b[i]) || a[i].Name != b[i].Name || a[i].Own != b[i].Own {
			return false
		}
	}
	return true
}

// ownElsewhere lists what this host itself goes by and another node has, by the plan.
func (l *loop) ownElsewhere() (out []netip.Addr) {
	for _, link := range l.kernel.report.Links {
		if link.Own.IsValid() && l.node.Holder(link.Own) != "" {
			out = append(out, link.Own)
		}
	}
	return out
}

// refusals says what the kernel refuses now, or did before the pause that it is in.
func (l *loop) refusals() string {
	var texts []string
	for _, f := range l.kernel.report.Failed {
		texts = append(texts, f.Err.Error())
	}
	for _, link := range l.links {
		if link.Own.IsValid() && l.config.Plan.Owns(link.Own.String()) >= 0 {
			texts = append(texts, ownText(link.Own, link.Name))
		}
	}
	for id, v := range l.ballots.own {
		if id.source == sourceKernel {
			texts = append(texts, v.Reason)
		}
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	if len(texts) > 3 {
		texts = append(texts[:3], fmt.Sprintf("and %d more", len(texts)-3))
	}
	return strings.Join(texts, "; ")
}

// complainOf tells what the plumber could not do.
func (l *loop) complainOf(now time.Time, errs []error) {
	for _, err := range errs {
		l.complain(now, err.Error())
	}
}

// logOps tells what was done to the kernel, with the stamps by which moves are measured.
func (l *loop) logOps(ops []netplumb.Op) {
	if len(ops) == 0 || !l.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	for _, op := range ops {
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

// complainAgain is the shortest time between two lines that say the same.
const complainAgain = time.Minute

// complain logs what went wrong with the kernel, and the same again only after a while.
func (l *loop) complain(now time.Time, text string) {
	if l.due(now, text) {
		l.log.Error("trouble with the kernel", "err", text)
	}
}

// due says whether a complaint was not made for a while, and notes that it is made now.
func (l *loop) due(now time.Time, complaint string) bool {
	if said, ok := l.complaints[complaint]; ok && now.Sub(said) < complainAgain {
		return false
	}
	maps.DeleteFunc(l.complaints, func(_ string, said time.Time) bool { return now.Sub(said) >= complainAgain })
	l.complaints[complaint] = now
	return true
}
