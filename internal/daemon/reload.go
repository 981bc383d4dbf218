package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/vipgroup"
)

// reloader does what can fail of a reload, away from the loop: it reads the file, checks
// it and opens what it newly asks for. Only then the loop swaps, which can't fail.
type reloader struct {
	loop     *loop
	path     string         // of the file
	current  *config.Config // as last applied
	ruling   ruling         // of its plan
	requests chan reloadRequest
	// changed has a token when the file is another. It keeps out of requests: what waits there
	// reads the file for everybody, and with reload: manual this doesn't.
	changed chan struct{}
	offers  chan offer
	// retire, where set, ends what a reload replaced, once who asked for it has the answer.
	retire func()
}

// reloadRequest asks for a reload, whoever wants it.
type reloadRequest struct {
	why   string
	reply chan<- reloadAnswer // nil where nobody waits
}

type reloadAnswer struct {
	message string
	err     error
}

// swap is a checked config on its way to the loop.
type swap struct {
	config *config.Config
	// plan says that the plan, or an interface name in it, is another.
	plan   bool
	ruling ruling
	chat   *chat // nil where the open one stays
	done   chan struct{}
}

func newReloader(l *loop) *reloader {
	return &reloader{loop: l, path: l.config.Path, current: l.config, ruling: l.ruling,
		requests: make(chan reloadRequest, 4), changed: make(chan struct{}, 1), offers: make(chan offer, 1)}
}

// ask asks for a reload without waiting. What finds no room is as good as done: the
// requests before it have yet to read the file.
func (r *reloader) ask(q reloadRequest) {
	select {
	case r.requests <- q:
	default:
		if q.reply != nil {
			q.reply <- reloadAnswer{message: "a reload is already waiting"}
		}
	}
}

func (r *reloader) run(ctx context.Context) error {
	for {
		select {
		case q := <-r.requests:
			r.do(ctx, q)
		case <-r.changed:
			if r.current.Reload == config.Auto {
				r.do(ctx, reloadRequest{why: "the config file changed"})
			} else {
				r.report(ctx)
			}
		case o := <-r.offers:
			r.adopt(ctx, o)
		case <-ctx.Done():
			return nil
		}
	}
}

// do does what is asked for, and answers.
func (r *reloader) do(ctx context.Context, q reloadRequest) {
	message, err := r.apply(ctx, q)
	if q.reply != nil {
		q.reply <- reloadAnswer{message, err}
	}
	if r.retire != nil {
		r.retire()
		r.retire = nil
	}
}

// watch tells of a changed file.
func (r *reloader) watch(ctx context.Context) error {
	if err := r.loop.watch(ctx, r.path, r.changed); err != nil {
		r.loop.log.Warn("the config file is not watched: reload by SIGHUP or vippyctl reload", "err", err)
	}
	return nil
}

// apply reads the file and brings it into force, or says why not. The running config
// stays on any fault.
func (r *reloader) apply(ctx context.Context, q reloadRequest) (string, error) {
	l, old := r.loop, r.current
	l.notifier.reloading()
	defer l.notifier.ready()
	message, notices, err := r.replace(ctx, old)
	if err != nil {
		l.log.Error("reload refused, the running config stays", "why", q.why, "err", err)
		return "", &ctlsocket.Error{Code: http.StatusUnprocessableEntity, Message: err.Error(),
			Hint: fmt.Sprintf("the running config stays; try: vippyd check -c %s --against %s", old.Path, old.Management)}
	}
	l.log.Info("reloaded: "+message, "why", q.why)
	return join(append([]string{message}, notices...)...), nil
}

// load reads the file. That it can't be used is shown until it can.
func (r *reloader) load(ctx context.Context) (*config.Config, error) {
	c, err := r.loop.load(r.path, r.loop.name)
	s := swap{config: r.current, ruling: r.ruling}
	s.ruling.Unfit = ""
	if err != nil {
		s.ruling.Unfit, _, _ = strings.Cut(err.Error(), "\n")
	}
	if s.ruling != r.ruling && r.hand(ctx, s) != nil {
		return nil, errors.New("stopping")
	}
	return c, err
}

// report tells of a changed file that waits to be applied.
func (r *reloader) report(ctx context.Context) {
	c, err := r.load(ctx)
	switch {
	case err != nil:
		r.loop.log.Error("the config file changed and is not right; the running config stays", "err", err)
	case c.Hash != r.current.Hash:
		r.loop.log.Info("the config file changed: SIGHUP or vippyctl reload applies it", "file", r.path)
	}
}

// replace returns what changed, and what is worth a thought, which is logged.
func (r *reloader) replace(ctx context.Context, old *config.Config) (string, []string, error) {
	l := r.loop
	c, err := r.load(ctx)
	if err != nil {
		return "", nil, err
	}
	keys, rule := c.Differs(r.ruling.File), ruling{From: r.ruling.From, File: c}
	if c.Hash == old.Hash && slices.EqualFunc(c.Secrets, old.Secrets, config.Secret.Equal) {
		return join("nothing changed", rule.note(old.Plan)), nil, nil
	}
	if err := c.Follows(old.Fixed()); err != nil {
		return "", nil, err
	}
	var said []string
	if c.NotifyRate != old.NotifyRate {
		said, c.NotifyRate = append(said, "notify_rate changes with the next start"), old.NotifyRate
	}
	if !slices.EqualFunc(c.Secrets, old.Secrets, config.Secret.Equal) {
		said = append(said, "the secrets changed")
	}
	switch file := c.Plan; {
	case file.Version < old.Plan.Version:
		links, err := l.hostLinks()
		if err != nil {
			return "", nil, err
		}
		notices := c.Notices
		c = c.With(place(old.Plan, links, file, old.Plan))
		c.Notices = append(notices, c.Notices...)
		said = append(said, fmt.Sprintf("its version %d is lower than the running plan's %d, so that plan stays", file.Version, old.Plan.Version))
	case file.Digest() != old.Plan.Digest():
		rule.From = fromFile
		if file.Version == old.Plan.Version && !l.heard(file) {
			said = append(said, fmt.Sprintf("the plan changed but its version is still %d, so no other node goes by it: raise it to %d and reload", file.Version, file.Version+1))
		}
	}
	if err := permitted(c); err != nil {
		return "", nil, err
	}
	s := swap{config: c, plan: !samePlan(c.Plan, old.Plan)}
	var opened []func(use bool)
	done := func(use bool) {
		for _, settle := range opened {
			settle(use)
		}
	}
	if err := r.openNew(&s, old, &opened); err != nil {
		done(false)
		return "", nil, err
	}
	l.hooking.runner.Set(hooksOf(c))
	if err := r.bring(ctx, s, rule); err != nil {
		done(false)
		return "", nil, err
	}
	done(true)
	said = append([]string{difference(old.Plan, c.Plan)}, said...)
	if len(keys) > 0 {
		said = append(said, "changed: "+strings.Join(keys, ", "))
	}
	return join(said...), c.Notices, nil
}

// heard says whether another node goes by a plan.
func (l *loop) heard(p vipgroup.Plan) bool {
	digest := p.Digest().String()
	return slices.ContainsFunc(l.Status().Peers, func(p ctlsocket.Peer) bool { return p.State == ctlsocket.PeerLive && p.PlanDigest == digest })
}

// openNew opens all that a config newly asks for; opened brings each of it into force, or
// gives it up.
func (r *reloader) openNew(s *swap, old *config.Config, opened *[]func(use bool)) error {
	l, c := r.loop, s.config
	if at := chatOf(c); !at.equal(chatOf(old)) {
		socket, err := l.openChat(at, l.chat.socket)
		if err != nil {
			return fmt.Errorf("chat: %w", err)
		}
		chat := newChat(socket, at)
		s.chat = chat
		*opened = append(*opened, func(use bool) {
			if !use {
				chat.close()
			}
		})
	}
	if c.Management != old.Management {
		on, err := l.listen(c.Management)
		if err != nil {
			return fmt.Errorf("management: %w", err)
		}
		*opened = append(*opened, func(use bool) {
			if !use {
				_ = on.Close()
				return
			}
			r.retire = l.serve(on)
		})
	}
	if a, b := c.Logging, old.Logging; a.Driver != b.Driver || a.Facility != b.Facility || !maps.Equal(a.Mask, b.Mask) {
		settle, err := l.relog(a)
		if err != nil {
			return err
		}
		*opened = append(*opened, settle)
	}
	if err := l.runner.Set(l.plugins(c)); err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	return nil
}

// join makes one line of what there is to say.
func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

// samePlan also compares what is no part of a plan's digest: the interface names.
func samePlan(a, b vipgroup.Plan) bool {
	return a.Digest() == b.Digest() && bytes.Equal(interfaces(a), interfaces(b))
}

func interfaces(p vipgroup.Plan) []byte {
	var out []byte
	for _, g := range p.Groups {
		for _, v := range g.VIPs {
			out = append(append(out, v.Interface...), 0)
		}
	}
	return out
}

// difference says in one sentence what another plan changes.
func difference(old, now vipgroup.Plan) string {
	if old.Digest() == now.Digest() {
		return fmt.Sprintf("plan %d is unchanged", now.Version)
	}
	added, removed := 0, 0
	for _, g := range now.Groups {
		if old.Group(g.Key) < 0 {
			added++
		}
	}
	for _, g := range old.Groups {
		if now.Group(g.Key) < 0 {
			removed++
		}
	}
	return fmt.Sprintf("plan %d with %s (%d new, %d removed)", now.Version, now.Size(), added, removed)
}

// swap brings a checked config into force. Groups that are the same in both plans are
// not touched.
func (l *loop) swap(now time.Time, s swap) {
	defer close(s.done)
	old := l.config
	l.config, l.ruling = s.config, s.ruling
	l.kernel.desired.Lifetime = s.config.Lifetime
	l.node.Rekey(keysOf(s.config))
	if timingOf(s.config) != timingOf(old) {
		l.node.Retime(now, timingOf(s.config))
	}
	if s.plan {
		l.adopt(now, old.Plan)
	}
	l.ballots.beStrict(now, l.node, l.config.Plan, l.config.WhenAllFail == config.Drop)
	if s.chat != nil {
		l.chat.close()
		l.chat = s.chat
		l.startChat(s.chat)
	}
	if !sameNotify(s.config, old) {
		l.kernel.Notify(notifyOf(s.config))
	}
	l.node.Witness(now, l.witnesses())
	l.keeping.stale()
	l.story.stir(now)
}

// adopt takes the config's plan in place of the old one.
func (l *loop) adopt(now time.Time, old vipgroup.Plan) {
	l.ballots.withdraw(now, l.node, old)
	l.node.Adopt(now, l.config.Plan)
	l.kernel.adopt(l.config.Plan)
	l.ballots.forget(l.config.Plan)
	l.ballots.replay(now, l.node, l.config.Plan)
	l.ballots.judgeLinks(now, l.node, l.config.Plan.Groups, l.kernel.report.Links)
}
