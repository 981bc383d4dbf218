package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vippy-ha/vippy/cluster/multicast"
	"github.com/vippy-ha/vippy/ctlsocket"
	"github.com/vippy-ha/vippy/internal/config"
	"github.com/vippy-ha/vippy/internal/guard"
	"github.com/vippy-ha/vippy/internal/upgrade"
	"github.com/vippy-ha/vippy/netplumb"
	"github.com/vippy-ha/vippy/plugin"
	"github.com/vippy-ha/vippy/vipgroup"
)

// Options are what a daemon starts with.
type Options struct {
	// Config was loaded from the file at its Path, which is read again on reload.
	Config *config.Config
	// Node is this host's name in the plan.
	Node string
	// Version names the program in the log.
	Version string
	// Plugins returns the plugins that are to run with a config. It is asked at the start
	// and at each reload.
	Plugins func(*config.Config) []plugin.Plugin
	// Log must not make its caller wait.
	Log *slog.Logger
	// Relog opens another place for Log to go to. What it returns brings that into force, or
	// gives it up.
	Relog func(config.Logging) (settle func(use bool), err error)
	// Load reads the config again, for a reload.
	Load func(path, node string) (*config.Config, error)
	// Reload asks for a reload with each value.
	Reload <-chan struct{}
	// Hurry, once closed, ends the handing over: everything held is dropped.
	Hurry <-chan struct{}
	// Guard are the arguments with which this program is a guard (guard.Main); none means
	// that no guard is started.
	Guard []string
	// Successor is the program that an upgrade would start; nil where there can be none.
	Successor *upgrade.Successor
	// Handover is what the program left whose place this one took; nil where this is a
	// new process.
	Handover *upgrade.Handover
}

// clearWithin bounds how long left-overs of an earlier process may take to go away.
const clearWithin = 5 * time.Second

// Run is the daemon's life: it removes left-overs, opens the control socket and the
// chat, and takes part in the cluster until ctx ends. Then it hands over what it holds,
// sees it gone, says farewell and returns nil. An error means that it could not start
// or go on.
func Run(ctx context.Context, o Options) error {
	c := o.Config
	if err := permitted(c); err != nil {
		return err
	}
	if o.Handover != nil {
		return succeed(ctx, o)
	}
	state, err := openState(c.StateDir)
	if err != nil {
		return err
	}
	defer state.close()
	boot, err := state.nextBoot()
	if err != nil {
		return err
	}
	control, err := ctlsocket.Listen(c.Management)
	if err != nil {
		return fmt.Errorf("management: %w", err)
	}
	defer control.Close()
	var rule ruling
	if o.Config, rule, err = state.recall(c, hostLinks); err != nil {
		o.Log.Error(err.Error())
	}
	l, err := open(o, state, control, rule, nil)
	if err != nil {
		return err
	}
	return l.live(ctx, boot)
}

// succeed is Run for a program that took the place of another.
func succeed(ctx context.Context, o Options) error {
	h, err := readHandover(o.Handover.State)
	if err != nil {
		return err
	}
	files := o.Handover.Files
	if want := guardFile; h.Guard != nil && len(files) != want+1 || h.Guard == nil && len(files) != want {
		return fmt.Errorf("handover: %d files were left, want %d or %d", len(files), want, want+1)
	}
	if err := h.fits(o.Config, o.Node); err != nil {
		return err
	}
	state := &state{dir: o.Config.StateDir, lock: files[lockFile]}
	defer state.close()
	control, err := ctlsocket.Inherit(files[controlFile])
	if err != nil {
		return err
	}
	defer control.Close()
	_ = files[controlFile].Close() // control has a copy
	if h.Guard != nil {
		h.Guard.Line = files[guardFile]
	}
	c, rule, changed := h.planned(o.Config)
	o.Config = c
	l, err := open(o, state, control, rule, h)
	if err != nil {
		return err
	}
	if changed {
		l.reloader.ask(reloadRequest{why: "upgrade"})
	}
	return l.live(ctx, 0)
}

// permitted says what this process lacks to plumb what is configured.
func permitted(c *config.Config) error {
	if slices.ContainsFunc(c.Plan.Groups, func(g vipgroup.Group) bool { return len(vips(g)) > 0 }) {
		return netplumb.Permitted()
	}
	return nil
}

// open opens what a loop works with.
func open(o Options, state *state, control net.Listener, rule ruling, h *handover) (*loop, error) {
	c := o.Config
	at := chatOf(c)
	conn, err := multicast.Open(at.config(o.Log))
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	p := parts{
		socket:    conn,
		boottime:  netplumb.Boottime,
		nextBoot:  state.nextBoot,
		saveDrain: state.saveDrain,
		rule:      rule,
		savePlan:  state.savePlan,
		hostLinks: hostLinks,
		openChat: func(at chatAt, old socket) (socket, error) {
			c := at.config(o.Log)
			c.Beside, _ = old.(*multicast.Conn)
			return multicast.Open(c)
		},
		load:    o.Load,
		watch:   config.Watch,
		former:  h,
		control: control,
		listen:  ctlsocket.Listen,
		relog:   o.Relog,
	}
	plumb, keep := netplumb.Options{NotifyRate: c.NotifyRate}, guard.Options{Args: o.Guard, Lock: state.lock, Log: o.Log}
	if h == nil {
		if p.drain, err = state.loadDrain(time.Now()); err != nil {
			o.Log.Error(err.Error())
		}
	}
	if h != nil {
		plumb.Expires, keep.Former = h.Expires, h.Guard
	}
	p.plumber = netplumb.New(plumb)
	if len(o.Guard) > 0 {
		p.guard = guard.NewKeeper(keep)
	}
	if o.Successor != nil {
		p.successor = o.Successor
	}
	l := newLoop(o, p)
	l.files = func() ([]*os.File, error) {
		f, err := l.management.file()
		return []*os.File{lockFile: state.lock, controlFile: f}, err
	}
	return l, nil
}

// parts are what the loop works with; tests bring their own.
type parts struct {
	guard    guardian // nil for none
	socket   socket
	plumber  plumber
	boottime func() time.Duration
	nextBoot func() (uint64, error)
	// drain is the order that an earlier process left, nil for none; saveDrain keeps one.
	drain     *drain
	saveDrain func(*drain) error
	// rule is why the config's plan rules at the start; savePlan keeps the one in force.
	rule      ruling
	savePlan  func(vipgroup.Plan) error
	hostLinks func() ([]hostLink, error)
	openChat  func(at chatAt, old socket) (socket, error) // old is the one that it replaces
	load      func(path, node string) (*config.Config, error)
	watch     func(ctx context.Context, path string, changed chan<- struct{}) error
	// control is the control socket, nil for none; listen opens another. relog is that of
	// the Options.
	control net.Listener
	listen  func(path string) (net.Listener, error)
	relog   func(config.Logging) (func(use bool), error)
	// successor is nil where no other program can take over. files are what it gets beside
	// the guard's line.
	successor successor
	files     func() ([]*os.File, error)
	// former is what the program before left; nil for a new process.
	former *handover
}

// live starts everything that works beside the loop, runs the loop, and ends everything
// again.
func (l *loop) live(ctx context.Context, boot uint64) error {
	// The helpers outlive ctx: the loop needs them to hand over.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	helpers, life := errgroup.WithContext(life)
	l.helpers = helpers
	l.life = life

	start := func(what string, run func(context.Context) error) {
		helpers.Go(func() error {
			if err := run(life); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", what, err)
			}
			return nil
		})
	}
	finishHooks := l.hooking.start()
	start("service manager", l.notifier.run)
	start("kernel", l.kernel.plumber.Run)
	start("guard", l.guard.Run)
	l.startChat(l.chat)
	var err error
	if l.former != nil {
		err = l.takeOver(l.former)
	} else {
		err = l.prepare(ctx)
	}
	// What was taken over is handed on in good order even by who is to stop already.
	if err == nil && (ctx.Err() == nil || l.former != nil) {
		if l.former != nil {
			l.goOn(time.Now(), l.former)
		} else {
			l.begin(time.Now(), boot)
		}
		start("plugins", l.runner.Run)
		if l.control != nil {
			l.serve(l.control)
		}
		start("reload", l.reloader.run)
		start("config file", l.reloader.watch)
		err = l.run(ctx)
	}
	end()
	l.chat.close()
	failure := helpers.Wait()
	// Nothing writes addresses any more. Who left for good has said goodbye before.
	l.guard.Yours()
	if err := l.guard.End(); err != nil {
		l.log.Error(err.Error())
	}
	finishHooks(l.leaving.dropAt.Add(hooksEndWithin)) // at once, where nobody said stop
	if errors.Is(err, errHelper) {
		return failure
	}
	// What a helper says after the end concerns nobody.
	return err
}

// errHelper says that a helper failed; the group of helpers knows with what.
var errHelper = errors.New("a helper failed")

// startChat starts what works for an open chat socket.
func (l *loop) startChat(c *chat) {
	l.helpers.Go(c.read)
	l.helpers.Go(func() error { return c.keepLinks(l.log) })
}

// prepare does what can fail before the core begins.
func (l *loop) prepare(ctx context.Context) error {
	if err := l.runner.Set(l.plugins(l.config)); err != nil {
		return fmt.Errorf("plugins: %w", err)
	}
	l.hooking.runner.Set(hooksOf(l.config))
	l.awaitGuard(ctx)
	return l.clear(ctx)
}

// clear waits until nothing of an earlier process is in the kernel: this process must
// not hold what it didn't claim.
func (l *loop) clear(ctx context.Context) error {
	l.kernel.desire(nil, 0)
	late := time.NewTimer(clearWithin)
	defer late.Stop()
	for {
		select {
		case <-l.kernel.Changed():
			report, _ := l.kernel.observe()
			l.complainOf(time.Now(), report.Errors)
			l.logOps(report.Ops)
			for _, op := range report.Ops {
				if op.Kind == netplumb.Remove {
					l.log.Info("removed a left-over of an earlier process", "addr", op.Address, "link", op.Link)
				}
			}
			if l.kernel.empty() {
				return nil
			}
		case <-late.C:
			return fmt.Errorf("left-overs: %s", l.kernel.whyNotEmpty())
		case <-l.life.Done():
			return errHelper
		case <-ctx.Done():
			return nil
		}
	}
}
